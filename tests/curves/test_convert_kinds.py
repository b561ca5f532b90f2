"""Which library wrote it, when several could have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_parity.curves.convert import convert, kind_of
from pytest_parity.errors import CurveError, UsageError


def table(path: Path, loss: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"step,loss\n1,{loss}\n")
    return path


def test_a_directory_without_logs_has_no_kind(tmp_path: Path):
    (tmp_path / "mdlm_metrics.json").write_text("{}")
    (tmp_path / "results.csv").write_text("a,b\n")
    assert kind_of(tmp_path) is None
    assert kind_of(tmp_path / "mdlm_metrics.json") is None
    with pytest.raises(CurveError, match=r"no log is there: no events.out.tfevents.\* of TensorBoard, no metrics.csv"):
        convert(tmp_path)


def test_what_is_not_there_says_so(tmp_path: Path):
    assert kind_of(tmp_path / "absent") is None
    with pytest.raises(CurveError, match=r"absent: there is no such file or directory"):
        convert(tmp_path / "absent")


def test_a_directory_with_logs_of_two_kinds_is_a_question(tmp_path: Path):
    table(tmp_path / "version_0" / "metrics.csv")
    (tmp_path / "version_0" / "events.out.tfevents.1").touch()
    with pytest.raises(
        UsageError, match=r"2 kinds of logs are in it: csv in .*metrics.csv, tensorboard in .*tfevents.1"
    ):
        kind_of(tmp_path)


def test_copies_of_logs_that_a_run_keeps_are_not_looked_at(tmp_path: Path):
    table(tmp_path / "mlruns" / "0" / "run" / "artifacts" / "metrics.csv")
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\n")
    assert kind_of(tmp_path) == "mlflow"
    table(tmp_path / "other" / "mlruns" / "1" / "run" / "artifacts" / "metrics.csv")
    (tmp_path / "other" / "mlflow.db").touch()
    assert kind_of(tmp_path / "other") == "mlflow"
    table(tmp_path / "wandb" / "offline-run-1" / "files" / "metrics.csv")
    (tmp_path / "wandb" / "offline-run-1" / "run-1.wandb").touch()
    assert kind_of(tmp_path / "wandb") == "wandb"


def test_hidden_directories_are_not_looked_into(tmp_path: Path):
    table(tmp_path / ".venv" / "metrics.csv")
    assert kind_of(tmp_path) is None
    table(tmp_path / "shown" / "metrics.csv", loss=2.0)
    assert convert(tmp_path)[0].step_losses.tolist() == [2.0]


def test_no_library_is_imported_before_it_is_needed(tmp_path: Path):
    path = table(tmp_path / "metrics.csv")
    program = (
        "import sys\n"
        "import pytest_parity.curves.convert as c\n"
        "assert 'numpy' not in sys.modules\n"
        f"c.convert({str(path)!r})\n"
        "print(sorted({'torch', 'tensorboard', 'wandb', 'mlflow', 'pandas', 'google.protobuf'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
