"""Experiments: the runs that are one another's repetitions, and the losses that may be laid on one axis."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_parity.curves.curve import Curve
from pytest_parity.errors import UsageError

__all__ = ["Experiment", "Run", "declared", "experiment_stem", "grouped", "meaning"]

_ENDING = re.compile(
    r"""
    (?: [_.-] \d{4}-?\d\d-?\d\d (?: [_T-] \d\d[:-]?\d\d [:-]?\d\d (?: \.\d+ )? Z? )?   # a time stamp, or a day alone
      | [_.-] (?: seed | s ) [=_-]? \d+                                               # a seed
      | [ ]+ seed [ =]* \d+
    ) $
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SHOWN = 8


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A curve and what its file is called."""

    place: str
    curve: Curve


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """One or more runs that are alike but for seeds; all have one meaning."""

    name: str
    runs: tuple[Run, ...]

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The runs' curves."""
        return tuple(run.curve for run in self.runs)

    @property
    def meaning(self) -> tuple[str, str]:
        """What the loss is: experiments of another are on no axis with this one."""
        return meaning(self.runs[0].curve)


def meaning(curve: Curve) -> tuple[str, str]:
    """What a curve's loss means: its unit, where the file declares one, else the model's type alone."""
    return ("unit", curve.unit) if curve.unit else ("model_type", curve.model_type)


def declared(run: Run, unit: str | None) -> Run:
    """The run with the unit that is declared for all; ``None`` declares nothing."""
    return run if unit is None else replace(run, curve=replace(run.curve, unit=unit))


def experiment_stem(name: str) -> str:
    """A run's name without the seed and the time stamp at its end: ``mdlm`` of ``mdlm_s3_20241222_120000``."""
    while (found := _ENDING.search(name)) and found.start() > 0:
        name = name[: found.start()]
    return name


def grouped(runs: Sequence[Run], names: Sequence[str] = ()) -> tuple[Experiment, ...]:
    """The runs by experiment, in the order in which they come.

    Runs are of one experiment where their names differ in a seed or a time stamp at the end alone, and model type and
    unit are equal. ``names`` are one a run (equal names are one experiment) or one an experiment. Raises
    ``UsageError`` for another number of them, and for a name that would join what has different meanings.
    """
    found = _found(runs)
    if not names:
        return found
    if len(names) == len(runs):
        return _named(runs, names)
    if len(names) != len(found):
        raise UsageError(_miscounted(runs, found, names))
    by_run = [(name, run) for name, one in zip(names, found, strict=True) for run in one.runs]
    return _named([run for _, run in by_run], [name for name, _ in by_run])


def _found(runs: Iterable[Run]) -> tuple[Experiment, ...]:
    """As the runs' own names say."""
    members: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        curve = run.curve
        members.setdefault((experiment_stem(_name(run)), curve.model_type, curve.unit), []).append(run)
    names = [_name(ours[0]) if len(ours) == 1 else stem for (stem, _, _), ours in members.items()]
    return tuple(
        Experiment(name if names.count(name) == 1 else f"{name} ({_kind(ours[0].curve)})", tuple(ours))
        for name, ours in zip(names, members.values(), strict=True)
    )


def _name(run: Run) -> str:
    return run.curve.experiment_name or run.place


def _kind(curve: Curve) -> str:
    return ", ".join(filter(None, (curve.model_type, curve.unit))) or "no model type"


def _named(runs: Sequence[Run], names: Sequence[str]) -> tuple[Experiment, ...]:
    """One name a run."""
    members: dict[str, list[Run]] = {}
    for name, run in zip(names, runs, strict=True):
        members.setdefault(name, []).append(run)
    for name, ours in members.items():
        first = ours[0]
        for other in ours[1:]:
            if meaning(other.curve) != meaning(first.curve):
                raise UsageError(
                    f"--names calls {first.place} and {other.place} {name!r} both, and their losses are not the same: "
                    f"{_meant(first.curve)}, and {_meant(other.curve)}. Give them two names, or, where they do mean the "
                    "same, declare that with --unit"
                )
    return tuple(Experiment(name, tuple(ours)) for name, ours in members.items())


def _meant(curve: Curve) -> str:
    return f"in {curve.unit!r}" if curve.unit else f"of model type {curve.model_type!r} without a unit"


def _miscounted(runs: Sequence[Run], found: Sequence[Experiment], names: Sequence[str]) -> str:
    listing = "".join(
        f"\n  {one.name}: {', '.join(run.place for run in one.runs[:_SHOWN])}"
        + (f" and {len(one.runs) - _SHOWN} more" if len(one.runs) > _SHOWN else "")
        for one in found
    )
    files, experiments = len(runs), len(found)
    wanted = f"{files}, one a file" + ("" if experiments == files else f", or {experiments}, one an experiment")
    return f"--names has {len(names)} ({', '.join(map(repr, names))}), and there should be {wanted}. Found:{listing}"
