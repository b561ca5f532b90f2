"""MLflow's local stores: directories as its client writes them, and its database."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from pytest_parity.curves.convert import convert, from_mlflow, kind_of
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import CurveError, UsageError

PROGRAM = """
import sys
from mlflow import MlflowClient

client = MlflowClient(tracking_uri=sys.argv[1])
experiment = client.create_experiment("diffusion/small")
for name in ("mdlm: 'a' " + "long " * 20, "deleted", "failed"):
    run = client.create_run(experiment, run_name=name).info.run_id
    for step in range(6):
        client.log_metric(run, "train/loss", float("nan") if step == 3 else 1 / (step + 1), step=step)
        client.log_metric(run, "epoch", step // 2, step=step)
    client.log_metric(run, "grad_norm", float("inf"), step=2)
    client.log_param(run, "model_type", "MDLM")
    client.set_terminated(run, "FAILED" if name == "failed" else "FINISHED")
    if name == "deleted":
        client.delete_run(run)
client.log_metric(client.create_run("0", run_name="going on").info.run_id, "train/loss", 5.0, step=-1)
gone = client.create_experiment("gone")
client.log_metric(client.create_run(gone).info.run_id, "train/loss", 5.0)
client.delete_experiment(gone)
"""

TABLES = """
CREATE TABLE experiments (experiment_id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(256), lifecycle_stage VARCHAR(32));
CREATE TABLE runs (
    run_uuid VARCHAR(32) NOT NULL PRIMARY KEY, name VARCHAR(250), status VARCHAR(9), start_time BIGINT, end_time BIGINT,
    lifecycle_stage VARCHAR(20), experiment_id INTEGER
);
CREATE TABLE metrics (
    "key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,
    CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan)
);
CREATE TABLE params ("key" VARCHAR(250) NOT NULL, value VARCHAR(8000) NOT NULL, run_uuid VARCHAR(32) NOT NULL);
CREATE TABLE tags ("key" VARCHAR(250) NOT NULL, value VARCHAR(8000), run_uuid VARCHAR(32) NOT NULL);
INSERT INTO experiments VALUES (0, 'Default', 'active'), (1, 'small', 'active'), (2, 'gone', 'deleted');
INSERT INTO runs VALUES
    ('aaa', 'mdlm', 'FINISHED', 1700000000000, 1700000060000, 'active', 1),
    ('bbb', 'deleted', 'FINISHED', 1700000000000, NULL, 'deleted', 1),
    ('ccc', NULL, 'RUNNING', 1700000001000, NULL, 'active', 0),
    ('ddd', 'of a deleted experiment', 'FINISHED', 1700000000000, NULL, 'active', 2);
INSERT INTO metrics VALUES
    ('loss', 5.0, 3, 'aaa', 1, 0), ('loss', 4.0, 2, 'aaa', 2, 0), ('loss', 0.0, 1, 'aaa', 3, 1), ('loss', 4.5, 9, 'aaa', 2, 0),
    ('grad_norm', 1.7976931348623157e+308, 1, 'aaa', 1, 0), ('loss', 1.0, 1, 'bbb', 1, 0), ('loss', 7.0, 1, 'ccc', 1, 0),
    ('loss', 1.0, 1, 'ddd', 1, 0);
