"""find_curves and write_curve: which metrics files there are, and putting one there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_parity import CurveError, MetricsWriter, UsageError
from pytest_parity.curves import Curve, Series, find_curves, read_curve, write_curve


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


CURVE = Curve("run", steps=np.array([1, 2]), step_losses=np.array([3.0, 4.0]))


def tree(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("{}")


def test_a_directory_has_those_in_it_and_below():
    tree(
        "runs/b_metrics.json",
        "runs/a_metrics.json",
        "runs/seed1/a_metrics.json",
        "runs/config.json",
        "other_metrics.json",
    )
    tree("runs/.hidden/c_metrics.json", "runs/.d_metrics.json", "runs/a_metrics.json.journal")
    expected = ["runs/a_metrics.json", "runs/b_metrics.json", "runs/seed1/a_metrics.json"]
    assert [str(path) for path in find_curves(["runs"])] == expected
    assert find_curves("runs") == find_curves(Path("runs")) == [Path(name) for name in expected]


def test_a_file_is_taken_whatever_it_is_called_and_in_the_order_given():
    tree("b_metrics.json", "a_metrics.json", "mine.json")
    assert find_curves(["mine.json", "b_metrics.json", "a_metrics.json"]) == [
        Path("mine.json"),
        Path("b_metrics.json"),
        Path("a_metrics.json"),
    ]


def test_each_is_taken_once():
    tree("runs/a_metrics.json", "runs/b_metrics.json")
    Path("runs/z_metrics.json").symlink_to("a_metrics.json")
    found = find_curves(["runs/b_metrics.json", "runs", "./runs/a_metrics.json"])
    assert found == [Path("runs/b_metrics.json"), Path("runs/a_metrics.json")]


def test_a_directory_without_one_is_an_error():
    tree("runs/config.json")
    with pytest.raises(CurveError, match=r"^there is no \*_metrics.json in runs or below it; name the files if"):
        find_curves(["runs"])


def test_a_path_that_is_not_there_is_an_error_with_what_is():
    tree("runs/mdlm_metrics.json")
    with pytest.raises(CurveError, match=r"^there is no runs/mdml_metrics.json; runs has mdlm_metrics.json$"):
        find_curves(["runs/mdml_metrics.json"])
    with pytest.raises(CurveError, match=r"^there is no nowhere/x$"):
        find_curves(["nowhere/x"])


def test_no_path_is_an_error():
    with pytest.raises(UsageError, match=r"name a metrics file, or a directory that has \*_metrics.json"):
        find_curves([])


def test_a_curve_is_written_under_its_name():
    path = write_curve(CURVE, "runs/new")
    assert path == Path("runs/new/run_metrics.json")
    assert read_curve(path).step_losses.tolist() == [3.0, 4.0]
    assert os.listdir("runs/new") == ["run_metrics.json"]  # noqa: PTH208


def test_a_file_that_is_there_is_replaced_only_on_request():
    path = write_curve(CURVE, ".")
    other = replace(CURVE, step_losses=np.array([5.0, 6.0]))
    with pytest.raises(CurveError, match=r"^run_metrics.json is there already; overwrite=True replaces it, another"):
        write_curve(other, ".")
    assert read_curve(path).step_losses.tolist() == [3.0, 4.0]
    write_curve(other, ".", overwrite=True)
    assert read_curve(path).step_losses.tolist() == [5.0, 6.0]


def test_a_run_that_goes_on_is_not_replaced():
    with MetricsWriter("run"), pytest.raises(CurveError, match=r"run_metrics.json is being written"):
        write_curve(CURVE, ".", overwrite=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": np.array([1])}, "run: steps and its values are of one length, and here are 1 and 2"),
        ({"epochs": np.array([1])}, "run: epochs and its values are of one length, and here are 1 and 0"),
        ({"epoch_steps": np.array([1])}, "run: epoch_steps and its values are of one length, and here are 1 and 0"),
        (
            {"series": {"lr": Series(np.array([1]), np.empty(0))}},
            "run: series.lr and its values are of one length, and here are 1 and 0",
        ),
    ],
)
def test_a_curve_whose_arrays_do_not_fit_is_not_written(wrong: dict, said: str):
    with pytest.raises(UsageError, match=said):
        write_curve(replace(CURVE, **wrong), ".")
    assert not list(Path().iterdir())


def test_a_name_that_is_none_of_a_file_is_refused():
    with pytest.raises(UsageError, match=r"experiment_name 'a/b' cannot be a file's name: it has one of"):
        write_curve(replace(CURVE, experiment_name="a/b"), ".")


def test_a_directory_that_cannot_be_is_an_error():
    Path("runs").write_text("")
    with pytest.raises(CurveError, match=r"^runs/run_metrics.json cannot be written: "):
        write_curve(CURVE, "runs")
