"""Experiment: what a sink logs of a training curve, each experiment as a run of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_parity.report.marks import plain
from pytest_parity.report.sinks.logged import Line, Logged

__all__ = ["Experiment", "Points", "experiment_runs"]

_OWN = frozenset({"loss", "epoch_loss"})
Points = tuple[Sequence[int], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A metrics file's content, as plain sequences or arrays: steps and values of one length."""

    name: str
    losses: Points
    epoch_losses: Points = ((), ())
    series: Mapping[str, Points] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    """What there is to say of it: ``model_type``, ``unit``; what is empty is left out."""
    notes: Sequence[str] = ()


def experiment_runs(experiments: Iterable[Experiment]) -> list[Logged]:
    """A run for each, in that order; where a name comes again, it gets a number."""
    runs: dict[str, Logged] = {}
    for one in experiments:
        run = _run(one)
        name, count = run.name, 1
        while run.name in runs:
            count += 1
            run = replace(run, name=f"{name} {count}")
        runs[run.name] = run
    return list(runs.values())


def _run(one: Experiment) -> Logged:
    lines = [Line("loss", *one.losses), Line("epoch_loss", *one.epoch_losses, axis="epoch")]
    lines += [Line(f"series/{name}" if name in _OWN else name, *points) for name, points in one.series.items()]
    return Logged(
        name=one.name,
        config={name: value for name, value in one.config.items() if value},
        lines=[line for line in lines if len(line.steps)],
        headline=f"training curve of {one.name}",
        text="".join(f"- {plain(note)}\n" for note in one.notes),
        notes=tuple(one.notes),
    )
