"""Lines: what is drawn of a verdict, few enough points for a screen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.thinning import thinned
from pytest_parity.curves.verdict.ensemble import Array
from pytest_parity.curves.verdict.given import Given
from pytest_parity.result.curve import CurveLine

__all__ = ["drawn"]

POINTS = 600


def drawn(found: Given, limits: tuple[Array, Array] | None, places: NDArray[np.int64]) -> tuple[CurveLine, ...]:
    """The candidate, all that was recorded (``mean`` or ``reference``), and the band at these of the recorded steps."""
    track = found.tracks[0]
    role = "mean" if len(track.recorded) > 1 else "reference"
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite there is drawn so
        recorded = track.recorded.mean(axis=0)
    lines = [
        _line(found.label or found.name, "candidate", track.steps, track.values),
        _line("golden", role, track.recorded_steps, recorded),
    ]
    if limits is not None and len(places):
        kept = np.unique(np.linspace(0, len(places) - 1, min(POINTS, len(places))).astype(np.int64))
        low, high = (tuple(edge[kept].tolist()) for edge in limits)
        lines.append(CurveLine("band", "band", tuple(track.recorded_steps[places][kept].tolist()), low, high))
    return tuple(lines)


def _line(label: str, role: str, steps: NDArray[np.int64], values: Array) -> CurveLine:
    few, kept = thinned(steps, values, POINTS)
    return CurveLine(label, role, tuple(few.tolist()), tuple(kept.tolist()))
