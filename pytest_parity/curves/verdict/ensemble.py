"""Ensemble: what recorded curves say of a further one, step by step: where it should be, and how far off it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Ensemble", "ensemble", "half_width", "windowed"]

Array: TypeAlias = NDArray[np.float64]

ROUNDING = float(np.finfo(np.float32).eps)
"""A loss is computed in float32 at best: what is nearer than this is the same."""
LARGER = 10.0
"""How much further another rounding at every step may carry a run than the weights moved by one unit in the last place
once (the default factor of the noise floors, and of the same measurements)."""
APART = 0.3
"""Of the step noise: where draws are further apart than this, they have no more to grow."""
WIDEST = 500
"""Steps on each side whose spread is pooled; in short curves a fortieth of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """``n`` recorded curves of ``T`` steps, and what is known from them.

    Of a further curve of their kind, ``(curve - centre) / scale`` is distributed as ``residuals`` are: mean 0, variance 1.
    """

    steps: NDArray[np.int64]
    values: Array
    """n x T."""
    centre: Array
    scale: Array
    residuals: Array
    """n x T; each from the mean of the others."""

    @property
    def count(self) -> int:
        """How many."""
        return len(self.values)

    @property
    def dof(self) -> int:
        """Of a spread at one step; what one curve alone says, it says of its own noise."""
        return max(self.count - 1, 1)

    def units(self, curve: Array) -> Array:
        """A curve in units of what a step may be off."""
        units: Array = (curve - self.centre) / self.scale
        return units


def ensemble(steps: NDArray[np.int64], values: Array, *, draws: bool) -> Ensemble:
    """Of at least two finite curves over the same steps. ``draws``: free runs of one training, which part slowly."""
    count, length = values.shape
    centre = values.mean(axis=0)
    off = values - centre
    spread = np.sqrt(windowed((off**2).sum(axis=0) / (count - 1), half_width(length)))
    spread = np.maximum(spread, ROUNDING * np.maximum(np.abs(values).max(axis=0), _typical(values)))
    factor = np.ones(length)
    if draws:
        spread = np.maximum.accumulate(spread)
        factor = _growth(spread, _noise(centre), LARGER ** (count / (count - 1)))
    residuals = off * np.sqrt(count / (count - 1)) / spread
    return Ensemble(steps, values, centre, spread * factor * np.sqrt(1 + 1 / count), residuals)


def half_width(length: int) -> int:
    """How many steps on each side are pooled."""
    return min(WIDEST, max(2, length // 40))


def _growth(spread: Array, noise: float, larger: float) -> Array:
    """Where draws have not yet parted, another rerun may be ahead of them: further so, the fewer draws there are."""
    widest = float(spread[-1])
    most = max(widest, min(larger * widest, APART * noise))
    grown: Array = np.clip(most / spread, 1.0, larger)
    return grown


def _typical(values: Array) -> float:
    return max(1e-3 * float(np.median(np.abs(values))), float(np.finfo(np.float32).tiny))


def _noise(curve: Array) -> float:
    """The step noise of one curve, robustly: its second differences know no trend."""
    if len(curve) < 3:  # noqa: PLR2004  what a second difference takes
        return 0.0
    return float(np.median(np.abs(np.diff(curve, 2)))) / (0.6745 * 6**0.5)


def windowed(values: Array, half: int) -> Array:
    """Means over ``half`` values on each side, of fewer at the ends; along the last axis."""
    length = values.shape[-1]
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    places = np.arange(length)
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, length)
    means: Array = np.maximum(sums[..., last] - sums[..., first], 0.0) / (last - first)
    return means
