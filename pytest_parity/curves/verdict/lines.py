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


def drawn(
    found: Given, centre: tuple[str, Array], limits: tuple[Array, Array] | None, places: NDArray[np.int64]
) -> tuple[CurveLine, ...]:
    """The candidate, what it is held against (``mean`` or ``reference``), and the band at these of the recorded steps."""
    track = found.tracks[0]
    steps = track.recorded_steps[places]
    role, values = centre
    lines = [_line(found.label or found.name, "candidate", track.steps, track.values)]
    if len(steps):
        lines.append(_line("golden", role, steps, values))
    if limits is not None and len(steps):
        kept = np.unique(np.linspace(0, len(steps) - 1, min(POINTS, len(steps))).astype(np.int64))
        low, high = (tuple(edge[kept].tolist()) for edge in limits)
        lines.append(CurveLine("band", "band", tuple(steps[kept].tolist()), low, high))
    return tuple(lines)


def _line(label: str, role: str, steps: NDArray[np.int64], values: Array) -> CurveLine:
    few, kept = thinned(steps, values, POINTS)
    return CurveLine(label, role, tuple(few.tolist()), tuple(kept.tolist()))
