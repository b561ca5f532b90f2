"""What a comparison found, as plain data: no tensor, no text for people, nothing that a test report cannot carry."""

from pytest_parity.result.comparison import IGNORED, UNCOVERED, Comparison, Coverage
from pytest_parity.result.curve import CurveCheck, CurveComparison, CurveFinding, CurveLine
from pytest_parity.result.data import Content, DataDifference, DataFault, Leaf, LeafDifference, Pad, Padding, Plain
from pytest_parity.result.delta import Delta, Metrics, Noise, Spread, Tolerance, Verdict
from pytest_parity.result.diagnosis import Character, Diagnosis, Difference, Fault
from pytest_parity.result.isolation import CallError, Cause, Faulty, Hint, Isolation, Part
from pytest_parity.result.nonfinite import Advice, Appearance, Range
from pytest_parity.result.recorded import Moved, Recorded, SiteMoved
from pytest_parity.result.trace import Closeup, Element, Histogram, LossFound, Trace, Traced

__all__ = [
    "IGNORED",
    "UNCOVERED",
    "Advice",
    "Appearance",
    "CallError",
    "Cause",
    "Character",
    "Closeup",
    "Comparison",
    "Content",
    "Coverage",
    "CurveCheck",
    "CurveComparison",
    "CurveFinding",
    "CurveLine",
    "DataDifference",
    "DataFault",
    "Delta",
    "Diagnosis",
    "Difference",
    "Element",
    "Fault",
    "Faulty",
    "Hint",
    "Histogram",
    "Isolation",
    "Leaf",
    "LeafDifference",
    "LossFound",
    "Metrics",
    "Moved",
    "Noise",
    "Pad",
    "Padding",
    "Part",
    "Plain",
    "Range",
    "Recorded",
    "SiteMoved",
    "Spread",
    "Tolerance",
    "Trace",
    "Traced",
    "Verdict",
]
