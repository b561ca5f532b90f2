"""Logged runs into curves: the loss by step, the loss by epoch as logged or averaged, everything else as series."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.convert.choosing import Chosen, chosen, epoch_axis, listing
from pytest_parity.curves.convert.logged import LoggedRun, Points, named_apart
from pytest_parity.curves.curve import Curve, Series
from pytest_parity.errors import CurveError, UsageError

__all__ = ["curves_of"]

_Steps = NDArray[np.int64]
_Values = NDArray[np.float64]
_RESERVED = frozenset({"loss", "epoch_end"})
_BEHIND = 2
"""Steps that may follow on the last epoch's end where epochs are so short."""


def curves_of(runs: Iterable[LoggedRun], source: str, loss: str | None, epoch_loss: str | None) -> list[Curve]:
    """One curve for each run that has the loss, in the order of the runs; the others are left out.

    Raises:
        CurveError: nothing was logged, or the loss is not a number throughout.
        UsageError: no run has the loss, or one of them has two that are equally likely.
    """
    every = list(runs)
    logged = [run for run in every if any(map(len, run.points.values()))]
    if not logged:
        faults = [fault for run in every for fault in run.faults.values()]
        raise CurveError(next(iter(faults), f"{source}: nothing was logged there: it has no scalars"))
    found = [(run, tags) for run in logged if (tags := chosen(run, loss, epoch_loss)) is not None]
    if not found:
        if fault := next((run.faults[loss] for run in logged if loss in run.faults), None):
            raise CurveError(fault)
        raise UsageError(f"{source}: {_nothing(loss, epoch_loss)}\n{listing(logged)}")
    kept = list(named_apart(run for run, _ in found))
    return [_curve(run, tags) for run, (_, tags) in zip(kept, found, strict=True)]


def _nothing(loss: str | None, epoch_loss: str | None) -> str:
    asked = [repr(name) for name in (loss, epoch_loss) if name is not None]
    if asked:
        return f"there is no {' and no '.join(asked)}."
    return "which one is the loss? None is called train_loss, train/loss or loss."


def _curve(run: LoggedRun, tags: Chosen) -> Curve:
    if fault := next((run.faults[tag] for tag in (tags.step, tags.epoch) if tag in run.faults), None):
        raise CurveError(fault)
    if run.by_epoch:
        tags = Chosen(None, tags.epoch or tags.step)
    axis = epoch_axis(run.points)
    steps, losses = run.points[tags.step].arrays() if tags.step else Points().arrays()
    known = _epochs_at(run, axis)
    if tags.epoch is None:
        epochs, epoch_losses, ends = _means(_numbers(steps, known), steps, losses)
    else:
        at, epoch_losses = run.points[tags.epoch].arrays()
        by_number = _by_number(at, steps)
        epochs = at if by_number else _numbered(at, _numbers(at, known))
        ends = at if tags.step and not by_number else at[:0]
    used = {tags.step, tags.epoch, axis, *run.faults}
    return Curve(
        experiment_name=run.name,
        model_type=run.model_type,
        start_time=run.start_time,
        end_time=run.end_time,
        steps=steps,
        step_losses=losses,
        epochs=epochs,
        epoch_losses=epoch_losses,
        epoch_steps=ends,
        series={_series_name(tag): Series(*points.arrays()) for tag, points in run.points.items() if tag not in used},
    )


def _series_name(tag: str) -> str:
    """A tag, unless a metrics file means something else by it."""
    return f"logged_{tag}" if tag in _RESERVED else tag


def _epochs_at(run: LoggedRun, axis: str | None) -> tuple[_Steps, _Steps] | None:
    """The steps, sorted, at which the run says which epoch it is, and the epoch; the last word of a step said twice.

    Whole numbers are taken as they are. Fractions are how much is done (0.5 is within the first epoch): epochs from 1.
    """
    if axis is None:
        return None
    steps, values = run.points[axis].arrays()
    finite = np.isfinite(values)
    steps, values = steps[finite], np.round(values[finite], 6)
    if np.any(values % 1 != 0):
        values = np.maximum(np.ceil(values), 1)
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    last = np.append(steps[1:] != steps[:-1], np.ones(min(len(steps), 1), np.bool_))
    return steps[last], values[last].astype(np.int64)


def _numbers(steps: _Steps, known: tuple[_Steps, _Steps] | None) -> _Steps | None:
    """The epoch of each step; ``None`` unless every one of them was logged with its epoch."""
    if known is None or not len(known[0]):
        return None
    at, epochs = known
    place = np.minimum(np.searchsorted(at, steps), len(at) - 1)
    return epochs[place] if np.array_equal(at[place], steps) else None


def _numbered(steps: _Steps, numbers: _Steps | None) -> _Steps:
    """The epochs' numbers: as logged, else the steps where they count by one (Keras), else 1, 2, 3."""
    if numbers is not None:
        return numbers
    counting = len(steps) > 1 and bool(np.all(np.diff(steps) == 1))
    return steps if counting else np.arange(1, len(steps) + 1)


def _by_number(at: _Steps, steps: _Steps) -> bool:
    """Whether what epochs were logged at is their own number: it counts by one, and the steps go on far behind the last."""
    if not len(at) or np.any(np.diff(at) != 1) or (len(at) == 1 and at[0] not in {0, 1}):
        return False
    return bool(np.count_nonzero(steps > at[-1]) > _BEHIND)


def _means(numbers: _Steps | None, steps: _Steps, losses: _Values) -> tuple[_Steps, _Values, _Steps]:
    """The epochs in the order in which they were first seen, the mean of the step losses of each, and its last step."""
    if numbers is None:
        return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
    epochs, first, which = np.unique(numbers, return_index=True, return_inverse=True)
    with np.errstate(invalid="ignore"):  # infinities of both signs make a NaN: that is their mean
        means = np.bincount(which, weights=losses) / np.bincount(which)
    last = np.empty_like(epochs)
    last[which] = steps  # of an epoch's several steps the last assignment stays
    order = np.argsort(first)
    return epochs[order], means[order], last[order]
