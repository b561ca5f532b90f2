"""Nonfinite: where in a step a NaN or an infinity appears first, with what went in there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Advice", "Appearance", "Range"]


class Advice(str, Enum):
    """What helps, chosen by what was seen."""

    RANGE = "range"
    """A forward pass in half precision whose values come near to the largest that the dtype has."""
    SCALE = "scale"
    """A gradient in half precision, or one that is scaled against underflow."""
    SKIPPED = "skipped"
    """An overflow after which the optimizer did not step: the loss scale's own doing."""
    GROWN = "grown"
    """Weights that have grown, or a step that is too long."""
    ZERO = "zero"
    """A logarithm, a quotient or a root of what holds zeros."""
    PADDED = "padded"
    """A row of a mask that leaves nothing."""
    GIVEN = "given"
    """What the step was given: the batch, or the weights."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Range:
    """One tensor: what is not finite is counted, and left out of the numbers."""

    site: str
    elements: int
    nan: int
    positive: int
    """Elements that are infinite, and above."""
    negative: int
    zeros: int
    low: float
    """``low``, ``high`` and ``std`` are NaN where nothing is finite."""
    high: float
    std: float
    dtype: str
    hollow: tuple[int, ...] = ()
    """Where the first row is that is minus infinity throughout, or of a boolean mask all one value; empty: nowhere."""

    @property
    def nonfinite(self) -> int:
        """How many elements are not finite."""
        return self.nan + self.positive + self.negative

    @property
    def largest(self) -> float:
        """The largest magnitude of a finite element."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, slots=True)
class Appearance:
    """The first site of a step that has a NaN or an infinity while what feeds it has none."""

    step: int
    what: Range
    module: str
    """The module's own name, or the value's, the parameter's."""
    fed: tuple[Range, ...] = ()
    """What went in: a module's inputs; of a gradient what came into its module forward and backward; of an update the
    weight, the gradient and the state."""
    advice: Advice | None = None
    grown: float = 0.0
    """By how much a weight's norm has grown, at most, since the first step that is kept."""
    gradient: float = 0.0
    """The norm of all gradients of the step, or of the step before, where that is finite."""
    reference: Range | None = None
    """Of a candidate, what the reference has in the same place."""
