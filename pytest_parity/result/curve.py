"""CurveComparison: one training curve held against recorded ones, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["CurveCheck", "CurveComparison", "CurveFinding", "CurveLine"]


class CurveCheck(str, Enum):
    """What of a curve is judged."""

    MISSING = "missing"
    """Steps that the golden has and the curve has not: an early stop, a gap, a last part that was not logged."""
    EXTRA = "extra"
    """Steps that the golden has not."""
    ORDER = "order"
    """A step that comes twice, or before one that it follows."""
    NONFINITE = "nonfinite"
    """NaN or infinite where the golden is finite."""
    REPEATED = "repeated"
    """Values of earlier steps, bit for bit, under new numbers: a resume that trained on the same batches again."""
    PRECISION = "precision"
    """Values of bfloat16 or float16 where the golden's have more bits: what is smaller than their rounding is not in them."""
    SPIKE = "spike"
    """Single steps far away from their neighbours."""
    POINTWISE = "pointwise"
    """The largest distance of a step from the band."""
    LEVEL = "level"
    """The signed mean of the last steps."""
    DRIFT = "drift"
    """A distance that keeps its sign, or grows, over a stretch of the curve."""
    OSCILLATION = "oscillation"
    """A periodic distance."""
    ROUGHNESS = "roughness"
    """Noise from step to step, larger or smaller than the golden's: other smoothing, another batch size."""
    SLOPE = "slope"
    """How fast the curve falls at its end."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CurveFinding:
    """One thing that is wrong with a curve. ``value`` is outside of ``low`` to ``high``, which is around ``expected``."""

    check: CurveCheck
    step: int
    """The first step where it shows."""
    last: int
    """The last one; ``step`` where it is one alone."""
    count: int
    """How many steps show it."""
    value: float
    """Of the curve, in the loss's unit (of ``missing`` and its like: how many steps the curve has)."""
    expected: float
    low: float
    high: float
    share: float
    """How far off as a share of what is allowed: above 1. Infinite where there is nothing to measure."""
    detail: str = ""
    """What else is known: a period in steps, a lag."""


@dataclass(frozen=True, slots=True)
class CurveLine:
    """What is drawn of a curve, few enough points for a screen: spikes and gaps are kept."""

    label: str
    role: str
    """``candidate``, ``reference``, ``mean`` or ``band``."""
    steps: tuple[int, ...]
    values: tuple[float, ...]
    """Of a band: its lower edge."""
    high: tuple[float, ...] = ()
    """Of a band: its upper edge."""


@dataclass(frozen=True, slots=True)
class CurveComparison:
    """One curve's verdict: what was compared, against how many recorded curves, and everything that is wrong."""

    name: str
    expected: int
    """Steps of the golden's curve."""
    compared: int
    """Steps that both have, finite."""
    references: int
    """How many recorded curves the band is made of."""
    origin: str
    """What made them differ: ``seeds``, ``draws`` (weights moved by one unit in the last place), ``tolerance``."""
    findings: tuple[CurveFinding, ...] = ()
    """The likeliest explanation of the others first."""
    equal: bool = False
    """Whether it is bit for bit one of the recorded curves."""
    nearest: str = ""
    """Of what passes: the check that came nearest to its bound."""
    share: float = 0.0
    """How near: the statistic as a share of what is allowed."""
    unit: str = ""
    """Of the loss, as the metrics file declares it."""
    lines: tuple[CurveLine, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing is wrong."""
        return self.compared > 0 and not self.findings

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> CurveComparison:
        """The inverse of ``asdict``, also after a round trip through JSON."""
        findings = tuple(CurveFinding(**{**one, "check": CurveCheck(one["check"])}) for one in plain["findings"])
        lines = tuple(
            CurveLine(**{**one, **{key: tuple(one[key]) for key in ("steps", "values", "high")}})
            for one in plain["lines"]
        )
        return cls(**{**plain, "findings": findings, "lines": lines, "notes": tuple(plain["notes"])})