INSERT INTO params VALUES ('model_type', 'MDLM', 'aaa'), ('lr', '0.1', 'ccc');
INSERT INTO tags VALUES ('mlflow.runName', 'from the tag', 'ccc');
"""
"""Of the columns that MLflow 3.17 makes, those that a curve comes from."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    store = root / "mlruns"
    quiet = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, store.as_uri()]
    subprocess.run(command, env={**os.environ, **quiet}, cwd=root, check=True, timeout=120)
    return store


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(written, tmp_path / "mlruns"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.executescript(TABLES)
    return tmp_path / "mlflow.db"


def by_name(curves: list[Curve]) -> dict[str, Curve]:
    return {one.experiment_name[:4]: one for one in curves}


def test_a_store_of_files_has_every_run_that_is_not_deleted(store: Path):
    assert kind_of(store) == kind_of(store.parent) == "mlflow"
    assert sorted(by_name(convert(store))) == ["fail", "goin", "mdlm"]


def test_a_run_has_its_whole_history(store: Path):
    made = by_name(from_mlflow(store))["mdlm"]
    assert made.experiment_name == ("mdlm_ 'a' " + "long " * 20).strip()
    assert made.model_type == "MDLM"
    assert made.steps.tolist() == list(range(6))
    np.testing.assert_array_equal(made.step_losses, [1.0, 1 / 2, 1 / 3, math.nan, 1 / 5, 1 / 6])
    assert made.epochs.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(made.epoch_losses[[0, 1]], [0.75, math.nan])
    assert list(made.series) == ["grad_norm"]
    assert made.series["grad_norm"].values.tolist() == [math.inf]


def test_a_run_that_goes_on_has_no_end(store: Path):
    made = by_name(from_mlflow(store))
    assert made["goin"].start_time
    assert made["goin"].end_time is None
    assert made["goin"].steps.tolist() == [-1]
    assert made["fail"].end_time is not None


def test_an_experiment_and_a_run_can_be_given_alone(store: Path):
    (going,) = convert(store / "0")
    (run,) = (one for one in (store / "0").iterdir() if one.is_dir() and (one / "metrics").is_dir())
    assert convert(run)[0].experiment_name == going.experiment_name == "going on"
    assert convert(store.as_uri())[0].experiment_name


def test_reading_a_store_writes_nothing(store: Path):
    shutil.rmtree(store / ".trash")
    before = sorted(store.rglob("*"))
    from_mlflow(store)
    assert sorted(store.rglob("*")) == before


def test_a_line_that_a_kill_has_torn_is_no_point_and_one_in_the_middle_is_an_error(store: Path):
    (path,) = (store / "0").glob("*/metrics/train/loss")
    path.write_text("1 5.0 0\n2 4.0 1\n3 3.")
    assert convert(store / "0")[0].step_losses.tolist() == [5.0, 4.0]
    path.write_text("1 5.0 0\n2 4.0x 1\n3 3.0 2\n")
    with pytest.raises(CurveError, match=r"train/loss, line 2: '2 4.0x 1' is no time, value and step"):
        convert(store / "0")


def test_a_store_with_deleted_runs_only_says_so(store: Path):
    for path in store.glob("*/*/meta.yaml"):
        path.write_text(path.read_text().replace("lifecycle_stage: active", "lifecycle_stage: deleted"))
    with pytest.raises(CurveError, match=r"no run is in this store of MLflow \(deleted ones are left out\)"):
        convert(store)


@pytest.mark.parametrize("form", ["{path}", "{directory}", "sqlite:///{path}"])
def test_a_database_has_its_runs_in_the_order_in_which_their_points_were_logged(database: Path, form: str):
    place = form.format(path=database, directory=database.parent)
    assert kind_of(place) == "mlflow"
    first, second = convert(place)
    assert (first.experiment_name, first.model_type, second.experiment_name) == ("mdlm", "MDLM", "from the tag")
    assert first.steps.tolist() == [1, 2, 3, 2]
    np.testing.assert_array_equal(first.step_losses, [5.0, 4.0, math.nan, 4.5])
    assert first.series["grad_norm"].values.tolist() == [math.inf]
    assert np.datetime64(first.end_time) - np.datetime64(first.start_time) == np.timedelta64(60, "s")
    assert second.end_time is None


def test_a_relative_uri_of_a_database_is_below_the_working_directory(database: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(database.parent)
    assert len(convert("sqlite:///mlflow.db")) == 2
    assert len(convert(Path("sqlite:///mlflow.db"))) == 2


def test_a_database_that_is_not_mlflows_or_is_damaged_says_so(tmp_path: Path, database: Path):
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.commit()
    with pytest.raises(CurveError, match=r"other.db: it cannot be read as MLflow's database: no such table: runs"):
        convert(tmp_path / "other.db")
    database.write_bytes(database.read_bytes()[:100])
    with pytest.raises(CurveError, match=r"mlflow.db: it cannot be read as MLflow's database"):
        convert(database)


def test_a_server_is_not_asked():
    with pytest.raises(UsageError, match=r"http://localhost:5000: only local stores are read: an mlruns directory"):
        convert("http://localhost:5000")


def test_a_place_without_a_store_says_so(tmp_path: Path):
    with pytest.raises(
        CurveError, match=r"there is no store of MLflow in it \(mlruns with meta.yaml files, or mlflow.db\)"
    ):
        from_mlflow(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CurveError, match=r"notes.txt: not a SQLite database"):
        from_mlflow(tmp_path / "notes.txt")
