"""The moving average of a curve: what is not finite is left out, and nothing is felt beyond the window."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pytest_parity.errors import UsageError

__all__ = ["moving_average"]

_PIECE = 1 << 18
"""Values at a time, so that a long curve takes no more memory than its own and its result's."""


def moving_average(values: ArrayLike, window: int = 100) -> NDArray[np.float64]:
    """The mean of the last ``window`` values at each place, of fewer at the start; 1-D in, float64 of that length out.

    Values that are not finite are left out; where a window has none that is finite, the mean is ``nan``. A value of any
    size has no effect on a window that it is not in, as it would have on running sums. Raises ``UsageError`` for a
    window below 1.
    """
    if window < 1:
        raise UsageError(f"a moving average is over 1 value or more, and this window is {window}")
    array = np.asarray(values, np.float64)
    result = np.empty(len(array))
    for start in range(0, len(array), _PIECE):
        first = max(start - window + 1, 0)
        stop = start + _PIECE
        result[start:stop] = _averaged(array[first:stop], window)[start - first :]
    return result


def _averaged(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The average of a piece."""
    window = min(window, len(values))
    finite = np.isfinite(values)
    scale = window.bit_length()  # a sum of large values stays within float64; a power of two costs no digit
    if finite.all():
        counts = np.minimum(np.arange(1.0, len(values) + 1), window)
        totals = _sums(np.ldexp(values, -scale), window)
    else:
        counts = _sums(finite.astype(np.float64), window)
        totals = _sums(np.ldexp(np.where(finite, values, 0.0), -scale), window)
    with np.errstate(invalid="ignore"):
        average: NDArray[np.float64] = np.ldexp(totals / counts, scale)
    return average


def _sums(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The sum of the last ``window`` values at each place, each made of the window's own values only.

    In blocks of a window's length, a window is the end of one block and the start of the next, and those sums run
    within the blocks (van Herk, 1992, for maxima).
    """
    blocks = -(-len(values) // window) + 1
    padded = np.zeros((blocks, window))
    padded.ravel()[window : window + len(values)] = values
    starts = np.cumsum(padded[1:], axis=1)
    ends = np.zeros((blocks - 1, window))
    ends[:, :-1] = np.cumsum(padded[:-1, :0:-1], axis=1)[:, ::-1]
    return (starts + ends).ravel()[: len(values)]
