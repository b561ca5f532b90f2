"""Given: a curve and the recorded ones, as arrays over the same steps; what cannot be judged is refused here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.verdict.ensemble import Array
from pytest_parity.errors import UsageError

__all__ = ["Given", "Track", "given"]

ORIGINS = ("seeds", "draws")


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One series of a curve and of the recorded curves: its losses by step, or by epoch."""

    by: str
    """``step`` or ``epoch``."""
    steps: NDArray[np.int64]
    values: Array
    recorded_steps: NDArray[np.int64]
    recorded: Array
    """A row for each recorded curve."""

    @property
    def finite(self) -> NDArray[np.bool_]:
        """The recorded steps at which every recorded curve is finite."""
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(self.recorded).all(axis=0))
        return finite


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What there is to judge."""

    name: str
    origin: str
    unit: str
    label: str
    tracks: tuple[Track, ...]
    """The one that the verdict is counted by first."""
    notes: tuple[str, ...]


def given(curve: Curve, references: Sequence[Curve], *, name: str, origin: str, rtol: float | None) -> Given:
    """Raises ``UsageError`` where there is nothing to judge by."""
    if not references:
        raise UsageError(f"{name}: no recorded curve to judge {curve.experiment_name} by; record one first")
    if origin not in ORIGINS:
        raise UsageError(f"{name}: origin is one of {', '.join(ORIGINS)}, not {origin!r}")
    if rtol is not None and not (math.isfinite(rtol) and rtol > 0):
        raise UsageError(
            f"{name}: rtol is a number above 0, and {rtol!r} is not; leave it out to be judged by the band"
        )
    unit = _unit(curve, references, name)
    tracks = tuple(_tracks(curve, references, name))
    return Given(name, origin, unit, curve.experiment_name, tracks, tuple(_notes(tracks)))


def _unit(curve: Curve, references: Sequence[Curve], name: str) -> str:
    units = list(dict.fromkeys(one.unit for one in references if one.unit))
    if len(units) > 1:
        raise UsageError(
            f"{name}: the recorded curves have losses of {len(units)} units, {', '.join(map(repr, units))}; "
            "record them again, all in one"
        )
    if units and curve.unit and curve.unit != units[0]:
        raise UsageError(
            f"{name}: the loss of {curve.experiment_name} is in {curve.unit!r}, the recorded one in {units[0]!r}; "
            "losses of different meaning are not judged by one another"
        )
    return curve.unit or (units[0] if units else "")


def _tracks(curve: Curve, references: Sequence[Curve], name: str) -> list[Track]:
    tracks = []
    for by in ("step", "epoch"):
        series = [_series(one, by) for one in references]
        if any(len(steps) for steps, _ in series):
            recorded = _same_steps(series, references, name, by)
            tracks.append(Track(by, *_series(curve, by), recorded, np.stack([values for _, values in series])))
    if not tracks:
        raise UsageError(f"{name}: the recorded curves have no losses; record them again")
    if not tracks[0].finite.any():
        raise UsageError(
            f"{name}: the recorded curves have no {tracks[0].by} at which all are finite; record them again"
        )
    return tracks


def _series(curve: Curve, by: str) -> tuple[NDArray[np.int64], Array]:
    steps, values = (curve.steps, curve.step_losses) if by == "step" else (curve.epochs, curve.epoch_losses)
    return np.asarray(steps, np.int64), np.asarray(values, np.float64)


def _same_steps(
    series: list[tuple[NDArray[np.int64], Array]], references: Sequence[Curve], name: str, by: str
) -> NDArray[np.int64]:
    first = series[0][0]
    for (steps, _), one in zip(series, references, strict=True):
        if len(steps) > 1 and not (np.diff(steps) > 0).all():
            place = int(np.flatnonzero(np.diff(steps) <= 0)[0]) + 1
            raise UsageError(
                f"{name}: the recorded curve {one.experiment_name} has {by} {steps[place]} after {steps[place - 1]}; "
                "a golden has every step once, in order: record it again"
            )
        if not np.array_equal(steps, first):
            raise UsageError(
                f"{name}: the recorded curves do not have the same {by}s: {references[0].experiment_name} "
                f"{_span(first)}, {one.experiment_name} {_span(steps)}; record them again, all to the end"
            )
    return first


def _span(steps: NDArray[np.int64]) -> str:
    return f"{len(steps)} from {steps[0]} to {steps[-1]}" if len(steps) else "none"


def _notes(tracks: Sequence[Track]) -> list[str]:
    notes = []
    for track in tracks:
        lost = int((~track.finite).sum())
        if lost:
            first = track.recorded_steps[~track.finite][0]
            notes.append(
                f"{lost} {track.by}{'s are' if lost > 1 else ' is'} not judged, the first {first}: "
                "not every recorded curve is finite there"
            )
        if len(track.recorded) > 1 and (track.recorded == track.recorded[0])[:, track.finite].all():
            notes.append(
                f"all {len(track.recorded)} recorded curves have the same {track.by} losses, bit for bit: they say nothing "
                "of how far another run may be off, and only rounding is allowed; record other seeds"
            )
    return notes
