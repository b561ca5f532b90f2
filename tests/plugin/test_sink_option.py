"""``--parity-sink``: what a run found, in TensorBoard, once a run, with and without workers; all three at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from logged_runs import leave_no_trace
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from .project import Run, contents

PLACE = "runs/test_one/test_value"


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_no_trace(tmp_path_factory.mktemp("own"), monkeypatch)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


def passed(place: Path | str = PLACE, tag: str = "parity/passed") -> list[float]:
    found = EventAccumulator(str(place))
    found.Reload()
    return [event.value for event in found.Scalars(tag)]


def test_a_check_is_logged_to_all_three_even_where_warnings_are_errors(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
):
    monkeypatch.setenv("SCALE", "1.5")
    before = contents(pytester.path / "golden")
    sinks = ["--parity-sink=tensorboard:runs", "--parity-sink=wandb:logs", "--parity-sink=mlflow:store"]
    result = pytester.runpytest_subprocess("-W", "error", *sinks)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "--parity-sink tensorboard:runs: 1 run; look at it: tensorboard --logdir runs",
            "--parity-sink wandb:logs: 1 run, offline; to upload it: wandb sync logs/wandb/offline-run-*",
            "--parity-sink mlflow:store: 1 run in experiment parity; look at it: MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri store",
        ]
    )
    assert passed() == [0.0]
    assert len(list(Path("logs/wandb").rglob("*.wandb"))) == 1
    (metric,) = Path("store").rglob("metrics/parity/passed")
    assert metric.read_text().split()[1] == "0.0"
    assert contents(pytester.path / "golden") == before
    assert not Path("wandb").exists()


def test_a_run_is_logged_once_with_and_without_workers(recorded: Path, run: Run):
    result = run("--parity-sink", "tensorboard:runs")
    assert result.ret == 0
    assert str(result.stdout).count("1 run; look at it") == 1
    assert passed() == [1.0]
    assert passed(tag="parity/worst_floors_by_step") == [0.0]
    assert [path.parent.name for path in Path("runs").rglob("events*")] == ["test_value"]


def test_places_of_the_ini_file_are_taken_from_there_and_each_is_logged_to_once(
    recorded: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    pytester.makeini("[pytest]\nparity_sink =\n    tensorboard:runs\n    tensorboard:more\n")
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    result = pytester.runpytest(str(recorded), "--parity-sink", "tensorboard:../runs")
    assert result.ret == 0
    assert str(result.stdout).count("look at it") == 2
    assert passed(pytester.path / "more/test_one/test_value") == [1.0]
    assert not list(below.iterdir())


def test_nothing_is_logged_where_tests_are_only_collected_or_there_is_no_case(
    recorded: Path, pytester: pytest.Pytester
):
    assert pytester.runpytest("--collect-only", "--parity-sink", "tensorboard:runs").ret == 0
    pytester.makepyfile(test_plain="def test_it(): pass")
    assert pytester.runpytest("test_plain.py", "--parity-sink", "tensorboard:runs").ret == 0
    assert not Path("runs").exists()


def test_a_recording_is_logged(one_test: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--parity-record", "--parity-sink", "tensorboard:runs").ret == 0
    assert passed(tag="parity/recorded_sites") == [1.0]


@pytest.mark.parametrize(
    ("sink", "problem"),
    [
        ("neptune:x", "--parity-sink neptune:x: a sink is tensorboard:DIR, wandb:DIR, wandb://PROJECT"),
        ("tensorboard:test_one.py", "test_one.py is a file; name a directory"),
        ("mlflow:golden/runs", "--parity-sink mlflow:golden/runs: the goldens are in "),
    ],
)
def test_what_cannot_be_logged_to_ends_the_run_before_a_test(
    recorded: Path, pytester: pytest.Pytester, sink: str, problem: str
):
    result = pytester.runpytest("--parity-sink", sink)
    assert result.ret == 4
    assert problem in str(result.stderr)
    assert "test_value" not in str(result.stdout)


def test_a_place_that_breaks_at_the_end_fails_the_run_and_takes_nothing_from_it(
    recorded: Path, pytester: pytest.Pytester
):
    pytester.makeconftest("""
        def pytest_sessionstart(session):
            open("late", "w").close()
    """)
    options = ("--parity-sink", "tensorboard:late", "--parity-sink", "tensorboard:runs", "--parity-report", "r.json")
    result = pytester.runpytest(*options)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1 of 1 site compared*", "--parity-sink tensorboard:late could not be written: *"])
    assert passed() == [1.0]
    assert Path("r.json").is_file()
    assert pytester.runpytest("--parity-sink", "tensorboard:runs").ret == 0
