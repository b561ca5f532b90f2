"""Training curves in a table, one line a run, and below it what a picture might hide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pytest_parity.report.words import amount, elided
from pytest_parity.result.curve_summary import CurveSummary

__all__ = ["printable", "summary_notes", "summary_table"]

_HEAD = ("run", "model", "steps", "epochs", "first", "last", "smoothed", "lowest", "last epoch", "lr", "time")
_LEFT = frozenset({"run", "model"})
_LONGEST = 40
_MINUTE, _HOUR = 60, 3600


def summary_table(runs: Sequence[CurveSummary]) -> list[str]:
    """The heading and a line a run; columns about which nothing is known are left out."""
    rows = [_row(run, name) for run, name in zip(runs, _names(runs), strict=True)]
    shown = [place for place in range(len(_HEAD)) if place == 0 or any(row[place] != "-" for row in rows)]
    table = [[row[place] for place in shown] for row in (_HEAD, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    left = [_HEAD[place] in _LEFT for place in shown]
    return [
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in table
    ]


def summary_notes(runs: Sequence[CurveSummary]) -> list[str]:
    """What is wrong or odd with a run, a sentence each."""
    return [f"{name}: {note}" for run, name in zip(runs, _names(runs), strict=True) for note in _notes(run)]


def printable(text: str) -> str:
    """A name as a terminal can show it."""
    shown = text.encode(errors="replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _names(runs: Sequence[CurveSummary]) -> list[str]:
    """What each run is called: as its experiment is where that has one run, else that and its own name."""
    names = [run.experiment for run in runs]
    own = [run.experiment_name or run.file for run in runs]
    return [
        elided(
            printable(name if names.count(name) == 1 else _of(name, mine if own.count(mine) == 1 else run.file)),
            _LONGEST,
        )
        for run, name, mine in zip(runs, names, own, strict=True)
    ]


def _of(experiment: str, run: str) -> str:
    return run if run.startswith(experiment) else f"{experiment}: {run}"


def _row(run: CurveSummary, name: str) -> tuple[str, ...]:
    return (
        name,
        elided(printable(run.model_type), _LONGEST // 2) or "-",
        f"{run.steps:,}",
        f"{run.epochs:,}" if run.epochs else "-",
        f"{run.first:.4g}" if run.steps else "-",
        f"{run.last:.4g}" if run.steps else "-",
        _loss(run.smoothed),
        "-" if math.isnan(run.best) else f"{_loss(run.best)} at {run.best_step:,}",
        _loss(run.epoch_loss) if run.epochs else "-",
        "-" if math.isnan(run.learning_rate) else f"{run.learning_rate:.3g}",
        "-" if run.seconds is None else _time(run.seconds),
    )


def _loss(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.3g} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.3g} min"
    return f"{seconds / _HOUR:.3g} h"


def _notes(run: CurveSummary) -> Iterator[str]:
    if not run.steps:
        yield "no step was logged" if run.epochs else "nothing was logged: neither a step nor an epoch"
    elif run.nonfinite == run.steps:
        yield f"no loss is finite, of {amount(run.steps, 'step')}"
    elif run.nonfinite:
        are = "is" if run.nonfinite == 1 else "are"
        yield f"{amount(run.nonfinite, 'step')} {are} not finite, the first at step {run.first_nonfinite:,}"
    if run.steps and not math.isfinite(run.last) and run.nonfinite < run.steps:
        yield f"it ends with a loss that is not finite, at step {run.last_step:,}"
    if run.gaps:
        yield f"{amount(run.missing, 'step')} missing, in {amount(run.gaps, 'gap')}"
    if run.repeated:
        yield f"{amount(run.repeated, 'step')} logged again, as a resume does"
    if run.start_time and run.end_time is None and (run.steps or run.epochs):  # a log without times says neither
        yield f"no end_time: it is still training, or was killed; it has come to step {run.last_step:,}"
