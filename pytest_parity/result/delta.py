"""Delta: what comparing one site found, with the numbers that decided."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["Delta", "Metrics", "Noise", "Spread", "Tolerance", "Verdict", "delta_from_plain"]


class Verdict(str, Enum):
    """What was decided about one site."""

    EQUAL = "equal"
    """Bit for bit."""
    CLOSE = "close"
    """Within the tolerance."""
    DIFFERS = "differs"
    SHAPE = "shape"
    DTYPE = "dtype"
    NONFINITE = "nonfinite"
    """A NaN or an infinity where the reference has another value."""
    MISSING = "missing"
    """In the golden, not in the candidate."""
    EXTRA = "extra"
    """In the candidate, not in the golden."""
    EMPTY = "empty"
    """On both sides, and no element there to compare, or, of what comes out of a step, none that is finite."""
    VACUOUS = "vacuous"
    """Within a tolerance that zeros would be within: atol is not below the reference's largest magnitude, rtol not below
    1, or the declared factor takes a noise floor to the reference's norm."""
    BELOW_NOISE = "below_noise"
    UNOBSERVABLE = "unobservable"
    """Inside a compiled region, where no hook fires."""

    def __str__(self) -> str:
        return self.value

    @property
    def fails(self) -> bool:
        """Whether a site with this verdict fails the check."""
        return self in _FAILING

    @property
    def compared(self) -> bool:
        """Whether values of both sides were looked at."""
        return self not in _NOT_COMPARED


_FAILING = frozenset(
    {
        Verdict.DIFFERS,
        Verdict.SHAPE,
        Verdict.DTYPE,
        Verdict.NONFINITE,
        Verdict.MISSING,
        Verdict.EXTRA,
        Verdict.EMPTY,
    }
)
_NOT_COMPARED = frozenset({Verdict.MISSING, Verdict.EXTRA, Verdict.EMPTY, Verdict.UNOBSERVABLE})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``|actual - expected| <= atol + rtol * |expected|``, or a factor of the noise floor where there is a ``factor``.

    ``origin`` names where it was declared.
    """

    rtol: float
    atol: float
    origin: str = "dtype default"
    factor: float | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """How far a tensor is from the reference's, beside how far the reference itself moves: its noise floor.

    ``norm`` is ``||a-r||``, ``gain`` is ``|<a,r>/<r,r> - 1|`` (0 where the site is below noise, or ``r`` is 0). Of
    integers and booleans ``norm`` is the share of elements that are others, and there is no gain.
    """

    norm: float
    norm_floor: float
    gain: float
    gain_floor: float
    factor: float
    unstable: bool = False
    """The reference's integers flip there in every draw."""

    @property
    def norm_ratio(self) -> float:
        """The norm in multiples of its floor."""
        return _ratio(self.norm, self.norm_floor)

    @property
    def gain_ratio(self) -> float:
        """The gain in multiples of its floor."""
        return _ratio(self.gain, self.gain_floor)

    @property
    def ratio(self) -> float:
        """The larger of the two; above ``factor`` the site differs."""
        return max(self.norm_ratio, self.gain_ratio)

    @property
    def closeness(self) -> float:
        """The share of what is allowed."""
        return self.ratio / self.factor


def _ratio(error: float, floor: float) -> float:
    if error == 0:
        return 0.0
    return error / floor if floor else float("inf")


@dataclass(frozen=True, slots=True)
class Spread:
    """How far two tensors of one shape are apart, whatever is allowed: of ``d = |a-r|``, an update's of the updates.

    ``mean_abs`` is ``mean(d)``, ``rmse`` is ``sqrt(mean(d^2))``, ``relative_l2`` is ``||a-r||/||r||``. What is not finite
    is left out.
    """

    max_abs: float
    mean_abs: float
    rmse: float
    relative_l2: float

    @property
    def std(self) -> float:
        """The standard deviation of ``d``, over all elements, to about a hundredth of ``rmse``."""
        return math.sqrt(max(self.rmse**2 - self.mean_abs**2, 0.0))


@dataclass(frozen=True, slots=True)
class Metrics:
    """How far two tensors of one shape are apart; every number is a Python scalar.

    ``max_rel`` is the largest ``|a-r|/|r|`` over elements with ``r != 0`` (infinity if a mismatch sits on a zero),
    ``rmse`` is ``sqrt(mean((a-r)^2))``, ``relative_l2`` is ``||a-r||/||r||``, ``cosine`` is ``<a,r>/(||a|| ||r||)``.
    The worst element is the one that exceeds its allowance the most. Non-finite elements are counted, and left out of
    the other statistics.
    """

    elements: int
    mismatched: int
    max_abs: float
    max_rel: float
    rmse: float
    relative_l2: float
    cosine: float
    reference_max: float
    worst_index: tuple[int, ...]
    worst_actual: float
    worst_expected: float
    worst_allowed: float
    nonfinite_actual: int
    nonfinite_expected: int
    mean_abs: float = 0.0
    """The mean of ``|a-r|``."""

    @property
    def finite(self) -> bool:
        """Whether an element can be finite on both sides; where none is, the statistics are of nothing."""
        return max(self.nonfinite_actual, self.nonfinite_expected) < max(self.elements, 1)

    @property
    def spread(self) -> Spread:
        """What of it does not depend on a tolerance."""
        return Spread(self.max_abs, self.mean_abs, self.rmse, self.relative_l2)

    @property
    def share(self) -> float:
        """Mismatching elements, as a share of all."""
        return self.mismatched / self.elements if self.elements else 0.0


@dataclass(frozen=True, slots=True)
class Delta:
    """What comparing one site found. ``order`` is the site's place in the step's execution order."""

    site: str
    step: int
    order: int
    verdict: Verdict
    elements: int = 0
    tolerance: Tolerance | None = None
    metrics: Metrics | None = None
    candidate: str = ""
    """The candidate's own name of the site, where it is another."""
    detail: str = ""
    """What the verdict is about where no metrics are: two shapes, two dtypes."""
    noise: Noise | None = None
    """Where the noise floor decided."""
    spread: Spread | None = None
    """Of what passes and is not equal, where that was asked for; what has ``metrics`` has it there."""

    @property
    def apart(self) -> Spread | None:
        """How far the two are apart, where that is known."""
        return self.metrics.spread if self.metrics else self.spread


def delta_from_plain(plain: dict[str, Any]) -> Delta:
    """A delta of plain data, also after a round trip through JSON."""
    tolerance, metrics, noise, spread = plain["tolerance"], plain["metrics"], plain["noise"], plain.get("spread")
    return Delta(
        **{
            **plain,
            "verdict": Verdict(plain["verdict"]),
            "tolerance": tolerance and Tolerance(**tolerance),
            "metrics": metrics and Metrics(**{**metrics, "worst_index": tuple(metrics["worst_index"])}),
            "noise": noise and Noise(**noise),
            "spread": spread and Spread(**spread),
        }
    )
