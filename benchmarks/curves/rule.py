"""Rule: whether a change of a curve's means can be told from another seed at all. It knows nothing of the verdict.

It may look at all runs of the recorded kind, recorded or not (28 seeds, or 9 draws), and at the undamaged run: over each
stretch of 1, 2, 4, 8 or 16 sixteenths of the curve, how far the damage moves the mean, over the standard deviation of that mean among those runs. It can be
told where that is at least ``SHOWN`` somewhere. Among seeds: Student's bound of eight recorded curves at the verdict's level is
about 5, and a run that is itself two standard deviations on the other side is to be caught as well. Draws that have not parted
say how fast the moved weights part; another rounding at every step may be ahead of them, and 20 times as far apart is no fault.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve

__all__ = ["SHOWN", "shown"]

SHOWN = {"seeds": 7.0, "draws": 150.0}
PIECES = 16


def shown(damaged: Curve, before: Curve, kind: Sequence[Curve]) -> float:
    """The largest effect on a mean, in standard deviations among the runs of that kind."""
    if not np.isfinite(damaged.step_losses).all():
        return float("inf")
    effect = _means(damaged) - _means(before)
    spread = np.stack([_means(one) for one in kind])
    return max(
        float(np.abs(_over(effect, length) / _over(spread, length).std(axis=0, ddof=1)).max())
        for length in (1, 2, 4, 8, 16)
    )


def _means(curve: Curve) -> NDArray[np.float64]:
    return np.array([part.mean() for part in np.array_split(np.asarray(curve.step_losses, np.float64), PIECES)])


def _over(means: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    averaged: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(means, length, axis=-1).mean(axis=-1)
    return averaged
