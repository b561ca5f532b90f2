"""CSV logs: Lightning's metrics.csv, and tables of others."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_parity.curves.convert import convert, from_csv, kind_of
from pytest_parity.curves.groups import Run
from pytest_parity.curves.summary import summarized
from pytest_parity.errors import CurveError
from pytest_parity.report.curve_table import summary_notes

LIGHTNING = """\
epoch,lr,step,train_loss_epoch,train_loss_step,val_loss
0,,0,,4.0,
0,,1,,2.0,
0,,1,,,2.5
0,,1,3.0,,
1,,2,,nan,
,0.1,2,,,
"""


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_an_empty_cell_is_no_point_and_nan_is_one(tmp_path: Path):
    path = written(tmp_path / "mdlm" / "version_3" / "metrics.csv", LIGHTNING)
    assert kind_of(path) == kind_of(tmp_path) == "csv"
    (made,) = convert(tmp_path)
    assert made.experiment_name == "mdlm_version_3"
    assert made.steps.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(made.step_losses, [4.0, 2.0, math.nan])
    assert (made.epochs.tolist(), made.epoch_losses.tolist(), made.epoch_steps.tolist()) == ([0], [3.0], [1])
    assert {name: (one.steps.tolist(), one.values.tolist()) for name, one in made.series.items()} == {
        "val_loss": ([1], [2.5]),
        "lr": ([2], [0.1]),
    }
    assert (made.start_time, made.end_time) == ("", None)


def test_a_table_without_times_is_not_said_to_be_still_training(tmp_path: Path):
    path = written(tmp_path / "metrics.csv", LIGHTNING.replace("nan", "1.0"))
    (made,) = from_csv(path)
    killed = replace(made, start_time="2024-12-22T12:00:00")
    notes = [list(summary_notes([summarized(Run("metrics.csv", one), "mdlm")])) for one in (made, killed)]
    assert [len(one) for one in notes] == [0, 1]


def test_a_header_in_the_middle_is_taken_up(tmp_path: Path):
    path = written(tmp_path / "metrics.csv", "step,loss\n1,5\n2,4\nlr,step,loss\n0.1,2,4.5\n0.1,3,3.5\n")
    (made,) = from_csv(path)
    assert made.steps.tolist() == [1, 2, 2, 3]
    assert made.step_losses.tolist() == [5.0, 4.0, 4.5, 3.5]
    assert made.series["lr"].steps.tolist() == [2, 3]


def test_a_table_of_epochs_has_losses_of_epochs(tmp_path: Path):
    path = written(tmp_path / "keras.csv", "epoch,accuracy,loss,val_loss\n0,0.5,3.0,3.5\n1,0.6,2.0,2.5\n")
    (made,) = from_csv(path)
    assert made.experiment_name == "keras"
    assert len(made.steps) == 0
    assert made.epochs.tolist() == [0, 1]
    assert made.epoch_losses.tolist() == [3.0, 2.0]
    assert set(made.series) == {"accuracy", "val_loss"}


def test_times_semicolons_and_a_byte_order_mark_are_read(tmp_path: Path):
    path = written(tmp_path / "run.csv", "\ufeffWall time;Step;Value\r\n1700000000;1;5.0\r\n1700000060;2.0;4.0\r\n")
    (made,) = from_csv(path, loss="Value")
    assert made.steps.tolist() == [1, 2]
    assert np.datetime64(made.end_time) - np.datetime64(made.start_time) == np.timedelta64(60, "s")


def test_the_models_type_is_in_the_hyperparameters_beside_it(tmp_path: Path):
    path = written(tmp_path / "metrics.csv", "step,loss\n1,5\n")
    for text, model in {
        "lr: 0.1\nmodel_type: 'MDLM'\n": "MDLM",
        "model: AR # small\n": "AR",
        "model: null\n": "",
    }.items():
        written(tmp_path / "hparams.yaml", text)
        assert from_csv(path)[0].model_type == model


def test_a_last_line_that_a_kill_has_torn_is_no_row(tmp_path: Path):
    path = written(tmp_path / "metrics.csv", "step,loss,lr\n1,5,0.1\n2,4.")
    assert from_csv(path)[0].steps.tolist() == [1]
    path.write_text("step,loss,lr\n1,5,0.1\n2,4.5,0.1")  # whole, as an editor leaves it
    assert from_csv(path)[0].steps.tolist() == [1, 2]


def test_a_column_of_text_is_no_series(tmp_path: Path):
    path = written(tmp_path / "metrics.csv", "step,loss,phase\n1,5,warmup\n2,4,1\n")
    assert from_csv(path)[0].series == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty: there is no header"),
        ("step,loss\n", "nothing was logged there"),
        ("loss,lr\n1,2\n", r"line 1: no column of steps \(.*\) and none of epochs \(epoch\) in the header: loss, lr"),
        ("step,loss,loss\n1,2,3\n", "line 1: twice in the header: loss"),
        ("step,loss\n1,2\n2,abc\n", "line 3: loss is 'abc', which is no number"),
        ("step,loss\n1,abc\n", "line 2: loss is 'abc', which is no number"),
        ("step,loss\n1,2\n1.5,2\n", "line 3: step is '1.5', which is no whole number"),
        ("step,loss\n1,2\n,2\n", "line 3: step is '', which is no whole number"),
        ("step,loss\n1,2,3\n", r"line 2: 3 cells under a header of 2 \(step, loss\)"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(tmp_path: Path, text: str, message: str):
    path = written(tmp_path / "metrics.csv", text)
    with pytest.raises(CurveError, match=rf"metrics.csv(:|,) {message}"):
        from_csv(path)


def test_what_is_no_text_says_so(tmp_path: Path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(CurveError, match=r"metrics.csv: not a CSV file"):
        from_csv(path)
    path.rename(tmp_path / "other.bin")
    with pytest.raises(CurveError, match=r"there is no metrics.csv in it; give another CSV file by its own name"):
        from_csv(tmp_path)
