"""``KIND:WHERE`` of a sink: what is taken, what is refused before a test runs, and what a sink that fails leaves."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from logged_runs import GREEN, RUN, sink

from pytest_parity.errors import UsageError
from pytest_parity.report.sinks import check_sinks, place, write_sinks


@pytest.mark.parametrize(
    ("text", "kind", "where"),
    [
        ("tensorboard:runs", "tensorboard", "{base}/runs"),
        ("tensorboard:/abs/../runs/", "tensorboard", "/runs"),
        ("wandb:runs/", "wandb", "{base}/runs"),
        ("mlflow:./mlruns", "mlflow", "{base}/mlruns"),
    ],
)
def test_a_directory_is_taken_from_where_the_option_was_given(tmp_path: Path, text: str, kind: str, where: str):
    found = sink(text, tmp_path)
    assert (found.kind, str(found.directory)) == (kind, where.format(base=tmp_path))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("wandb://nest", "nest"),
        ("wandb://team/nest/", "team/nest"),
        ("mlflow:http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("mlflow:databricks", "databricks"),
        ("mlflow:sqlite:///runs.db", "sqlite:///{base}/runs.db"),
        ("mlflow:postgresql+psycopg2://host/db", "postgresql+psycopg2://host/db"),
    ],
)
def test_a_project_a_server_and_a_database_are_no_directories(tmp_path: Path, text: str, where: str):
    found = sink(text, tmp_path)
    assert (found.directory, found.where) == (None, where.format(base=tmp_path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("runs", "--parity-sink runs: a sink is tensorboard:DIR, wandb:DIR, wandb://PROJECT, wandb://ENTITY/PROJECT, "),
        ("neptune:runs", "--parity-sink neptune:runs: a sink is tensorboard:DIR"),
        ("tensorboard", "--parity-sink tensorboard: it does not say where to, as in tensorboard:runs"),
        ("mlflow:", "--parity-sink mlflow:: it does not say where to, as in mlflow:mlruns"),
        ("wandb://", "a project of W&B is wandb://PROJECT or wandb://ENTITY/PROJECT"),
        ("wandb://a/b/c", "a project of W&B is wandb://PROJECT or wandb://ENTITY/PROJECT"),
        (
            "mlflow:ftp://host",
            "ftp:// is no place that MLflow's runs are kept in; give a directory, sqlite:///FILE or ",
        ),
    ],
)
def test_what_is_no_sink_is_refused_and_what_is_one_is_named(tmp_path: Path, text: str, problem: str):
    with pytest.raises(UsageError) as refused:
        sink(text, tmp_path)
    assert problem in str(refused.value)


def test_a_place_that_can_be_written_is_taken_whether_it_is_there_or_not(tmp_path: Path):
    for text in (
        "tensorboard:.",
        "tensorboard:not/there/yet",
        "wandb:w",
        "mlflow:m",
        "wandb://nest",
        "mlflow:http://x",
    ):
        check_sinks([sink(text, tmp_path)])
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="runs is a file; name a directory, as in tensorboard:runs"):
        check_sinks([sink("tensorboard:runs/today", tmp_path)])


@pytest.mark.parametrize("kind", ["tensorboard", "wandb", "mlflow"])
@pytest.mark.parametrize("spec", [None, ModuleSpec("wandb", None)], ids=["absent", "a-directory-of-that-name"])
def test_a_library_that_is_missing_is_named_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, spec: ModuleSpec | None
):
    monkeypatch.setattr(place, "find_spec", lambda _: spec)
    with pytest.raises(UsageError) as refused:
        check_sinks([sink(f"{kind}:runs", tmp_path)])
    assert str(refused.value) == (f"--parity-sink {kind}:runs: it needs {kind}: pip install 'pytest-parity[{kind}]'")


@pytest.mark.parametrize(
    ("first", "second"), [("tensorboard:x", "mlflow:x"), ("mlflow:x", "wandb:x/y"), ("mlflow:x/y", "wandb:x")]
)
def test_a_directory_of_mlflows_is_shared_with_no_other(tmp_path: Path, first: str, second: str):
    with pytest.raises(
        UsageError, match="MLflow takes what is in its directory for experiments; give it one of its own"
    ):
        check_sinks([sink(text, tmp_path) for text in (first, second)])
    check_sinks([sink(text, tmp_path) for text in ("mlflow:x", "mlflow:sqlite", "tensorboard:xy", "wandb:xy")])


def test_a_database_needs_what_mlflow_reads_databases_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(place, "_installed", lambda name: name == "mlflow")
    check_sinks([sink("mlflow:http://x", tmp_path)])
    with pytest.raises(UsageError, match="MLflow keeps runs in a database with sqlalchemy: pip install mlflow"):
        check_sinks([sink("mlflow:sqlite:///x.db", tmp_path)])


def test_one_sink_that_fails_is_told_of_and_the_others_are_written(tmp_path: Path):
    (tmp_path / "full").write_text("")
    places = [sink(text, tmp_path) for text in ("tensorboard:full", "tensorboard:runs")]
    written = write_sinks(places, [RUN, GREEN])
    assert written.complaints[0].startswith("--parity-sink tensorboard:full could not be written: ")
    assert written.lines == (
        f"--parity-sink tensorboard:runs: 2 runs; look at them: tensorboard --logdir {tmp_path / 'runs'}",
    )
    assert (tmp_path / "runs/nest/tiny").is_dir()


def test_without_a_run_nothing_is_written(tmp_path: Path):
    written = write_sinks([sink("tensorboard:runs", tmp_path)], [])
    assert (written.lines, written.complaints) == ((), ())
    assert not list(tmp_path.iterdir())


def test_no_library_is_imported_before_there_is_something_to_write():
    import subprocess

    code = "import sys, pytest_parity.plugin, pytest_parity.report.sinks.told, pytest_parity.report.sinks.experiment; "
    code += "print([name for name in ('tensorboard', 'wandb', 'mlflow', 'torch', 'numpy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
