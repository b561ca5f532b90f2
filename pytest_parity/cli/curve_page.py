"""The interactive page of ``parity curves``: what was found as the document that ``report/html`` shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.groups import Experiment
from pytest_parity.curves.spread import Points
from pytest_parity.curves.strands import WINDOW, Portrait, Strands, strands
from pytest_parity.report.curve_differences import difference_lines
from pytest_parity.report.curve_model import CurvesDocument, DrawnRow, ExperimentRow, PanelRow
from pytest_parity.report.curve_rows import curve_rows
from pytest_parity.report.curve_table import summary_notes
from pytest_parity.report.strict import Number
from pytest_parity.result.curve import CurveComparison
from pytest_parity.result.curve_difference import CurveDifference
from pytest_parity.result.curve_summary import CurveSummary

__all__ = ["CurvesFound", "curves_document"]

_SERIES_POINTS = 500
_HOUR = 3600
_DIGITS = 7


@dataclass(frozen=True, slots=True, eq=False)
class CurvesFound:
    """What ``parity curves`` has found."""

    experiments: tuple[Experiment, ...]
    summaries: tuple[CurveSummary, ...]
    """One a run, in the experiments' order."""
    differences: tuple[CurveDifference, ...]
    judged: tuple[CurveComparison, ...]
    notes: tuple[str, ...]


def curves_document(found: CurvesFound, portraits: Sequence[Portrait], *, title: str, against: str) -> CurvesDocument:
    """The document of the page."""
    return CurvesDocument(
        title=title,
        experiments=[_experiment(one, found.summaries) for one in found.experiments],
        losses=list(_losses(portraits)),
        series=list(_series(found.experiments)),
        differences=difference_lines(found.differences),
        judged=curve_rows(found.judged),
        against=against,
        notes=[*summary_notes(found.summaries), *found.notes],
    )


def _experiment(experiment: Experiment, summaries: Sequence[CurveSummary]) -> ExperimentRow:
    runs = [one for one in summaries if one.experiment == experiment.name]
    lowest = min(runs, key=lambda one: math.inf if math.isnan(one.best) else one.best)
    seconds = [one.seconds for one in runs if one.seconds is not None]
    ends = [one.epoch_loss if one.epochs else one.smoothed for one in runs]
    return ExperimentRow(
        name=experiment.name,
        model_type=runs[0].model_type,
        unit=runs[0].unit,
        runs=len(runs),
        steps=max(one.last_step for one in runs),
        epochs=max(one.last_epoch for one in runs),
        first=_mean([one.first for one in runs]),
        last=_mean([one.last for one in runs]),
        smoothed=_mean([one.smoothed for one in runs]),
        lowest=None if math.isnan(lowest.best) else lowest.best,
        lowest_step=None if math.isnan(lowest.best) else lowest.best_step,
        epoch=_mean([one.epoch_loss for one in runs]),
        spread=float(np.std(ends, ddof=1)) if len(runs) > 1 and np.isfinite(ends).all() else None,
        nonfinite=sum(one.nonfinite for one in runs),
        hours=sum(seconds) / len(seconds) / _HOUR if len(seconds) == len(runs) else None,
    )


def _mean(values: Sequence[float]) -> float | None:
    """``None`` where a run has no such loss, or one that is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.mean(values))
    return None if math.isnan(mean) else mean


def _losses(portraits: Sequence[Portrait]) -> Iterator[PanelRow]:
    """A panel for each meaning of the loss."""
    meanings = dict.fromkeys(one.meaning for one in portraits)
    for kind, value in meanings:
        ours = [one for one in portraits if one.meaning == (kind, value)]
        alone = kind == "unit" or not value or len(meanings) == 1
        yield PanelRow(
            metric="loss" if alone else f"loss of {value}",
            unit=value if kind == "unit" else "",
            steps=[row for one in ours for row in _drawn(one.steps)],
            smoothed=[row for one in ours for row in _drawn(one.smoothed)],
            window=WINDOW,
            epochs=[row for one in ours for row in _drawn(one.epochs)],
        )


def _series(experiments: Sequence[Experiment]) -> Iterator[PanelRow]:
    """A panel for each further metric and its unit."""
    kinds = dict.fromkeys(
        (name, series.unit) for one in experiments for curve in one.curves for name, series in curve.series.items()
    )
    for name, unit in kinds:
        drawn = [
            strands(experiment, partial(_of_series, name=name, unit=unit), _SERIES_POINTS) for experiment in experiments
        ]
        steps = [row for one in drawn for row in _drawn(one)]
        yield PanelRow(metric=name, unit=unit, steps=steps, smoothed=[], window=WINDOW, epochs=[])


def _of_series(curve: Curve, *, name: str, unit: str) -> Points:
    series = curve.series.get(name)
    if series is None or series.unit != unit:
        return np.empty(0, np.int64), np.empty(0)
    return series.steps, series.values


def _drawn(one: Strands) -> Iterator[DrawnRow]:
    """An experiment's lines: of several runs their mean, the band, and each of them."""
    if one.band is None:
        yield from (_row(one, "run", line) for line in one.lines)
        return
    steps, low, high = one.band
    yield _row(one, "mean", one.lines[0])
    yield {**_row(one, "band", (steps, low)), "high": _shorter(high)}
    yield from (_row(one, "run", line, f"{one.name}: run {place}") for place, line in enumerate(one.members, 1))


def _row(one: Strands, role: str, line: Points, label: str = "") -> DrawnRow:
    return DrawnRow(
        label=label or one.label,
        role=role,
        steps=line[0].tolist(),
        values=_shorter(line[1]),
        high=[],
        experiment=one.name,
    )


def _shorter(values: NDArray[np.float64]) -> list[Number]:
    """With the digits that a screen can show, and some more."""
    return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]
