"""What MLflow reads of a run: its own client on a store of files."""

from __future__ import annotations

import math
import os
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from logged_runs import GREEN, RUN, leave_no_trace, sink

from pytest_parity.report.sinks import write_sinks
from pytest_parity.report.sinks.logged import Line, Logged

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_no_trace(tmp_path / "own", monkeypatch)


def stored(place: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, Any]]:
    """A client of the store, and the runs of experiment ``parity`` by their names."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(tracking_uri=place.as_uri(), registry_uri=place.as_uri())
    found = client.search_runs([client.get_experiment_by_name("parity").experiment_id])
    return client, {run.info.run_name: run for run in found}


def points(client: Any, run: Any, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]


def test_a_run_is_read_back_with_its_status_curves_parameters_and_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert not write_sinks([sink("mlflow:store", tmp_path)], [RUN, GREEN]).complaints
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    client, found = stored(tmp_path / "store", monkeypatch)
    run = found["nest/tiny"]
    assert (run.info.status, found["../else where"].info.status) == ("FAILED", "FINISHED")
    assert run.data.params == RUN.config
    assert points(client, run, "loss/reference") == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    ours = points(client, run, "loss/candidate")
    assert math.isnan(ours[1][1])
    assert (ours[2], ours[3]) == ((2, math.inf), (3, 1.5))
    assert sorted(points(client, run, "learning_rate")) == [(1, 0.1), (2, 0.2), (3, 0.3), (3, 0.4)]
    assert points(client, run, "parity/passed") == [(0, 0.0)]
    assert run.data.tags["mlflow.note.content"] == RUN.text
    artifact = Path(mlflow.artifacts.download_artifacts(f"{run.info.artifact_uri}/parity.md"))
    assert artifact.read_text(encoding="utf-8") == RUN.text


def test_more_points_parameters_and_text_than_fit_into_one_request_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    many = Logged("many", config={f"p{i}": "v" * 9000 for i in range(150)}, text="x" * 20_000, headline="many")
    many = replace(many, lines=[Line("loss", range(2500), [float(i) for i in range(2500)])])
    assert not write_sinks([sink("mlflow:store", tmp_path)], [many]).complaints
    client, found = stored(tmp_path / "store", monkeypatch)
    run = found["many"]
    assert points(client, run, "loss") == [(i, float(i)) for i in range(2500)]
    assert len(run.data.params) == 150
    assert run.data.tags["mlflow.note.content"] == "many"


def test_names_that_mlflow_does_not_take_are_written_so_that_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = ("lr-Adam", "lr-Adam/pg1", "loss#1", "a/../b", "(model)")
    run = Logged("names", config={"f(x)=y": "1"}, lines=[Line(name, [1], [2.0]) for name in names])
    assert not write_sinks([sink("mlflow:store", tmp_path)], [run]).complaints
    _, found = stored(tmp_path / "store", monkeypatch)
    assert set(found["names"].data.metrics) == {"lr-Adam", "lr-Adam.pg1", "loss_1", "a/b", "_model_"}
    assert found["names"].data.params == {"f_x__y": "1"}


def test_the_run_that_is_active_stays_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "theirs").as_uri())
    try:
        with mlflow.start_run() as theirs:
            assert not write_sinks([sink("mlflow:store", tmp_path)], [GREEN]).complaints
            assert mlflow.active_run().info.run_id == theirs.info.run_id
            assert mlflow.get_tracking_uri() == (tmp_path / "theirs").as_uri()
    finally:
        mlflow.set_tracking_uri(None)
    assert mlflow.MlflowClient((tmp_path / "theirs").as_uri()).get_run(theirs.info.run_id).data.metrics == {}


def test_an_experiment_that_is_named_for_mlflow_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "nightly")
    (line,) = write_sinks([sink("mlflow:store", tmp_path)], [GREEN]).lines
    assert (
        "1 run in experiment nightly; look at it: MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri " in line
    )


def test_a_server_that_is_not_there_is_a_complaint_and_takes_no_thread_along(tmp_path: Path):
    before = threading.active_count()
    (problem,) = write_sinks([sink("mlflow:http://127.0.0.1:9", tmp_path)], [GREEN]).complaints
    assert problem.startswith("--parity-sink mlflow:http://127.0.0.1:9 could not be written: MlflowException: ")
    assert threading.active_count() == before


def test_nothing_is_told_to_anyone_while_it_is_written():
    from mlflow.telemetry import get_telemetry_client

    assert get_telemetry_client() is None
    assert "mlflow" in sys.modules
