"""The runs that ``parity curves`` is given: metrics files, directories of them, and logs of other libraries."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_parity.cli.terminal import progress
from pytest_parity.curves.convert import convert, kind_of
from pytest_parity.curves.curve import Curve
from pytest_parity.curves.files import find_curves, metrics_path, write_curve
from pytest_parity.curves.groups import Experiment, Run, declared
from pytest_parity.curves.judge import judge
from pytest_parity.curves.reading import read_curve
from pytest_parity.errors import CurveError, UsageError
from pytest_parity.result.curve import CurveComparison

__all__ = ["experiments_judged", "read_runs", "save_converted"]


def read_runs(args: argparse.Namespace, paths: Sequence[str]) -> tuple[list[Run], list[Run]]:
    """Every run below the paths, and those of them that another library has logged.

    Raises ``CurveError`` for what is not there or cannot be read, ``UsageError`` for ``--metric`` where nothing was logged by another.
    """
    found, converted = [], []
    files, logs = _found(paths)
    sizes = {path: path.stat().st_size for path in files}
    with progress(args, "reading", sum(sizes.values())) as advance:
        for path in files:
            found.append(Run(str(path), read_curve(path)))
            advance(sizes[path])
    for log in logs:
        with progress(args, f"converting {log}") as advance:
            curves = convert(log, loss=args.metric)
            advance(0)
        converted += [Run(log if len(curves) == 1 else f"{log}: {one.experiment_name}", one) for one in curves]
    runs = [declared(run, args.unit) for run in (*found, *converted)]
    return runs, runs[len(found) :]


def _found(paths: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Metrics files, each once, and what is none of them."""
    files: dict[str, Path] = {}
    logs: dict[str, str] = {}
    for path in paths:
        if _is_log(path):
            logs.setdefault(os.path.realpath(path), path)
            continue
        for file in find_curves([path]):
            files.setdefault(os.path.realpath(file), file)
    return list(files.values()), list(logs.values())


def _is_log(path: str) -> bool:
    """Whether another library has written it; of a directory, where it has no metrics files."""
    if Path(path).is_dir():
        try:
            find_curves([path])
        except CurveError:
            return kind_of(path) is not None
        return False
    return (Path(path).exists() and Path(path).suffix != ".json" and kind_of(path) is not None) or _is_address(path)


def _is_address(path: str) -> bool:
    """A tracking URI of MLflow."""
    return path.startswith(("sqlite:", "file:"))


def save_converted(runs: Sequence[Run], directory: Path) -> list[Path]:
    """Write them as metrics files, all or none; raises ``UsageError`` where one is there already."""
    if not runs:
        raise UsageError("--convert: nothing was logged by another library, metrics files are what these are already")
    places = [metrics_path(_file_name(run.curve), directory) for run in runs]
    for place in places:
        if place.exists() or places.count(place) > 1:
            why = "is there already" if place.exists() else "would be written twice"
            raise UsageError(
                f"--convert {directory}: {place} {why}; give another directory, or convert one path at a time"
            )
    return [write_curve(replace(run.curve, experiment_name=_file_name(run.curve)), directory) for run in runs]


def _file_name(curve: Curve) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-=+ " else "_" for letter in curve.experiment_name)


def experiments_judged(
    experiments: Sequence[Experiment], references: Sequence[Experiment]
) -> Iterator[tuple[Run, CurveComparison]]:
    """Each run against the recorded ones: of the experiment with its name, where there are several of these."""
    places = {os.path.realpath(run.place) for one in references for run in one.runs}
    for experiment in experiments:
        chosen = _reference(experiment, references)
        for run in experiment.runs:
            if os.path.realpath(run.place) in places:
                raise UsageError(
                    f"--against: {run.place} would be judged by itself, and agrees with that; give recorded runs"
                )
            name = experiment.name if len(experiment.runs) == 1 else Path(run.place).name
            yield run, judge(run.curve, chosen.curves, name=name)


def _reference(experiment: Experiment, references: Sequence[Experiment]) -> Experiment:
    if len(references) == 1:
        return references[0]
    same = [one for one in references if one.name == experiment.name]
    if not same:
        raise UsageError(
            f"--against has {len(references)} experiments ({', '.join(one.name for one in references)}), and none is called "
            f"{experiment.name}: give one's files alone, or judge one experiment at a time"
        )
    return same[0]
