"""Numerical regression testing of training code.

Record a reference's training steps with ``pytest --parity-record``, check a rewrite of it with
``pytest --parity-ref golden/``. What is here can be used without pytest; importing it imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_parity.errors import (
    CaptureError,
    CurveError,
    GoldenError,
    GoldenNotFound,
    LoadError,
    NameMapError,
    ParityError,
    ParityFailure,
    ToleranceError,
    UsageError,
)
from pytest_parity.result import (
    Comparison,
    Delta,
    Diagnosis,
    Faulty,
    Hint,
    Isolation,
    Metrics,
    Recorded,
    Tolerance,
    Verdict,
)
from pytest_parity.site import Kind, Site

if TYPE_CHECKING:
    from pytest_parity.compare.valid import Valid
    from pytest_parity.curves.writing import MetricsWriter
    from pytest_parity.golden.reader import Golden
    from pytest_parity.session.against import assert_curve
    from pytest_parity.session.direct import assert_parity, capture_model
    from pytest_parity.session.equivalent import assert_equivalent
    from pytest_parity.session.goldens import compare_goldens
    from pytest_parity.session.leak import assert_no_leak
    from pytest_parity.session.parity import Parity
    from pytest_parity.session.standalone import check, record

__all__ = [
    "CaptureError",
    "Comparison",
    "CurveError",
    "Delta",
    "Diagnosis",
    "Faulty",
    "Golden",
    "GoldenError",
    "GoldenNotFound",
    "Hint",
    "Isolation",
    "Kind",
    "LoadError",
    "Metrics",
    "MetricsWriter",
    "NameMapError",
    "Parity",
    "ParityError",
    "ParityFailure",
    "Recorded",
    "Site",
    "Tolerance",
    "ToleranceError",
    "UsageError",
    "Valid",
    "Verdict",
    "assert_curve",
    "assert_equivalent",
    "assert_no_leak",
    "assert_parity",
    "capture_model",
    "check",
    "compare_goldens",
    "record",
]

_LAZY = {
    "Golden": "golden.reader",
    "MetricsWriter": "curves.writing",
    "Parity": "session.parity",
    "Valid": "compare.valid",
    "assert_curve": "session.against",
    "assert_equivalent": "session.equivalent",
    "assert_no_leak": "session.leak",
    "assert_parity": "session.direct",
    "capture_model": "session.direct",
    "check": "session.standalone",
    "compare_goldens": "session.goldens",
    "record": "session.standalone",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
