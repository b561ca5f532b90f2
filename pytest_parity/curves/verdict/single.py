"""Single steps: spikes, and what is outside of the band."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.student import critical
from pytest_parity.curves.verdict.ensemble import Array, Ensemble, half_width
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["around", "band", "pointwise", "spikes"]

NEAR = 3
"""Steps on each side that a spike is compared with; a spike is at most as long."""
FEW = 0.05
"""The share of steps that spikes are at most."""
TAIL = 0.05
"""The share of the recorded curves' deviations that the rest of their tail is extrapolated from, as an exponential one:
a normal distribution's is shorter."""
ENOUGH = 20
"""Of them."""
LESS_CERTAIN = 1.1
"""A step less a median has a little more variance than the step."""


def band(held: Ensemble, alpha: float) -> float:
    """How many units a single step may be off, of any of the curve's."""
    return _bound(held, held.residuals, alpha)


def _bound(held: Ensemble, residuals: Array, alpha: float) -> float:
    """No smaller than what was recorded."""
    count, length = residuals.shape
    each, found = alpha / length, np.abs(residuals).ravel()
    bound = max(critical(each, _dof(held)), float(found.max()))
    beyond = int(TAIL * count * length)
    if beyond < ENOUGH:
        return bound
    start = float(np.partition(found, -beyond)[-beyond])
    excess = float((found[found > start] - start).mean()) if (found > start).any() else 0.0
    return max(bound, start + excess * (1 + 2 / math.sqrt(beyond)) * math.log(TAIL / each))


def _dof(held: Ensemble) -> float:
    """Of the spread at one step: it is pooled over those around, which say the less anew the more they hang together."""
    length = held.residuals.shape[1]
    window = min(2 * half_width(length) + 1, length)
    energy = float((held.residuals**2).mean()) or 1.0
    together = float((held.residuals[:, 1:] * held.residuals[:, :-1]).mean()) / energy if length > 1 else 0.0
    square = min(together * together, 0.99)
    return float(held.dof * max(1.0, window * (1 - square) / (1 + square)))


def around(values: Array) -> Array:
    """The median of each step's neighbours and itself, along the last axis."""
    length = values.shape[-1]
    near = min(NEAR, (length - 1) // 2)
    if not near:
        return values
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(near, near)], mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(padded, 2 * near + 1, axis=-1)
    middle: Array = np.median(views, axis=-1)
    return middle


def spikes(held: Ensemble, curve: Array, alpha: float) -> tuple[NDArray[np.int64], list[CurveFinding]]:
    """The places of steps that are far from those around them, and what is said of them."""
    if len(curve) <= 2 * NEAR:
        return np.empty(0, np.int64), []
    units = held.units(curve)
    middle = around(units)
    bound = LESS_CERTAIN * _bound(held, held.residuals - around(held.residuals), alpha)
    places = np.flatnonzero(np.abs(units - middle) > bound)
    if not len(places) or len(places) > max(NEAR, FEW * len(curve)):  # so many are no spikes, but another curve
        return np.empty(0, np.int64), []
    low = held.centre + held.scale * (middle - bound)
    high = held.centre + held.scale * (middle + bound)
    return places, [_finding(CurveCheck.SPIKE, held.steps, curve, (low, high), places)]


def pointwise(held: Ensemble, curve: Array, bound: float) -> list[CurveFinding]:
    """The steps outside of the band."""
    places = np.flatnonzero(np.abs(held.units(curve)) > bound)
    if not len(places):
        return []
    limits = (held.centre - bound * held.scale, held.centre + bound * held.scale)
    return [_finding(CurveCheck.POINTWISE, held.steps, curve, limits, places)]


def _finding(
    check: CurveCheck, steps: NDArray[np.int64], curve: Array, limits: tuple[Array, Array], places: NDArray[np.int64]
) -> CurveFinding:
    low, high = limits
    expected = (low + high) / 2
    shares = np.abs(curve - expected)[places] / ((high - low) / 2)[places]
    first, worst = int(places[0]), int(places[shares.argmax()])
    detail = "" if worst == first else f"furthest at step {steps[worst]}: {curve[worst]:.6g}"
    return CurveFinding(
        check=check,
        step=int(steps[first]),
        last=int(steps[places[-1]]),
        count=len(places),
        value=float(curve[first]),
        expected=float(expected[first]),
        low=float(low[first]),
        high=float(high[first]),
        share=float(shares.max()),
        detail=detail,
    )
