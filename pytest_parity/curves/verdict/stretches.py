"""Stretches: means over blocks and their trend, for what keeps its sign though no step of it is far off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_parity.curves.verdict.blocks import Blocks, means
from pytest_parity.curves.verdict.ensemble import Array, Ensemble
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["stretches"]

LAST = 8
"""The last eighth is what a curve ends at."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Blocks ``first`` to ``last``, excluding the latter, and how far they are off as a share of what may be."""

    first: int
    last: int
    share: float


def stretches(
    held: Ensemble, model: Blocks, curve: Array, alpha: float, *, throughout: bool = False
) -> tuple[list[CurveFinding], float]:
    """Drift, level and slope, each with a third of ``alpha``, and the largest share.

    ``throughout``: what is off is so from the first step on, as by a factor.
    """
    each = means(held.units(curve), model.edges) / model.deviation
    count = len(each)
    windows = _scanned(model, each, alpha / 3)
    end = _mean(model, each, count - max(1, -(-count // LAST)), count, alpha / 3)
    ramps = [_ramp(model, each, first, alpha / 9) for first in sorted({0, count // 2, 3 * count // 4})]
    outside = [one for one in windows if one.share > 1]
    findings = []
    if outside:
        findings.append(_drift(held, model, curve, outside, throughout=throughout))
    if end.share > 1:
        findings.append(_averaged(CurveCheck.LEVEL, held, model, curve, end))
    trending = [one for one in ramps if one.share > 1]
    if trending:
        findings.append(_sloping(held, model, curve, max(trending, key=lambda one: one.share)))
    return findings, max(one.share for one in (*windows, end, *ramps))


def _scanned(model: Blocks, each: Array, alpha: float) -> list[_Seen]:
    """The whole curve's mean takes half of ``alpha``; stretches of 1, 2, 4, ... blocks, wherever they lie, share the rest."""
    count = len(each)
    lengths = [2**power for power in range(count.bit_length()) if 2**power < count]
    number = sum(count - length + 1 for length in lengths)
    found = [_mean(model, each, 0, count, alpha / 2)]
    for length in lengths:
        sums = np.convolve(each, np.full(length, 1 / length), mode="valid")
        shares = np.abs(sums) / model.bounds(length, alpha / 2 / number)
        found += [_Seen(first, first + length, float(share)) for first, share in enumerate(shares)]
    return found


def _mean(model: Blocks, each: Array, first: int, last: int, alpha: float) -> _Seen:
    weights = np.full(last - first, 1 / (last - first))
    return _Seen(first, last, abs(float(each[first:last] @ weights)) / model.bound(weights, alpha, first))


def _ramp(model: Blocks, each: Array, first: int, alpha: float) -> _Seen:
    """The trend from a block to the end."""
    count = len(each) - first
    if count < 3:  # noqa: PLR2004  two blocks have a level each, no trend
        return _Seen(first, len(each), 0.0)
    weights: Array = np.arange(count, dtype=np.float64) - (count - 1) / 2
    return _Seen(first, len(each), abs(float(each[first:] @ weights)) / model.bound(weights, alpha, first))


def _drift(held: Ensemble, model: Blocks, curve: Array, outside: list[_Seen], *, throughout: bool) -> CurveFinding:
    """From where it first shows to where it last does."""
    earliest = min(outside, key=lambda one: (one.last, -one.first))
    first, last = earliest.first, max(one.last for one in outside)
    if throughout:
        first, last = 0, len(model.edges) - 1
    return _averaged(CurveCheck.DRIFT, held, model, curve, _Seen(first, last, max(one.share for one in outside)))


def _averaged(check: CurveCheck, held: Ensemble, model: Blocks, curve: Array, seen: _Seen) -> CurveFinding:
    start, stop = int(model.edges[seen.first]), int(model.edges[seen.last])
    value, expected = float(curve[start:stop].mean()), float(held.centre[start:stop].mean())
    return _finding(check, held, (start, stop), (value, expected), seen.share)


def _sloping(held: Ensemble, model: Blocks, curve: Array, seen: _Seen) -> CurveFinding:
    start, stop = int(model.edges[seen.first]), int(model.edges[seen.last])
    steps = held.steps[start:stop].astype(np.float64)
    weights = steps - steps.mean()
    weights /= float(weights @ weights) or 1.0
    values = float(curve[start:stop] @ weights), float(held.centre[start:stop] @ weights)
    return _finding(CurveCheck.SLOPE, held, (start, stop), values, seen.share)


def _finding(
    check: CurveCheck, held: Ensemble, places: tuple[int, int], values: tuple[float, float], share: float
) -> CurveFinding:
    (start, stop), (value, expected) = places, values
    allowed = abs(value - expected) / share
    return CurveFinding(
        check=check,
        step=int(held.steps[start]),
        last=int(held.steps[stop - 1]),
        count=stop - start,
        value=value,
        expected=expected,
        low=expected - allowed,
        high=expected + allowed,
        share=share,
    )
