"""What is drawn of an experiment: lines of few enough points for a picture, a band, and the steps that no line can show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.gaps import stride
from pytest_parity.curves.groups import Experiment
from pytest_parity.curves.smoothing import moving_average
from pytest_parity.curves.spread import Points, Spread, spread
from pytest_parity.curves.thinning import thinned

__all__ = ["WINDOW", "Portrait", "Strands", "by_epoch", "by_step", "portrait", "smoothed", "strands"]

WINDOW = 100
"""Logged steps in the moving average."""
_WIDER = 1.5
"""Distances, in those that are usual, from which steps are missing in between."""

Taken = Callable[[Curve], Points]


@dataclass(frozen=True, slots=True, eq=False)
class Strands:
    """An experiment as lines. A ``nan`` in a line breaks it: there a step is missing, or not finite."""

    name: str
    lines: tuple[Points, ...]
    """The mean of several runs, or each of them; then what a run has behind the last step that all have."""
    band: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]] | None
    """Steps, the lowest and the highest of several runs."""
    runs: int
    members: tuple[Points, ...]
    """Of several runs each by itself."""
    bad: NDArray[np.int64]
    """The steps whose loss is not finite, of any run, each once, ascending."""

    @property
    def label(self) -> str:
        """For a legend: which runs, and what the line and the band are."""
        if self.runs == 1:
            return self.name
        told = f"mean of {self.runs} runs, min to max" if self.band else f"{self.runs} runs, logged at other steps"
        return f"{self.name} ({told})"


@dataclass(frozen=True, slots=True, eq=False)
class Portrait:
    """All that is drawn of an experiment's loss."""

    name: str
    meaning: tuple[str, str]
    """Experiments of another share no axis with it."""
    steps: Strands
    smoothed: Strands
    epochs: Strands


def portrait(experiment: Experiment, points: int = 2000) -> Portrait:
    """An experiment as it is drawn, with about so many points a line."""
    return Portrait(
        experiment.name,
        experiment.meaning,
        strands(experiment, by_step, points),
        strands(experiment, smoothed, points),
        strands(experiment, by_epoch, points),
    )


def by_step(curve: Curve) -> Points:
    """Each step's loss."""
    return curve.steps, curve.step_losses


def by_epoch(curve: Curve) -> Points:
    """Each epoch's loss."""
    return curve.epochs, curve.epoch_losses


def smoothed(curve: Curve) -> Points:
    """The moving average; a step whose own loss is not finite is not bridged by it."""
    average = moving_average(curve.step_losses, WINDOW)
    average[~np.isfinite(curve.step_losses)] = np.nan
    return curve.steps, average


def strands(experiment: Experiment, taken: Taken, points: int = 2000) -> Strands:
    """Of each of an experiment's curves what ``taken`` takes."""
    taken_of = [taken(curve) for curve in experiment.curves]
    several = spread(taken_of) if len(taken_of) > 1 else None
    wrong = [steps[~np.isfinite(values)] for steps, values in taken_of]
    each = points if several is None else points // 2
    members = [thinned(*_broken(*one), each) for one in taken_of]
    lines = [one for one in members if len(one[0])] if several is None else _several(several, taken_of, points)
    return Strands(
        experiment.name,
        tuple(lines),
        None if several is None else _band(several, points),
        len(taken_of),
        tuple(members) if len(taken_of) > 1 else (),
        np.unique(np.concatenate(wrong)),
    )


def _several(several: Spread, runs: Sequence[Points], points: int) -> list[Points]:
    """The mean, and what runs have behind the last step that all have."""
    last = several.steps[-1]
    ends = [(steps[steps >= last], values[steps >= last]) for steps, values in runs if steps.max() > last]
    return [thinned(*_broken(steps, values), points) for steps, values in [(several.steps, several.mean), *ends]]


def _band(several: Spread, points: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The band's edges, at the steps that either needs."""
    kept = np.union1d(thinned(several.steps, several.low, points)[0], thinned(several.steps, several.high, points)[0])
    places = np.searchsorted(several.steps, kept)
    return kept, several.low[places], several.high[places]


def _broken(steps: NDArray[np.int64], values: NDArray[np.float64]) -> Points:
    """With a ``nan`` where steps are missing, and where they begin again."""
    usual = stride(steps)
    apart = np.diff(steps)
    places = np.flatnonzero((apart <= 0) | (apart > _WIDER * usual) if usual else apart <= 0)
    if not len(places):
        return steps, values
    return np.insert(steps, places + 1, steps[places]), np.insert(values, places + 1, np.nan)
