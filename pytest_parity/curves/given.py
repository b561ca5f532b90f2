"""Given: what a caller hands over as training curves, in whichever form: files, writers, fields, or nothing but losses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.files import find_curves
from pytest_parity.curves.reading import read_curve
from pytest_parity.errors import UsageError

__all__ = ["curves_of"]

FORMS = (
    "the path of a metrics file, a Curve, a MetricsWriter, a dict of a metrics file's fields, the losses of the steps "
    "(a list, an array or a tensor with one axis), or a list of several of these, one a run"
)


def curves_of(metrics: Any, where: str) -> list[Curve]:
    """The runs that ``metrics`` are, one or several; ``where`` names the call in errors.

    Losses alone are those of steps 1 to n. A directory is the metrics files in it. Raises ``UsageError`` for what is none
    of the forms, ``CurveError`` for a file that cannot be read.
    """
    if isinstance(metrics, (str, os.PathLike)) and Path(metrics).is_dir():
        return [read_curve(file) for file in find_curves(metrics)]
    if not isinstance(metrics, Sequence) or isinstance(metrics, (str, bytes)):
        return [_curve_of(metrics, where)]
    if not len(metrics):
        raise UsageError(f"{where}: an empty list has no loss in it; give {FORMS}")
    scalars = [_is_number(one) for one in metrics]
    if all(scalars):
        return [_curve_of(list(metrics), where)]
    if any(scalars):
        place = scalars.index(not scalars[0])
        raise UsageError(
            f"{where}: item {place} of the list is {_kind(metrics[place])}, and item 0 is {_kind(metrics[0])}; "
            "give the losses of one run, or a list of several runs"
        )
    return [_curve_of(one, f"{where}, run {place + 1} of {len(metrics)}") for place, one in enumerate(metrics)]


def _curve_of(metrics: Any, where: str) -> Curve:
    """One run; see ``curves_of``."""
    if isinstance(metrics, Curve):
        found = metrics
    elif isinstance(metrics, (str, os.PathLike)):
        found = _of_file(Path(metrics), where)
    elif isinstance(metrics, Mapping):
        found = _of_fields(metrics, where)
    elif isinstance(held := getattr(metrics, "curve", None), Curve):
        found = held
    else:
        losses = _losses(metrics, where)
        found = Curve("", steps=np.arange(1, len(losses) + 1, dtype=np.int64), step_losses=losses)
    _check(found, where)
    return found


def _of_file(path: Path, where: str) -> Curve:
    if not path.exists():
        raise UsageError(f"{where}: there is no file {str(path)!r:.200}; give {FORMS}")
    return read_curve(path)


def _of_fields(fields: Mapping[Any, Any], where: str) -> Curve:
    """Of the fields of a metrics file: ``step_losses``, with ``steps`` or as 1 to n; ``epoch_losses`` likewise."""
    if "step_losses" not in fields:
        has = ", ".join(map(repr, list(fields)[:6])) or "nothing"
        raise UsageError(
            f"{where}: the dict has no 'step_losses' (it has {has}); give {{'steps': [...], 'step_losses': [...]}}"
        )
    losses = _losses(fields["step_losses"], f"{where}, step_losses")
    epochs = _losses(fields.get("epoch_losses", ()), f"{where}, epoch_losses")
    declared = fields.get("series")
    loss = declared.get("loss") if isinstance(declared, Mapping) else None
    return Curve(
        str(fields.get("experiment_name", "")),
        model_type=str(fields.get("model_type", "")),
        steps=_numbers(fields.get("steps"), len(losses), f"{where}, steps"),
        step_losses=losses,
        epochs=_numbers(fields.get("epochs"), len(epochs), f"{where}, epochs"),
        epoch_losses=epochs,
        unit=str(loss.get("unit", "")) if isinstance(loss, Mapping) else "",
    )


def _numbers(values: Any, count: int, where: str) -> NDArray[np.int64]:
    """Step numbers; 1 to ``count`` where there are none."""
    if values is None:
        return np.arange(1, count + 1, dtype=np.int64)
    found = _losses(values, where)
    if not np.array_equal(found, np.rint(found)):
        raise UsageError(f"{where}: {found[found != np.rint(found)][0]:g} is no number of a step; they are whole")
    return found.astype(np.int64)


def _losses(values: Any, where: str) -> NDArray[np.float64]:
    """An array with one axis; numpy's, a tensor's, or of a list of numbers and of tensors without an axis."""
    if isinstance(values, (list, tuple)):
        for place, one in enumerate(values):
            if one is not None and not _is_number(one):
                raise UsageError(f"{where}: item {place} is {_kind(one)}, and a loss is a number; give {FORMS}")
        return np.array([np.nan if one is None else _number(one) for one in values], np.float64)
    tensor = values.detach().cpu().double() if hasattr(values, "detach") else values
    if not hasattr(tensor, "__array__"):
        raise UsageError(f"{where} was given {_kind(values)}; give {FORMS}")
    array = np.asarray(tensor)
    if array.dtype.kind not in "fiu":
        raise UsageError(f"{where} was given {_kind(values)} of {array.dtype}, and losses are real numbers")
    if array.ndim != 1:
        raise UsageError(
            f"{where} was given {_kind(values)} of shape {tuple(array.shape)}; the losses of one run have one axis, "
            "and several runs are a list of them: list(losses)"
        )
    return array.astype(np.float64)


def _check(curve: Curve, where: str) -> None:
    """What is side by side has one length."""
    for steps, losses, what in (
        (curve.steps, curve.step_losses, ("steps", "step_losses")),
        (curve.epochs, curve.epoch_losses, ("epochs", "epoch_losses")),
    ):
        if len(steps) != len(losses):
            raise UsageError(
                f"{where}: there are {len(steps):,} {what[0]} and {len(losses):,} {what[1]}, and each has one of the other"
            )


def _number(value: Any) -> float:
    """A tensor that still has its graph says nothing about it by its item."""
    return float(value.item() if hasattr(value, "item") else value)


def _is_number(value: Any) -> bool:
    """A Python number, numpy's, or a tensor without an axis; no truth value."""
    if isinstance(value, (bool, np.bool_)):
        return False
    if isinstance(value, (int, float, np.integer, np.floating)):
        return True
    return (
        getattr(value, "ndim", None) == 0 and hasattr(value, "item") and not isinstance(value.item(), (bool, complex))
    )


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
