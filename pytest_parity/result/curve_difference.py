"""CurveDifference: whether two experiments of several runs each end at different losses, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CurveDifference", "Doubt", "Outcome"]

_NAN = float("nan")


class Outcome(str, Enum):
    """What a test of two experiments has found."""

    DIFFER = "differ"
    NOT_FOUND = "no difference found"
    UNDECIDED = "undecided"
    NOT_COMPARABLE = "not comparable"

    def __str__(self) -> str:
        return self.value


class Doubt(str, Enum):
    """Why nothing was tested."""

    NONE = ""
    RUNS = "runs"
    """A side has fewer than two runs."""
    NOT_FINITE = "not_finite"
    """A run's loss is not finite where it counts."""
    NO_SPREAD = "no_spread"
    """No run differs from another of its own experiment."""
    NOTHING = "nothing"
    """A run has no loss there."""
    MEANING = "meaning"
    """The losses mean different things."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CurveDifference:
    """Welch's test of one statistic of two experiments; of what was not tested the numbers are ``nan``."""

    first: str
    second: str
    statistic: str
    """``final level``, the mean of the last tenth of the steps; ``last epoch``, its loss."""
    outcome: Outcome
    doubt: Doubt = Doubt.NONE
    span: tuple[int, int] = (0, 0)
    """The steps, or the epoch twice, that all runs of both have."""
    runs: tuple[int, int] = (0, 0)
    """How many on each side; one that equals another bit for bit is not counted again."""
    needed: tuple[int, int] = (0, 0)
    """How many more there have to be at least."""
    means: tuple[float, float] = (_NAN, _NAN)
    meanings: tuple[tuple[str, str], ...] = ()
    """What each side's loss is: ``("unit", "nats/token")``, or without a unit ``("model_type", "AR")``."""
    difference: float = _NAN
    """The second one's mean minus the first one's."""
    low: float = _NAN
    """Of the interval around it, at ``confidence``."""
    high: float = _NAN
    p: float = _NAN
    """How often seeds alone would make a difference as large; for all pairs together (Bonferroni)."""
    confidence: float = 0.95
    """Of all intervals together, however many ``pairs`` were tested."""
    pairs: int = 1
    unit: str = ""

    @property
    def lower(self) -> str:
        """The experiment with the lower mean."""
        return self.second if self.difference < 0 else self.first
