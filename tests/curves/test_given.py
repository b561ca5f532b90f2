"""What is handed over as a training curve: every form of it, and what is said of what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.files import write_curve
from pytest_parity.curves.given import curves_of
from pytest_parity.curves.writing import MetricsWriter
from pytest_parity.errors import CurveError, UsageError

LOSSES = [3.0, 2.0, 1.5]
CURVE = Curve("tiny", steps=np.array([1, 2, 3]), step_losses=np.array(LOSSES), unit="nats")


@pytest.mark.parametrize(
    "metrics",
    [
        LOSSES,
        tuple(LOSSES),
        np.array(LOSSES, np.float32),
        torch.tensor(LOSSES, requires_grad=True),
        torch.tensor(LOSSES, dtype=torch.bfloat16),
        [torch.tensor(loss, requires_grad=True) for loss in LOSSES],
        [np.float32(loss) for loss in LOSSES],
        {"steps": [1, 2, 3], "step_losses": LOSSES},
        {"step_losses": LOSSES},
        CURVE,
    ],
    ids=lambda one: type(one).__name__,
)
def test_one_run_in_any_form(metrics: object) -> None:
    (found,) = curves_of(metrics, "assert_curve")
    assert found.steps.tolist() == [1, 2, 3]
    assert found.step_losses.tolist() == LOSSES


def test_a_file_a_directory_and_a_writer(tmp_path: Path) -> None:
    path = write_curve(CURVE, tmp_path)
    assert curves_of(path, "assert_curve")[0].unit == "nats"
    assert [one.experiment_name for one in curves_of(str(tmp_path), "assert_curve")] == ["tiny"]
    with MetricsWriter("other", tmp_path) as writer:
        writer.log_step(1, 3.0)
        assert curves_of(writer, "assert_curve")[0].step_losses.tolist() == [3.0]


def test_a_list_of_several_is_several_runs() -> None:
    assert [len(one.steps) for one in curves_of([LOSSES, np.ones(2), CURVE], "assert_curve")] == [3, 2, 3]


def test_none_is_not_a_number() -> None:
    assert np.isnan(curves_of({"step_losses": [1.0, None]}, "assert_curve")[0].step_losses[1])


def test_epochs_and_a_declared_unit_are_read() -> None:
    fields = {"step_losses": [], "epochs": [1, 2], "epoch_losses": [2.0, 1.0], "series": {"loss": {"unit": "bits"}}}
    (found,) = curves_of(fields, "assert_curve")
    assert (found.epochs.tolist(), found.epoch_losses.tolist(), found.unit) == ([1, 2], [2.0, 1.0], "bits")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("runs/tiny.json", "there is no file 'runs/tiny.json'; give the path of a metrics file, a Curve, "),
        (np.zeros((3, 2)), r"was given a ndarray of shape \(3, 2\); the losses of one run have one axis"),
        (torch.tensor(1.0), r"was given a Tensor of shape \(\); the losses of one run have one axis"),
        (np.array(["a"]), "was given a ndarray of <U1, and losses are real numbers"),
        (3.0, "was given a float; give the path of a metrics file"),
        (None, "was given None; give"),
        ([], "an empty list has no loss in it"),
        ([1.0, "a"], "item 1 of the list is a str, and item 0 is a float"),
        ([True], "run 1 of 1 was given a bool"),
        ({"loss": [1.0]}, "the dict has no 'step_losses' .it has 'loss'."),
        ({"steps": [1], "step_losses": [1.0, 2.0]}, "there are 1 steps and 2 step_losses"),
        ({"steps": [1.5], "step_losses": [1.0]}, "1.5 is no number of a step"),
    ],
)
def test_what_is_no_curve_is_refused(metrics: object, said: str) -> None:
    with pytest.raises(UsageError, match=f"^assert_curve.*{said}"):
        curves_of(metrics, "assert_curve")


def test_a_directory_without_metrics_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises((CurveError, UsageError), match="metrics"):
        curves_of(tmp_path, "assert_curve")
