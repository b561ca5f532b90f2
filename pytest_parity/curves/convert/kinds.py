"""Which library has written a log, by its name, its first bytes, or what lies in the directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_parity.curves.convert.csv_logger import METRICS, from_csv
from pytest_parity.curves.convert.mlflow_database import is_database
from pytest_parity.curves.convert.mlflow_files import holds_runs
from pytest_parity.curves.convert.mlflow_store import DATABASE, from_mlflow, local_path
from pytest_parity.curves.convert.places import directories
from pytest_parity.curves.convert.tensorboard_events import from_tensorboard, is_event_file
from pytest_parity.curves.convert.wandb_log import MAGIC
from pytest_parity.curves.convert.wandb_offline import SUFFIX, from_wandb
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import CurveError, UsageError

__all__ = ["convert", "kind_of"]

_Converter = Callable[[str | os.PathLike[str], str | None, str | None], list[Curve]]
_CONVERTERS: dict[str, _Converter] = {
    "tensorboard": lambda path, loss, epoch_loss: from_tensorboard(path, loss=loss, epoch_loss=epoch_loss),
    "csv": lambda path, loss, epoch_loss: from_csv(path, loss=loss, epoch_loss=epoch_loss),
    "wandb": lambda path, loss, epoch_loss: from_wandb(path, loss=loss, epoch_loss=epoch_loss),
    "mlflow": lambda path, loss, epoch_loss: from_mlflow(path, loss=loss, epoch_loss=epoch_loss),
}


def convert(path: str | os.PathLike[str], *, loss: str | None = None, epoch_loss: str | None = None) -> list[Curve]:
    """The curves of a log of TensorBoard, Lightning's CSV logger, W&B or MLflow, whichever it is.

    Args:
        path: a file, a directory that is looked through, or a tracking URI of MLflow.
        loss: the tag of the loss; by default the one that nobody could mistake (:mod:`pytest_parity.curves.convert.choosing`).
        epoch_loss: the tag of the epochs' losses; by default the loss's own with ``epoch``, else the mean of each epoch.

    Raises:
        CurveError: there is no such log, or it cannot be read.
        UsageError: logs of several kinds are there, or it is not known which metric is the loss.
    """
    place = local_path(path)
    if not place.exists():
        raise CurveError(f"{path}: there is no such file or directory")
    kind = kind_of(place)
    if kind is None:
        raise CurveError(
            f"{path}: no log is there: no events.out.tfevents.* of TensorBoard, no {METRICS} of Lightning, no run-*.wandb of W&B, "
            f"no mlruns or {DATABASE} of MLflow"
        )
    return _CONVERTERS[kind](place, loss, epoch_loss)


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """``tensorboard``, ``csv``, ``wandb``, ``mlflow``, or ``None`` where there is none of these.

    Raises:
        UsageError: a directory with logs of several kinds in it.
    """
    place = local_path(path)
    if place.is_file():
        return _of_file(place)
    found: dict[str, Path] = {}
    if place.is_dir():
        _look(place, found)
    if len(found) > 1:
        places = ", ".join(f"{kind} in {one}" for kind, one in sorted(found.items()))
        raise UsageError(f"{place}: {len(found)} kinds of logs are in it: {places}. Give one of these")
    return next(iter(found), None)


def _of_file(path: Path) -> str | None:
    if is_event_file(path.name):
        return "tensorboard"
    if path.suffix.lower() == ".csv":
        return "csv"
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
    if path.suffix == SUFFIX or head == MAGIC:
        return "wandb"
    return "mlflow" if is_database(path) else None


def _look(root: Path, found: dict[str, Path]) -> None:
    """The kinds below a directory, each with where it was first seen; not within runs of W&B and MLflow, which keep copies of others."""
    for one, names, below in directories(root):
        wandb = next((name for name in names if name.endswith(SUFFIX)), None)
        if wandb is not None:
            found.setdefault("wandb", one / wandb)
            below.clear()
        elif holds_runs(one, names):
            found.setdefault("mlflow", one)
            below.clear()
        else:
            _add(one, names, found)
            if DATABASE in names:
                below[:] = [name for name in below if name != "mlruns"]  # the artifacts of the runs in the database


def _add(one: Path, names: Sequence[str], found: dict[str, Path]) -> None:
    """What one directory that is no run of W&B or MLflow has."""
    if DATABASE in names:
        found.setdefault("mlflow", one / DATABASE)
    if METRICS in names:
        found.setdefault("csv", one / METRICS)
    if events := next(filter(is_event_file, names), None):
        found.setdefault("tensorboard", one / events)
