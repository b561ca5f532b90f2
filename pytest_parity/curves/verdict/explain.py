"""Explain: a factor or a lag that makes a curve the recorded ones', and which finding comes first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from pytest_parity.curves.verdict.ensemble import Array, Ensemble
from pytest_parity.curves.verdict.periodic import IRREGULAR
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["Explanation", "explanation", "ordered", "told"]

MOST = 0.7
"""Of the usual distance, which is left where a factor or a lag explains it."""
LAGS = 64
SAMPLED = 10_000
"""Steps that a lag is looked for at."""

FIRST = (
    CurveCheck.NONFINITE,
    CurveCheck.ORDER,
    CurveCheck.MISSING,
    CurveCheck.EXTRA,
    CurveCheck.PRECISION,
    CurveCheck.REPEATED,
    CurveCheck.OSCILLATION,
    CurveCheck.ROUGHNESS,
    CurveCheck.SPIKE,
    CurveCheck.DRIFT,
    CurveCheck.LEVEL,
    CurveCheck.POINTWISE,
    CurveCheck.SLOPE,
)
"""What explains others before them: a NaN the mean that is missing, a wave the steps outside of the band."""
EXPLAINED = (CurveCheck.DRIFT, CurveCheck.LEVEL, CurveCheck.POINTWISE, CurveCheck.SLOPE)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One number that most of the distance comes from."""

    factor: float = 1.0
    lag: int = 0


def explanation(held: Ensemble, curve: Array) -> Explanation:
    """The factor or the lag that takes most of the distance away, if one does; a few steps that are far off change neither."""
    large = np.abs(held.centre) >= np.median(np.abs(held.centre)) / 2
    divisors = np.where(large & (held.centre != 0), held.centre, np.nan)
    factor = float(np.nanmedian(curve / divisors)) if np.isfinite(divisors).any() else 1.0
    usual = _distance(curve, held.centre, held.scale)
    scaled = _distance(curve, factor * held.centre, held.scale)
    lag, shifted = _lag(held, curve)
    if min(scaled, shifted) >= MOST * usual or factor == 0:
        return Explanation()
    return Explanation(factor=factor) if scaled <= shifted else Explanation(lag=lag)


def _distance(curve: Array, other: Array, scale: Array) -> float:
    return float(np.median(np.abs(curve - other) / scale))


def _lag(held: Ensemble, curve: Array) -> tuple[int, float]:
    """How many places later the curve is than the recorded ones, and the distance that is left."""
    length = len(curve)
    most = min(LAGS, length // 10)
    if not most:
        return 0, float("inf")
    inside = np.arange(most, length - most, max(1, length // SAMPLED))
    left = {
        lag: _distance(curve[inside], held.centre[inside - lag], held.scale[inside])
        for lag in range(-most, most + 1)
        if lag
    }
    best = min(left, key=left.__getitem__)
    return best, left[best]


def told(findings: Iterable[CurveFinding], why: Explanation) -> list[CurveFinding]:
    """With the factor or the lag, where there is one, at what it explains."""
    if why.lag:
        steps = "1 step" if abs(why.lag) == 1 else f"{abs(why.lag)} steps"
        text = f"{steps} {'behind' if why.lag > 0 else 'ahead of'} the recorded curves"
    elif why.factor != 1.0:
        text = f"{why.factor:.6g} times the recorded curves throughout"
    else:
        return list(findings)
    return [
        replace(one, detail="; ".join(filter(None, (text, one.detail)))) if one.check in EXPLAINED else one
        for one in findings
    ]


def ordered(findings: Iterable[CurveFinding]) -> tuple[CurveFinding, ...]:
    """The likeliest explanation of the others first."""
    return tuple(sorted(findings, key=_place))


def _place(one: CurveFinding) -> float:
    """A curve that is too smooth was averaged, which explains the rest; what is no wave has power at some frequency, too."""
    if one.check is CurveCheck.ROUGHNESS and one.value < one.low:
        return FIRST.index(CurveCheck.OSCILLATION) - 0.5
    if one.check is CurveCheck.OSCILLATION and IRREGULAR in one.detail:
        return len(FIRST)
    return FIRST.index(one.check)
