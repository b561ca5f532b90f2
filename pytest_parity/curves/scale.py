"""The part of an axis that shows a loss, and whether it is logarithmic: chosen for the curve, not for a single spike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scale", "scale", "tamed"]

_LONE = 0.05
"""The share of a line's points that may be off the scale."""
_START = 0.01
"""The share of those at its start, which never are."""
_FEW = 3
"""So many may be in any case."""
_FAR = 3.0
"""In ranges of the rest: what is farther away is off the scale."""
_FLAT = 0.05
"""The least range, as a share of the value."""
_DECADES = 50.0
"""The ratio from which positive losses are on a logarithmic axis."""
_MARGIN = 0.05
_LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class Scale:
    """The values between which a loss is drawn, and what lies outside of them."""

    low: float
    high: float
    log: bool = False

    def limits(self) -> tuple[float, float]:
        """The axis' ends: a little outside."""
        if self.log:
            margin = (self.high / self.low) ** _MARGIN
            return self.low / margin, self.high * margin
        margin = _MARGIN * (self.high - self.low or abs(self.high) or 1.0)
        return self.low - margin, self.high + margin


def scale(lines: Sequence[NDArray[np.float64]]) -> Scale | None:
    """The scale for lines that share an axis; ``None`` where nothing of them is finite.

    A few points that are several times as far away as all the others are off the scale; the start of a curve never is.
    """
    finite = [tamed(line[np.isfinite(line)]) for line in lines]
    finite = [line for line in finite if len(line)]
    if not finite:
        return None
    low, high = min(map(_lower, finite)), max(map(_upper, finite))
    far = _FAR * max(high - low, _FLAT * max(abs(high), abs(low)))
    inside = [line[(line >= low - far) & (line <= high + far)] for line in finite]
    low, high = min(line.min() for line in inside if len(line)), max(line.max() for line in inside if len(line))
    return Scale(float(low), float(high), log=bool(low > 0 and high / low >= _DECADES))


def tamed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a picture can be computed with: no value so large that its distance from another is none."""
    return np.where(np.isfinite(values), np.clip(values, -_LARGEST, _LARGEST), values)


def _upper(line: NDArray[np.float64]) -> float:
    """The highest value without the few that may be off the scale."""
    few = min(max(int(_LONE * len(line)), _FEW), len(line) // 4)
    start = max(int(_START * len(line)), 1)
    return float(max(np.partition(line, len(line) - 1 - few)[len(line) - 1 - few], line[:start].max()))


def _lower(line: NDArray[np.float64]) -> float:
    return -_upper(-line)
