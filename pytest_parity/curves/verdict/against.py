"""Against: a curve held against several recorded ones, of whose kind it is to be one more."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.verdict.blocks import blocks
from pytest_parity.curves.verdict.complete import aligned
from pytest_parity.curves.verdict.ensemble import Array, Ensemble, ensemble
from pytest_parity.curves.verdict.explain import explanation, ordered, told
from pytest_parity.curves.verdict.given import Given, Track
from pytest_parity.curves.verdict.lines import drawn
from pytest_parity.curves.verdict.periodic import periodic
from pytest_parity.curves.verdict.repeated import few_bits, repeated
from pytest_parity.curves.verdict.rough import rough
from pytest_parity.curves.verdict.single import around, band, pointwise, spikes
from pytest_parity.curves.verdict.stretches import stretches
from pytest_parity.result.curve import CurveCheck, CurveComparison, CurveFinding, CurveLine

__all__ = ["against", "bitwise", "completeness"]

ALPHA = 1e-3
"""How often a curve of the recorded kind is refused, at most, by all checks together."""
CHECKS = 5
"""Which share it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What was found of one track."""

    findings: list[CurveFinding]
    compared: int
    shares: dict[CurveCheck, float]
    held: Ensemble | None
    places: NDArray[np.int64]
    bound: float


def against(found: Given) -> CurveComparison:
    """The verdict."""
    findings = [completeness(track) for track in found.tracks]
    equal = bitwise(found)
    share = ALPHA / CHECKS / len(found.tracks)
    judged = [_judged(track, draws=found.origin == "draws", alpha=share) for track in found.tracks]
    main, every = judged[0], []
    for track, one, whole in zip(found.tracks, judged, findings, strict=True):
        every += [_by(track, finding) for finding in (*whole, *([] if equal else one.findings))]
    nearest = max(main.shares, key=lambda check: main.shares[check], default=None)
    passed = not every and not equal and nearest is not None
    return CurveComparison(
        name=found.name,
        expected=len(found.tracks[0].recorded_steps),
        compared=main.compared,
        references=len(found.tracks[0].recorded),
        origin=found.origin,
        findings=ordered(every),
        equal=equal,
        nearest=str(nearest) if passed else "",
        share=main.shares[nearest] if passed and nearest is not None else 0.0,
        unit=found.unit,
        lines=_lines(found, main),
        notes=found.notes,
    )


def completeness(track: Track) -> list[CurveFinding]:
    """What needs no band."""
    recorded = track.recorded[:, track.finite]
    return [
        *aligned(track.steps, track.values, track.recorded_steps, track.finite).findings,
        *repeated(track.steps, track.values, recorded),
        *few_bits(track.steps, track.values, recorded),
    ]


def bitwise(found: Given) -> bool:
    """Whether the curve is one of the recorded ones, bit for bit."""
    whole = [
        np.array_equal(track.steps, track.recorded_steps)
        and any(np.array_equal(track.values, one, equal_nan=True) for one in track.recorded)
        for track in found.tracks
    ]
    return all(whole)


def _judged(track: Track, *, draws: bool, alpha: float) -> _Judged:
    kept = aligned(track.steps, track.values, track.recorded_steps, track.finite)
    if not len(kept.values):
        return _Judged([], 0, {}, None, kept.places, 0.0)
    held = ensemble(track.recorded_steps[kept.places], track.recorded[:, kept.places], draws=draws)
    why = explanation(held, kept.values)
    places, findings = spikes(held, kept.values / why.factor, alpha)
    curve = _without(held, kept.values, places)
    bound, unscaled = band(held, alpha), curve / why.factor
    shares = {CurveCheck.POINTWISE: float(np.abs(held.units(curve)).max()) / bound}
    findings += pointwise(held, curve, bound)
    drifting, shares[CurveCheck.LEVEL] = stretches(
        held, blocks(held.residuals), curve, alpha, throughout=why.factor != 1
    )
    waving, shares[CurveCheck.OSCILLATION] = periodic(held, unscaled, alpha)
    unlike, shares[CurveCheck.ROUGHNESS] = rough(held, unscaled, alpha)
    findings += [*drifting, *waving, *unlike]
    return _Judged(told(findings, why), len(kept.values), shares, held, kept.places, bound)


def _without(held: Ensemble, curve: Array, places: NDArray[np.int64]) -> Array:
    """The curve with the steps around its spikes in their place, so that one spike is not also a drift and a wave."""
    if not len(places):
        return curve
    cleaned: Array = curve.copy()
    cleaned[places] = (held.centre + held.scale * around(held.units(curve)))[places]
    return cleaned


def _by(track: Track, finding: CurveFinding) -> CurveFinding:
    """Of epochs, told so."""
    if track.by == "step":
        return finding
    return replace(finding, detail="; ".join(filter(None, ("of the epoch losses", finding.detail))))


def _lines(found: Given, main: _Judged) -> tuple[CurveLine, ...]:
    if main.held is None:
        return drawn(found, None, np.empty(0, np.int64))
    limits = (main.held.centre - main.bound * main.held.scale, main.held.centre + main.bound * main.held.scale)
    return drawn(found, limits, main.places)
