"""Training curves as what a sink logs: a run each, a long one thinned."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from pytest_parity.curves.groups import Experiment as Group
from pytest_parity.curves.groups import Run
from pytest_parity.curves.thinning import thinned
from pytest_parity.report.sinks.experiment import Experiment, Points, experiment_runs
from pytest_parity.report.sinks.logged import Logged
from pytest_parity.report.words import amount

__all__ = ["curve_runs"]

_POINTS = 10_000
"""More than any of these places draws of a curve; W&B takes about a second for 2,000."""


def curve_runs(experiments: Iterable[Group]) -> list[Logged]:
    """Each run under its own name, or its experiment's where that is the only one."""
    return experiment_runs(_experiment(one, run) for one in experiments for run in one.runs)


def _experiment(group: Group, run: Run) -> Experiment:
    curve, notes = run.curve, list[str]()
    given = {name: (one.steps, one.values) for name, one in curve.series.items()}
    series = {name: _points(f"{name} of {run.place}", *one, notes) for name, one in given.items()}
    return Experiment(
        group.name if len(group.runs) == 1 else curve.experiment_name or run.place,
        _points(f"loss of {run.place}", curve.steps, curve.step_losses, notes),
        (curve.epochs.tolist(), curve.epoch_losses.tolist()),
        series,
        {
            "experiment": group.name,
            "model_type": curve.model_type,
            "unit": curve.unit,
            "start_time": curve.start_time,
            "end_time": curve.end_time or "",
        },
        tuple(notes),
    )


def _points(what: str, steps: NDArray[Any], values: NDArray[Any], notes: list[str]) -> Points:
    """As lists; what is left out is noted."""
    numbers, kept = thinned(steps, values, _POINTS)
    if len(kept) < len(values):
        notes.append(f"{what}: {len(kept):,} of {amount(len(values), 'point')} are logged; no spike and no gap is lost")
    return numbers.tolist(), kept.tolist()
