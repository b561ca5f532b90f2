"""Within: a curve judged by a relative tolerance, and by the noise that it has in itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.verdict.complete import aligned
from pytest_parity.curves.verdict.ensemble import ROUNDING, Array, Ensemble, windowed
from pytest_parity.curves.verdict.given import Track
from pytest_parity.curves.verdict.periodic import periodic
from pytest_parity.curves.verdict.rough import rough
from pytest_parity.curves.verdict.single import around, spikes
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["within"]

ALPHA = 1e-4
"""How often each of the three checks of its own noise refuses a curve."""
SHORTEST = 32
"""Steps, below which a curve's own noise is not known."""


def within(track: Track, rtol: float) -> tuple[list[CurveFinding], float]:
    """What is further than ``rtol`` from the recorded mean, and the largest distance as a share of it."""
    kept = aligned(track.steps, track.values, track.recorded_steps, track.finite)
    if not len(kept.values):
        return [], 0.0
    steps, recorded = track.recorded_steps[kept.places], track.recorded[:, kept.places]
    centre = recorded.mean(axis=0)
    allowed = np.maximum(rtol * np.abs(centre), np.finfo(np.float64).tiny)
    shares = np.abs(kept.values - centre) / allowed
    outside = np.flatnonzero(shares > 1)
    findings = _unlike(steps, recorded, kept.values)
    if len(outside):
        findings.append(_outside(steps, kept.values, centre, allowed, outside))
    return findings, float(shares.max())


def _outside(
    steps: NDArray[np.int64], curve: Array, centre: Array, allowed: Array, places: NDArray[np.int64]
) -> CurveFinding:
    first = int(places[0])
    return CurveFinding(
        check=CurveCheck.POINTWISE,
        step=int(steps[first]),
        last=int(steps[places[-1]]),
        count=len(places),
        value=float(curve[first]),
        expected=float(centre[first]),
        low=float(centre[first] - allowed[first]),
        high=float(centre[first] + allowed[first]),
        share=float((np.abs(curve - centre) / allowed)[places].max()),
    )


def _unlike(steps: NDArray[np.int64], recorded: Array, curve: Array) -> list[CurveFinding]:
    """Spikes, waves, and another noise: of each curve against a trend of its own, so that its level and its course say nothing."""
    if len(curve) < SHORTEST:
        return []
    half = max(3, len(curve) // 20)
    own = _trend(recorded.mean(axis=0), half)
    noise = recorded - _trend(recorded, half)
    floor = ROUNDING * np.maximum(np.abs(recorded).max(axis=0), np.finfo(np.float32).tiny)
    scale = np.maximum(np.sqrt(windowed((noise**2).mean(axis=0), half)), floor)
    held = Ensemble(steps, own + noise, own, scale, noise / scale)
    alike = curve - _trend(curve, half) + own
    places, findings = spikes(held, alike, ALPHA)
    alike[places] = own[places]
    return [*findings, *periodic(held, alike, ALPHA)[0], *rough(held, alike, ALPHA)[0]]


def _trend(values: Array, half: int) -> Array:
    return windowed(around(values), half)
