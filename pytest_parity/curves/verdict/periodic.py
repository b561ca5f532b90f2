"""Periodic: a distance that comes and goes, as the largest peak of its periodogram over the recorded curves' own."""

from __future__ import annotations

import numpy as np

from pytest_parity.curves.verdict.blocks import ROUNDED
from pytest_parity.curves.verdict.ensemble import Array, Ensemble
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["IRREGULAR", "periodic"]

SHORTEST = 16
"""Steps of a curve that has a periodogram."""
IRREGULAR = "irregular, most of it in "
"""What the detail begins with where the wave is not all that is there."""
PEAKED = 0.4
"""Of what there is too much, a wave has at least that share within one frequency of its own."""
SPARE = 0.1
"""Of ``alpha``: spectra are neither flat nor of normal noise, and a wave of 5 % is far above its bound."""
CYCLES = 3
"""Of a wave in the whole curve; what has fewer may be any course."""
BESIDE = 3
"""Frequencies on each side that a recorded spectrum is smoothed over."""


def periodic(held: Ensemble, curve: Array, alpha: float) -> tuple[list[CurveFinding], float]:
    """The largest peak, its period and its share of what is allowed, in amplitudes."""
    length = len(curve)
    if length < SHORTEST:
        return [], 0.0
    units = held.units(curve)
    power = _power(units)
    recorded = _power(held.residuals).mean(axis=0)
    if float((held.residuals**2).mean()) < ROUNDED:
        recorded = np.maximum(recorded, 1.0)
    smooth, over = _smoothed(recorded)
    allowed = np.maximum(recorded, smooth) * _rare(SPARE * alpha / len(power), 2 * held.dof * over)
    if length % 2 == 0:
        allowed[-1] *= 2  # the power of period 2 is one square, not the sum of two
    shares = (power / allowed)[1:]
    place = int(shares.argmax())
    share = float(np.sqrt(shares[place]))
    if share <= 1:
        return [], share
    more = np.maximum(power - recorded, 0.0)
    peaked = place + 2 >= CYCLES and float(more[place : place + 3].sum()) >= PEAKED * float(more.sum())
    return [_finding(held, units, place + 2, share, "" if peaked else IRREGULAR)], share


def _power(units: Array) -> Array:
    """From one period in the whole curve on; white noise of variance 1 has 1 everywhere."""
    length = units.shape[-1]
    transformed = np.fft.rfft(units - units.mean(axis=-1, keepdims=True), axis=-1)
    power: Array = (np.abs(transformed) ** 2)[..., 1:] / length
    return power


def _smoothed(power: Array) -> tuple[Array, Array]:
    """Means over as many frequencies below as above, since spectra fall; and over how many."""
    places = np.arange(len(power))
    beside = np.minimum(np.minimum(places, len(power) - 1 - places), BESIDE)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    over = 2.0 * beside + 1
    smooth: Array = (sums[places + beside + 1] - sums[places - beside]) / over
    return smooth, over


def _rare(probability: float, dof: Array) -> Array:
    """What an F of 2 and ``dof`` degrees of freedom exceeds with that probability, in closed form."""
    rare: Array = dof / 2 * (probability ** (-2 / dof) - 1)
    return rare


def _finding(held: Ensemble, units: Array, cycles: int, share: float, manner: str) -> CurveFinding:
    """``value`` is the curve where the wave is highest."""
    length = len(units)
    turns = np.exp(-2j * np.pi * cycles * np.arange(length) / length)
    wave = np.real(2 / length * (units @ turns) * turns.conj())
    crest = int(wave.argmax())
    value, expected = held.centre[crest] + wave[crest] * held.scale[crest], held.centre[crest]
    allowed = abs(value - expected) / share
    spacing = (held.steps[-1] - held.steps[0]) / max(length - 1, 1)
    return CurveFinding(
        check=CurveCheck.OSCILLATION,
        step=int(held.steps[0]),
        last=int(held.steps[-1]),
        count=length,
        value=float(value),
        expected=float(expected),
        low=float(expected - allowed),
        high=float(expected + allowed),
        share=share,
        detail=f"{manner}a period of {length / cycles * spacing:.3g} steps",
    )
