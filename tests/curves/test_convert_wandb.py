"""W&B's run files, as W&B itself writes them offline."""

from __future__ import annotations

import math
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_parity.curves.convert import convert, from_wandb, kind_of
from pytest_parity.curves.convert.wandb_log import WandbLog
from pytest_parity.errors import CurveError, UsageError

PROGRAM = """
import time

import wandb

settings = wandb.Settings(x_disable_stats=True, console="off", x_disable_meta=True)
config = {"model_type": "MDLM", "lr": {"peak": 0.1}}
with wandb.init(mode="offline", project="p", name="mdlm: 1", id="plain", config=config, settings=settings) as run:
    for step in range(1, 400):
        run.log({"train": {"loss": 1 / step}, "lr": 0.1, "text": "x", "flag": True}, step=step)
    values = {"nan": float("nan"), "high": float("inf"), "low": -float("inf")}
    run.log({"train": {"loss": float("nan")}, "odd": values, "page": wandb.Html("<p>x</p>", inject=False)}, step=400)
for start in (0, 2):
    time.sleep(1.1)  # directories are named by the second
    with wandb.init(mode="offline", project="p", name="resumed", id="again", settings=settings) as run:
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        for step in range(start, start + 4):
            run.log({"train_loss": 10.0 - step - start / 4, "epoch": step // 2, "trainer/global_step": step * 10})
        run.log({"val_loss": 1.0})
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("logs")
    places = {name: str(root) for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")}
    environment = {
        **os.environ,
        **places,
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=root, check=True, timeout=120)
    return root


@pytest.fixture
def plain(logs: Path, tmp_path: Path) -> Path:
    """A copy of the first run's file, to be harmed."""
    (found,) = (logs / "wandb").glob("offline-run-*-plain/run-plain.wandb")
    return Path(shutil.copy(found, tmp_path))


def test_a_run_has_every_row_of_its_history(plain: Path):
    assert kind_of(plain) == kind_of(plain.parent) == "wandb"
    (made,) = convert(plain)
    assert made.experiment_name == "mdlm_ 1"
    assert made.model_type == "MDLM"
    assert made.steps.tolist() == list(range(1, 401))
    np.testing.assert_array_equal(made.step_losses, [*(1 / step for step in range(1, 400)), math.nan])
    assert made.start_time
    assert made.end_time is not None
    assert made.end_time >= made.start_time


def test_nested_names_have_dots_and_what_is_no_number_is_left_out(plain: Path):
    series = convert(plain)[0].series
    assert set(series) == {"lr", "odd.nan", "odd.high", "odd.low"}
    assert series["odd.high"].values.tolist() == [math.inf]
    assert series["odd.low"].values.tolist() == [-math.inf]
    assert np.isnan(series["odd.nan"].values).all()
    assert len(series["lr"].values) == 399


def test_a_directory_has_its_runs_and_a_resumed_one_is_one_curve_with_its_steps_twice(logs: Path):
    made = {one.experiment_name: one for one in from_wandb(logs)}
    assert set(made) == {"mdlm_ 1", "resumed"}
    assert made["resumed"].steps.tolist() == [0, 10, 20, 30, 20, 30, 40, 50]
    assert made["resumed"].step_losses.tolist() == [10.0, 9.0, 8.0, 7.0, 7.5, 6.5, 5.5, 4.5]
    assert made["resumed"].epochs.tolist() == [0, 1, 2]


def test_a_step_is_the_metric_that_was_defined_as_such(logs: Path):
    resumed = from_wandb(logs)[-1]
    assert resumed.series["val_loss"].steps.tolist() == [30, 50]
    assert set(resumed.series) == {"val_loss", "trainer/global_step"}


def test_a_run_that_a_kill_has_cut_is_read_up_to_there_and_has_no_end(plain: Path):
    whole = plain.read_bytes()
    for size, zeros in ((len(whole) // 2, 0), (len(whole) // 2, 5000), (32768 + 3, 0), (32768 * 2 - 3, 0)):
        plain.write_bytes(whole[:size] + bytes(zeros))
        (made,) = convert(plain)
        assert 10 < len(made.steps) < 400, size
        assert made.steps.tolist() == list(range(1, len(made.steps) + 1)), size
        assert made.end_time is None, size


def framed(records: list[bytes]) -> bytes:
    """A log as W&B frames it: no piece goes over the end of a block, where less than a piece's header is left zeros."""
    log = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        rest, begun = record, False
        while rest or not begun:
            left = 32768 - len(log) % 32768
            if left < 7:
                log += bytes(left)
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (3 if rest else 4) if begun else (2 if rest else 1)
            log += struct.pack("<IHB", zlib.crc32(piece, zlib.crc32(bytes([kind]))), len(piece), kind) + piece
            begun = True
    return bytes(log)


@pytest.mark.parametrize("left", [0, 1, 6, 7, 8])
def test_records_over_several_blocks_are_put_together_whatever_is_left_of_the_first(tmp_path: Path, left: int):
    records = [b"a" * (32768 - 7 - 7 - left), b"b" * 100_000, b"c"]
    (tmp_path / "run-x.wandb").write_bytes(framed(records))
    assert list(WandbLog(tmp_path / "run-x.wandb").records()) == records


def test_that_is_how_wandb_frames_them(plain: Path):
    assert framed(list(WandbLog(plain).records())) == plain.read_bytes()
    assert plain.stat().st_size > 2 * 32768


@pytest.mark.parametrize(
    "harm",
    [lambda data: bytes([data[0] ^ 1]) + data[1:], lambda data: data[5:], lambda data: bytes(64) + data[64:]],
    ids=["bit", "bytes_lost", "zeros"],
)
def test_a_run_that_is_damaged_in_the_middle_is_no_shorter_curve(plain: Path, harm: Callable[[bytes], bytes]):
    whole = plain.read_bytes()
    half = len(whole) // 2
    plain.write_bytes(whole[:half] + harm(whole[half:]))
    with pytest.raises(
        CurveError, match=r"run-plain.wandb: damaged at byte [\d,]+ of [\d,]+: a record's checksum is wrong"
    ):
        convert(plain)


@pytest.mark.parametrize(("content", "said"), [(b"", "it is empty"), (b"version https", r"it starts with b'version '")])
def test_what_is_no_run_says_so(tmp_path: Path, content: bytes, said: str):
    path = tmp_path / "run-x.wandb"
    path.write_bytes(content)
    with pytest.raises(CurveError, match=rf"run-x.wandb: not the file of a W&B run: {said}"):
        convert(path)


def test_a_directory_without_runs_says_so(tmp_path: Path):
    with pytest.raises(CurveError, match=r"there is no W&B run in it \(run-\*.wandb\)"):
        from_wandb(tmp_path)
    with pytest.raises(CurveError, match=r"there is no such file or directory"):
        from_wandb(tmp_path / "absent")


def test_a_missing_library_says_what_to_type(plain: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("wandb.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"wandb, which is not installed: pip install 'pytest-parity\[wandb\]'"):
        convert(plain)
