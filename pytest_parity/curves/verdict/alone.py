"""Alone: a curve held against one recorded curve, or within a tolerance: what needs no band of several runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.verdict.against import bitwise, completeness
from pytest_parity.curves.verdict.complete import aligned
from pytest_parity.curves.verdict.ensemble import Array
from pytest_parity.curves.verdict.explain import ordered
from pytest_parity.curves.verdict.given import Given, Track
from pytest_parity.curves.verdict.lines import drawn
from pytest_parity.curves.verdict.within import within
from pytest_parity.result.curve import CurveCheck, CurveComparison, CurveFinding, CurveLine

__all__ = ["alone"]

NO_BAND = (
    "one recorded curve has no band: how far another run may be off is not known, and only its own bits pass; "
    "record several seeds, or give rtol="
)


def alone(found: Given, rtol: float | None) -> CurveComparison:
    """The verdict: without ``rtol`` only the recorded curve's own bits pass."""
    main = found.tracks[0]
    kept = aligned(main.steps, main.values, main.recorded_steps, main.finite)
    equal = bitwise(found)
    findings = [one for track in found.tracks for one in completeness(track)]
    share, notes = 0.0, found.notes
    centre = main.recorded[:, kept.places].mean(axis=0)
    if not equal and rtol is not None:
        found_by = [within(track, rtol) for track in found.tracks]
        findings += [one for part, _ in found_by for one in part]
        share = found_by[0][1]
    elif not equal:
        findings += _unlike(main, kept.places, kept.values)
        notes = (*notes, NO_BAND)
    passed = not findings and not equal
    return CurveComparison(
        name=found.name,
        expected=len(main.recorded_steps),
        compared=len(kept.values),
        references=len(main.recorded),
        origin=found.origin if rtol is None else "tolerance",
        findings=ordered(findings),
        equal=equal,
        nearest=str(CurveCheck.POINTWISE) if passed else "",
        share=share if passed else 0.0,
        unit=found.unit,
        lines=_lines(found, centre, rtol, kept.places),
        notes=notes,
    )


def _unlike(track: Track, places: NDArray[np.int64], values: Array) -> list[CurveFinding]:
    """The steps that are not the recorded curve's bits."""
    recorded = track.recorded[0][places]
    other = np.flatnonzero(values != recorded)
    if not len(other):
        return []
    first = int(other[0])
    expected = float(recorded[first])
    steps = track.recorded_steps[places]
    return [
        CurveFinding(
            check=CurveCheck.POINTWISE,
            step=int(steps[first]),
            last=int(steps[other[-1]]),
            count=len(other),
            value=float(values[first]),
            expected=expected,
            low=expected,
            high=expected,
            share=float("inf"),
            detail="one recorded curve has no band",
        )
    ]


def _lines(found: Given, centre: Array, rtol: float | None, places: NDArray[np.int64]) -> tuple[CurveLine, ...]:
    if rtol is None:
        return drawn(found, None, places)
    allowed = rtol * np.abs(centre)
    return drawn(found, (centre - allowed, centre + allowed), places)
