"""Steps that a curve leaves out: where it is logged every so often, and then is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["gaps", "stride"]

_MOSTLY = 0.75
"""The share of a curve's steps that have to be equally far apart, for the others to be said to be missing."""
_WIDER = 1.5
_SAMPLE = 1000


def stride(steps: ArrayLike) -> int:
    """How many steps lie between two logged ones, as a rule; 0 where there is no rule (warm-up logged more often, powers of 2)."""
    array = np.asarray(steps, np.int64)
    if len(array) < 2:  # noqa: PLR2004  two points make a distance
        return 0
    distances = np.diff(array)
    for some in (
        distances[:: max(len(distances) // _SAMPLE, 1)],
        distances,
    ):  # all of them take long, and seldom say more
        usual = int(np.partition(some, len(some) // 2)[len(some) // 2])
        if usual > 0 and np.count_nonzero(distances == usual) >= _MOSTLY * len(distances):
            return usual
    return 0


def gaps(steps: ArrayLike) -> NDArray[np.int64]:
    """The places of 1-D ``steps`` behind which some are missing, ascending; a step that is logged again is no gap."""
    array, usual = np.asarray(steps, np.int64), stride(steps)
    if not usual:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.diff(array) > usual * _WIDER)
