"""MLflow's local stores into curves: an ``mlruns`` directory, or its database in SQLite.

Both are read as they lie: MLflow's own client writes to a store when it opens one, refuses the directories since 3.17 and a database of
another version, and needs SQLAlchemy. So nothing has to be installed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pytest_parity.curves.convert.building import curves_of
from pytest_parity.curves.convert.logged import LoggedRun
from pytest_parity.curves.convert.mlflow_database import is_database, runs_in_database
from pytest_parity.curves.convert.mlflow_files import holds_runs, runs_in_files
from pytest_parity.curves.convert.places import directories
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import CurveError, UsageError

__all__ = ["DATABASE", "from_mlflow", "local_path"]

DATABASE = "mlflow.db"


def from_mlflow(path: str | os.PathLike[str], *, loss: str | None = None, epoch_loss: str | None = None) -> list[Curve]:
    """The curves of all runs of a local store: a directory, a SQLite file, one experiment's or one run's directory, or a tracking URI.

    Every point of a run's history, in the order in which it was logged. Deleted runs and experiments are left out.

    Raises:
        CurveError: no store there, no run in it, a damaged one.
        UsageError: a server's URI, no loss, or two that are equally likely.
    """
    runs = list(_runs(local_path(path)))
    if not runs:
        raise CurveError(f"{path}: no run is in this store of MLflow (deleted ones are left out)")
    return curves_of(runs, str(path), loss, epoch_loss)


def local_path(path: str | os.PathLike[str]) -> Path:
    """The file or directory that a path or a tracking URI (``sqlite:///mlflow.db``, ``file:///...``) means."""
    text = os.fspath(path)
    if database := re.fullmatch(r"sqlite(?:\+\w+)?:(/+)([^/].*)", text):
        slashes, name = len(database[1]), unquote(database[2])
        if slashes == len("///") or (slashes == 1 and Path(name).exists()):  # a Path keeps one of the URI's slashes
            return Path(name)
        return Path(f"/{name}")
    if text.startswith("file:"):
        return Path(unquote(urlsplit(text).path))
    if re.match(r"\w{2,}:/", text):
        raise UsageError(
            f"{text}: only local stores are read: an mlruns directory, or a SQLite file (sqlite:///mlflow.db)"
        )
    return Path(text)


def _runs(place: Path) -> Iterator[LoggedRun]:
    if place.is_file():
        if not is_database(place):
            raise CurveError(f"{place}: not a SQLite database; give MLflow's database, or an mlruns directory")
        yield from runs_in_database(place)
        return
    if not place.is_dir():
        raise CurveError(f"{place}: there is no such file or directory")
    stores = 0
    for one, names, below in directories(place):
        if DATABASE in names:
            stores += 1
            yield from runs_in_database(one / DATABASE)
        if holds_runs(one, names):
            stores += 1
            below.clear()
            yield from runs_in_files(one)
    if not stores:
        raise CurveError(f"{place}: there is no store of MLflow in it (mlruns with meta.yaml files, or {DATABASE})")
