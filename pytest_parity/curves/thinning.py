"""Fewer points of a curve, with all that an eye would find in it: no spike goes, nor anything that is not finite, nor a gap."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pytest_parity.curves.gaps import gaps

__all__ = ["thinned"]


def thinned(steps: ArrayLike, values: ArrayLike, points: int = 2000) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """About ``points`` of a curve's points, in their order; all of them where there are no more than that.

    1-D in, ``steps`` and ``values`` of one length, int64 and float64 out. The curve is cut into ``points / 2`` buckets,
    and of each the lowest and the highest value are kept, so that what is drawn has the same outline; the first and the
    last of the curve; the first and the last that are not finite in a bucket, and both sides of a gap, each with its
    neighbours. So a curve without NaN and gaps has at most ``points + 2`` points, and any at most eight times as many.
    """
    numbers, array = np.asarray(steps, np.int64), np.asarray(values, np.float64)
    if len(array) <= max(points, 2):
        return numbers, array
    size = -(-len(array) // max(points // 2, 1))
    whole = len(array) // size * size
    kept = np.concatenate(
        [
            np.array([0, len(array) - 1]),
            _of_buckets(array[:whole].reshape(-1, size)),
            whole + _of_buckets(array[whole:].reshape(1, -1)),
            _sides(numbers, size),
        ]
    )
    chosen = np.unique(kept[(kept >= 0) & (kept < len(array))])
    return numbers[chosen], array[chosen]


def _of_buckets(buckets: NDArray[np.float64]) -> NDArray[np.int64]:
    """The places of what is kept of each row, counted through all rows."""
    count, size = buckets.shape
    if not buckets.size:
        return np.empty(0, np.int64)
    starts = np.arange(count) * size
    finite = np.isfinite(buckets)
    some = ~finite.all(axis=1)
    kept = [starts + buckets.argmin(axis=1), starts + buckets.argmax(axis=1)]
    if some.any():
        rows, good, starts = buckets[some], finite[some], starts[some]
        kept = [place[~some] for place in kept]
        kept += [
            starts + np.where(good, rows, np.inf).argmin(axis=1),
            starts + np.where(good, rows, -np.inf).argmax(axis=1),
        ]
        first, last = starts + good.argmin(axis=1), starts + size - 1 - good[:, ::-1].argmin(axis=1)
        kept += [place + beside for place in (first, last) for beside in (-1, 0, 1)]
    return np.concatenate(kept).astype(np.int64)


def _sides(steps: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The places on both sides of the gaps: of many, the widest in each bucket."""
    places = gaps(steps)
    widths = steps[places + 1] - steps[places]
    order = np.lexsort((-widths, places // size))
    places = places[order]
    _, firsts = np.unique(places // size, return_index=True)
    widest = places[firsts]
    return np.concatenate([widest, widest + 1])
