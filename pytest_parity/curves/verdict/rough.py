"""Rough: the noise from step to step, which another smoothing, another batch size or a frozen loss changes."""

from __future__ import annotations

import numpy as np

from pytest_parity.curves.student import critical
from pytest_parity.curves.verdict.blocks import edges, means
from pytest_parity.curves.verdict.ensemble import Array, Ensemble, windowed
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["rough"]

SHORTEST = 32
"""Steps, below which variances of differences say nothing."""
NEAR = 4
"""Steps on each side of which the trend is taken."""
SAMPLED = 3.0
"""Over the number of steps: the variance of the logarithm of a variance of first differences of white noise."""

LEAST = 0.5
"""Of the correlation between two blocks' noise, over the square of how many curves were recorded."""
FEW = 3
TINY = float(np.finfo(np.float64).tiny)


def rough(held: Ensemble, curve: Array, alpha: float) -> tuple[list[CurveFinding], float]:
    """Whether the variance of first differences, the trend taken off, is another than the recorded curves'."""
    length = len(curve)
    if length < SHORTEST:
        return [], 0.0
    trend = windowed(held.centre, NEAR)
    recorded = _squares(held.values - trend)
    usual = np.maximum(windowed(recorded.mean(axis=0), max(2 * NEAR, length // 40)), TINY)
    bounds = np.concatenate([[0], edges(length)[1:-1:2], [length - 1]])
    each, ours = (
        np.log(np.maximum(means(squares / usual, bounds), TINY)) for squares in (recorded, _squares(curve - trend))
    )
    off = float((ours - each.mean(axis=0)).mean())
    allowed = _allowed(each, SAMPLED * each.shape[1] / length, alpha)
    share = abs(off) / allowed
    if share <= 1:
        return [], share
    return [_finding(held, float(np.sqrt(usual.mean() / 2)), off, allowed, share)], share


def _allowed(each: Array, sampled: float, alpha: float) -> float:
    """How far the mean logarithm of one more curve's blocks may be off; of one recorded curve, by sampling alone."""
    count, number = each.shape
    off = each - each.mean(axis=0)
    free = max(count - 1, 1)
    spread = max(float((off**2).sum()) / free / number, sampled)
    together = float((off.mean(axis=1) ** 2).sum()) / free
    long = (number * together / spread - 1) / max(number - 1, 1)
    correlation = min(max(long, LEAST / max(count, FEW) ** 2), 0.95)
    variance = spread * (correlation + (1 - correlation) / number) * (1 + 1 / count)
    return critical(alpha, free * number / (1 + (number - 1) * correlation**2)) * float(np.sqrt(variance))


def _finding(held: Ensemble, typical: float, off: float, allowed: float, share: float) -> CurveFinding:
    return CurveFinding(
        check=CurveCheck.ROUGHNESS,
        step=int(held.steps[0]),
        last=int(held.steps[-1]),
        count=len(held.steps),
        value=typical * float(np.exp(off / 2)),
        expected=typical,
        low=typical * float(np.exp(-allowed / 2)),
        high=typical * float(np.exp(allowed / 2)),
        share=share,
    )


def _squares(values: Array) -> Array:
    squares: Array = np.diff(values, axis=-1) ** 2
    return squares
