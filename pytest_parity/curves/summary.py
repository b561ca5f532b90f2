"""What there is to say of a run in one line."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.gaps import gaps, stride
from pytest_parity.curves.groups import Run
from pytest_parity.curves.smoothing import moving_average
from pytest_parity.curves.strands import WINDOW
from pytest_parity.result.curve_summary import CurveSummary

__all__ = ["LEARNING_RATES", "seconds_between", "summarized"]

LEARNING_RATES = ("learning_rate", "lr")
"""What the series is called."""


def summarized(run: Run, experiment: str) -> CurveSummary:
    """One run, as a member of an experiment."""
    curve = run.curve
    steps, losses = curve.steps, curve.step_losses
    some = len(steps) > 0
    bad = np.flatnonzero(~np.isfinite(losses))
    best = _lowest(losses)
    places = gaps(steps)
    return CurveSummary(
        file=run.place,
        experiment=experiment,
        experiment_name=curve.experiment_name,
        model_type=curve.model_type,
        unit=curve.unit,
        steps=len(steps),
        first_step=int(steps[0]) if some else 0,
        last_step=int(steps[-1]) if some else 0,
        first=_at(losses, 0),
        last=_at(losses, -1),
        best=_at(losses, best),
        best_step=int(steps[best]) if best is not None else -1,
        smoothed=_at(moving_average(losses[-WINDOW:], WINDOW), -1),
        window=WINDOW,
        nonfinite=len(bad),
        first_nonfinite=int(steps[bad[0]]) if len(bad) else -1,
        gaps=len(places),
        missing=int((np.diff(steps)[places] // max(stride(steps), 1) - 1).sum()),
        repeated=_repeated(steps),
        epochs=len(curve.epochs),
        last_epoch=int(curve.epochs[-1]) if len(curve.epochs) else 0,
        epoch_loss=_at(curve.epoch_losses, -1),
        best_epoch_loss=_at(curve.epoch_losses, _lowest(curve.epoch_losses)),
        start_time=curve.start_time,
        end_time=curve.end_time,
        seconds=seconds_between(curve.start_time, curve.end_time),
        learning_rate=_learning_rate(curve),
        series=tuple(curve.series),
    )


def seconds_between(start: str, end: str | None) -> float | None:
    """The time between two moments as ISO 8601 writes them; ``None`` where one is missing, or no moment."""
    try:
        first, last = (datetime.fromisoformat((text or "").replace("Z", "+00:00")) for text in (start, end))
        return (last - first).total_seconds()
    except (ValueError, TypeError):  # one with a time zone, and one without
        return None


def _at(values: NDArray[np.float64], place: int | None) -> float:
    return float(values[place]) if place is not None and len(values) else math.nan


def _lowest(values: NDArray[np.float64]) -> int | None:
    """The place of the lowest value that is finite."""
    finite = np.isfinite(values)
    return int(np.where(finite, values, np.inf).argmin()) if finite.any() else None


def _repeated(steps: NDArray[np.int64]) -> int:
    if len(steps) < 2 or bool((steps[1:] > steps[:-1]).all()):  # noqa: PLR2004  two make an order
        return 0
    return len(steps) - len(np.unique(steps))


def _learning_rate(curve: Curve) -> float:
    for name in LEARNING_RATES:
        if name in curve.series:
            return _at(curve.series[name].values, -1)
    return math.nan
