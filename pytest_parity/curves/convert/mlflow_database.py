"""MLflow's store in SQLite, opened for reading only: the tables of runs, metrics and parameters."""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pytest_parity.curves.convert.logged import LoggedRun, model_in
from pytest_parity.errors import CurveError

__all__ = ["is_database", "runs_in_database"]

_MAGIC = b"SQLite format 3\0"
_RUNS = """
    SELECT run_uuid, runs.name, start_time, end_time FROM runs JOIN experiments USING (experiment_id)
    WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' ORDER BY start_time, runs.rowid
"""
_METRICS = "SELECT key, step, CASE WHEN is_nan THEN NULL ELSE value END FROM metrics WHERE run_uuid = ? ORDER BY rowid"
_PARAMS = "SELECT key, value FROM params WHERE run_uuid = ?"
_NAME = "SELECT value FROM tags WHERE run_uuid = ? AND key = 'mlflow.runName'"


def is_database(path: Path) -> bool:
    """Whether it is a database of SQLite, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def runs_in_database(path: Path) -> Iterator[LoggedRun]:
    """Its runs in the order of their starts; not what was deleted."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            for identity, name, start, end in connection.execute(_RUNS).fetchall():
                yield _run(connection, path, identity, name, (start, end))
    except sqlite3.Error as error:
        raise CurveError(f"{path}: it cannot be read as MLflow's database: {error}") from None


def _run(
    connection: sqlite3.Connection, path: Path, identity: str, name: str | None, times: tuple[int | None, int | None]
) -> LoggedRun:
    (tag,) = connection.execute(_NAME, (identity,)).fetchone() or (None,)
    start, end = (None if one is None else one / 1000 for one in times)
    run = LoggedRun(
        name or tag or identity,
        str(path),
        identity=identity,
        model_type=model_in(connection.execute(_PARAMS, (identity,))),
        start=start,
        end=end,
    )
    for key, step, value in connection.execute(_METRICS, (identity,)):
        run.add(key, step, math.nan if value is None else _infinite(value))
    return run


def _infinite(value: float) -> float:
    """MLflow keeps an infinity as the largest float there is."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value
