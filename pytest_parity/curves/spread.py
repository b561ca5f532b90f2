"""Several runs as one curve: their mean, and from the lowest to the highest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Points", "Spread", "spread"]

Points = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps (or epochs) and the values there."""


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Of several runs, at each step up to the last that all have.

    The mean is ``nan`` where one of them is not finite, since that of the others is of the lucky ones; the band is of those
    that are finite, ``nan`` where none is.
    """

    steps: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def spread(runs: Sequence[Points]) -> Spread | None:
    """The mean and the band of runs that were logged at the same steps; ``None`` where they were not.

    Of a step that was logged twice the last value counts.
    """
    ordered = [_in_order(*run) for run in runs]
    if not all(len(steps) for steps, _ in ordered):
        return None
    last = min(steps[-1] for steps, _ in ordered)
    ends = [int(np.searchsorted(steps, last, side="right")) for steps, _ in ordered]
    first = ordered[0][0][: ends[0]]
    if not all(np.array_equal(first, steps[:end]) for (steps, _), end in zip(ordered[1:], ends[1:], strict=True)):
        return None
    total, counts = np.zeros(len(first)), np.zeros(len(first), np.int32)
    low, high = np.full(len(first), np.inf), np.full(len(first), -np.inf)
    for (_, values), end in zip(ordered, ends, strict=True):
        ours = values[:end]
        finite = np.isfinite(ours)
        np.add(total, ours / len(runs), out=total, where=finite)  # divided first: a sum may leave float64
        counts += finite
        np.minimum(low, ours, out=low, where=finite)
        np.maximum(high, ours, out=high, where=finite)
    none = counts == 0
    low[none] = high[none] = np.nan
    return Spread(first, np.where(counts == len(runs), total, np.nan), low, high)


def _in_order(steps: NDArray[np.int64], values: NDArray[np.float64]) -> Points:
    """Each step once, ascending."""
    if len(steps) < 2 or bool((steps[1:] > steps[:-1]).all()):  # noqa: PLR2004  one has no order
        return steps, values
    once, places = np.unique(steps[::-1], return_index=True)
    return once, values[::-1][places]
