"""Starting: what a run finds where its metrics file is to be, and what of it is kept."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pytest_parity.curves.curve import Curve, Series
from pytest_parity.curves.journal import Journal
from pytest_parity.curves.reading import Content, read_content
from pytest_parity.curves.whole import write_whole
from pytest_parity.errors import CurveError, UsageError

__all__ = ["held", "started"]


@contextlib.contextmanager
def held(path: Path) -> Iterator[Journal]:
    """The journal of a metrics file that is going to be written, let go where that fails.

    What a killed run left in it is in the file then. Raises ``CurveError`` where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(path)
    except OSError as error:
        raise CurveError(f"{path} cannot be written: {error.strerror}") from None
    try:
        _settle(path, journal)
        yield journal
    except OSError as error:
        journal.close()
        raise CurveError(f"{path} cannot be written: {error.strerror}") from None
    except BaseException:
        journal.close()
        raise


def started(path: Path, head: Curve, *, resume: int | None, overwrite: bool) -> Content:
    """What a run begins with: nothing but its head, or what it resumes. Raises ``CurveError``, ``UsageError``."""
    if resume is not None and overwrite:
        raise UsageError(f"resume={resume} keeps {path.name}, overwrite=True does not; give one of them")
    if path.exists() and resume is not None:
        content = read_content(path)
        return Content(_resumed(path, content.curve, head, resume), content.others)
    if path.exists() and not overwrite:
        raise CurveError(_there(path))
    if resume:
        _warn(f"resume={resume}, and there is no {path}: the curve begins behind step {resume}", 4)
    return Content(head, {})


def _settle(path: Path, journal: Journal) -> None:
    """Write what a killed run's journal has into its file, so that no other file is read with it."""
    if journal.left and path.exists():
        with contextlib.suppress(CurveError):  # a file that nobody can read has nothing to keep
            content = read_content(path)
            write_whole(path, content.curve, content.others)
    if journal.left:
        journal.clear()


def _there(path: Path) -> str:
    try:
        curve = read_content(path).curve
    except CurveError:
        has = "and cannot be read"
    else:
        steps = f"{len(curve.steps)} steps up to {curve.steps.max()}" if len(curve.steps) else "no steps"
        has = f"with {steps}" + (f", of a run that started at {curve.start_time}" if curve.start_time else "")
    return (
        f"{path} is there already, {has}; resume=STEP goes on from a checkpoint of it, overwrite=True begins anew, "
        "another experiment_name keeps both"
    )


def _resumed(path: Path, curve: Curve, head: Curve, step: int) -> Curve:
    for name, own, old in (("unit", head.unit, curve.unit), ("model_type", head.model_type, curve.model_type)):
        if own and old and own != old:
            raise CurveError(
                f"{path} has {name} {old!r}, and the run that resumes it {own!r}; it is another experiment"
            )
    kept = curve.steps <= step
    if len(kept) and not kept.any():
        raise CurveError(
            f"{path}: resume={step} would keep none of its {len(kept)} steps, from {curve.steps.min()} to "
            f"{curve.steps.max()}; overwrite=True begins anew"
        )
    last = int(curve.steps.max()) if len(kept) else 0
    if step > last:
        _warn(
            f"{path}: resume={step}, and the last step in it is {last}: the steps between were not logged, since a kill "
            "loses what came after the last flush; the curve has a gap there",
            5,
        )
    series = {name: _until(one, step) for name, one in curve.series.items()}
    return replace(
        curve,
        **_epochs(path, curve, step, last),
        experiment_name=head.experiment_name,
        model_type=head.model_type or curve.model_type,
        unit=head.unit or curve.unit,
        start_time=curve.start_time or head.start_time,
        end_time=None,
        steps=curve.steps[kept],
        step_losses=curve.step_losses[kept],
        series=series,
    )


def _epochs(path: Path, curve: Curve, step: int, last: int) -> dict[str, Any]:
    """The epochs that had ended by then."""
    if len(curve.epoch_steps) == len(curve.epochs):
        kept = curve.epoch_steps <= step
        return {name: getattr(curve, name)[kept] for name in ("epochs", "epoch_losses", "epoch_steps")}
    if step < last or not len(curve.steps):
        raise CurveError(
            f"{path} does not say after which step each of its {len(curve.epochs)} epochs ended, so none can be kept up to "
            f"step {step}; resume={last} keeps all, another experiment_name begins anew"
        )
    return {}


def _until(series: Series, step: int) -> Series:
    kept = series.steps <= step
    return replace(series, steps=np.asarray(series.steps[kept]), values=np.asarray(series.values[kept]))


def _warn(message: str, level: int) -> None:
    warnings.warn(message, UserWarning, stacklevel=level)
