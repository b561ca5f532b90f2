"""TensorBoard's event files, as torch's SummaryWriter writes them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from pytest_parity.curves.convert import convert, from_tensorboard, kind_of
from pytest_parity.errors import CurveError, UsageError


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if a package were not installed."""
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def write(directory: Path, losses: dict[int, float], tag: str = "train/loss", **options: int) -> Path:
    """One event file."""
    before = set(directory.glob("*")) if directory.is_dir() else set()
    with SummaryWriter(str(directory), **options) as writer:
        for step, loss in losses.items():
            writer.add_scalar(tag, loss, step, walltime=1_700_000_000 + step)
    (path,) = set(directory.glob("*")) - before
    return path


def test_every_point_is_there_with_its_step_and_value(tmp_path: Path):
    losses = {step: 1 / step for step in range(1, 12_001)}  # TensorBoard itself keeps 10,000
    path = write(tmp_path / "mdlm", losses)
    assert kind_of(path) == kind_of(tmp_path) == "tensorboard"
    (made,) = convert(path)
    assert made.steps.tolist() == list(losses)
    np.testing.assert_array_equal(made.step_losses, np.array(list(losses.values()), np.float32))
    assert made.experiment_name == "mdlm"


def test_times_are_those_of_the_first_and_the_last_point(tmp_path: Path):
    write(tmp_path, {0: 1.0, 60: 2.0})
    (made,) = from_tensorboard(tmp_path)
    assert made.end_time is not None
    assert len(made.start_time) == len("2024-12-22T12:00:00")
    assert np.datetime64(made.end_time) - np.datetime64(made.start_time) == np.timedelta64(60, "s")


def test_values_that_are_not_finite_stay_so(tmp_path: Path):
    write(tmp_path, {1: math.nan, 2: math.inf, 3: -math.inf})
    np.testing.assert_array_equal(from_tensorboard(tmp_path)[0].step_losses, [math.nan, math.inf, -math.inf])


def test_scalars_that_are_tensors_are_read_as_exactly_as_they_are_kept(tmp_path: Path):
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            writer.add_scalar("loss", 0.1 * step, step, new_style=True, double_precision=True)
            writer.add_scalar("lr", 0.1, step, new_style=True)
            writer.add_text("note", "text", step)
            writer.add_histogram("weights", torch.ones(3), step)
    (made,) = from_tensorboard(tmp_path)
    assert made.step_losses.tolist() == [0.1 * step for step in range(3)]
    assert list(made.series) == ["lr"]
    assert made.series["lr"].values.tolist() == [float(np.float32(0.1))] * 3


def test_tensors_of_every_type_that_a_number_has_are_read(tmp_path: Path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util import tensor_util

    half = TensorProto(dtype=14, half_val=[0x3FC0])  # bfloat16, which numpy has not
    made = [tensor_util.make_tensor_proto(np.array(1.5, dtype)) for dtype in ("f2", "f4", "f8")]
    made += [tensor_util.make_tensor_proto(np.array(1, dtype)) for dtype in ("i4", "i8")]
    packed = [TensorProto(dtype=2, tensor_content=np.float64(1.5).tobytes())]
    writer = EventFileWriter(str(tmp_path))
    for step, tensor in enumerate([*made, half, *packed]):
        event = Event(step=step, wall_time=1.0)
        event.summary.value.add(tag="loss", tensor=tensor)
        writer.add_event(event)
    writer.close()
    assert from_tensorboard(tmp_path)[0].step_losses.tolist() == [1.5, 1.5, 1.5, 1.0, 1.0, 1.5, 1.5]


def test_several_files_of_one_run_are_one_curve_and_repeated_steps_stay(tmp_path: Path):
    for number, losses in {1_700_000_009: {1: 5.0, 2: 4.0, 3: 3.0}, 1_700_000_010: {2: 4.5, 3: 3.5, 4: 2.5}}.items():
        write(tmp_path / "new", losses).rename(tmp_path / f"events.out.tfevents.{number}.host.1.0")
    (tmp_path / "new").rmdir()
    (made,) = from_tensorboard(tmp_path)
    assert made.steps.tolist() == [1, 2, 3, 2, 3, 4]
    assert made.step_losses.tolist() == [5.0, 4.0, 3.0, 4.5, 3.5, 2.5]


def test_what_the_writer_purged_is_there_unless_it_is_asked_for_as_tensorboard_shows_it(tmp_path: Path):
    write(tmp_path, {1: 5.0, 2: 4.0, 3: 3.0})
    write(tmp_path, {2: 4.5}, purge_step=2, filename_suffix=".resumed")
    assert from_tensorboard(tmp_path)[0].steps.tolist() == [1, 2, 3, 2]
    purged = from_tensorboard(tmp_path, purge=True)[0]
    assert purged.steps.tolist() == [1, 2]
    assert purged.step_losses.tolist() == [5.0, 4.5]


def test_each_directory_with_event_files_is_a_run(tmp_path: Path):
    write(tmp_path / "mdlm" / "version_0", {1: 5.0})
    write(tmp_path / "mdlm" / "version_1", {1: 6.0})
    write(tmp_path / ".hidden", {1: 7.0})
    made = from_tensorboard(tmp_path)
    assert [one.experiment_name for one in made] == ["mdlm_version_0", "mdlm_version_1"]
    (alone,) = from_tensorboard(tmp_path / "mdlm" / "version_1")
    assert alone.experiment_name == "mdlm_version_1"


def test_the_models_type_is_among_the_hyperparameters(tmp_path: Path):
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_hparams({"model_type": "MDLM", "lr": 0.1}, {"hp/loss": 1.0}, run_name=".")
        writer.add_scalar("train_loss", 1.0, 1)
    assert from_tensorboard(tmp_path)[0].model_type == "MDLM"


def test_a_file_that_a_kill_has_torn_is_read_up_to_there_and_has_no_end(tmp_path: Path):
    path = write(tmp_path, {step: float(step) for step in range(50)})
    whole = path.read_bytes()
    for cut in (1, 4, 10, 30):
        path.write_bytes(whole[:-cut])
        (made,) = from_tensorboard(tmp_path)
        assert made.steps.tolist() == list(range(49)), cut
        assert made.end_time is None, cut
    for cut in (0, 2, 30, 45):
        path.write_bytes(whole[: len(whole) - cut] + bytes(100))
        (made,) = from_tensorboard(tmp_path)
        assert made.steps.tolist() == list(range(50 if cut == 0 else 49)), cut
        assert made.end_time is None, cut


@pytest.mark.parametrize(
    "harm",
    [
        lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
        lambda data, at: data[:at] + data[at + 5 :],
        lambda data, at: data[: at - 200] + bytes(64) + data[at - 136 :],
    ],
    ids=["bit", "bytes_lost", "zeros"],
)
def test_a_file_that_is_damaged_in_the_middle_is_no_shorter_curve(tmp_path: Path, harm: Callable[[bytes, int], bytes]):
    path = write(tmp_path, {step: float(step) for step in range(50)})
    data = path.read_bytes()
    path.write_bytes(harm(data, len(data) // 2))
    with pytest.raises(CurveError, match=r"tfevents.*: damaged at byte [\d,]+ of [\d,]+: a record's checksum is wrong"):
        from_tensorboard(tmp_path)


def test_a_bit_that_fell_over_is_found_wherever_it_is(tmp_path: Path):
    path = write(tmp_path, {step: float(step) for step in range(50)})
    data = path.read_bytes()
    for at in range(len(data) // 2, len(data) // 2 + 100):  # two records, their lengths and checksums
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(CurveError, match="damaged at byte"):
            from_tensorboard(tmp_path)


def test_what_is_no_event_file_says_so(tmp_path: Path):
    path = tmp_path / "events.out.tfevents.1"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CurveError, match=r"tfevents.1: not an event file of TensorBoard"):
        from_tensorboard(path)
    path.write_bytes(b"")
    with pytest.raises(CurveError, match="nothing was logged there"):
        from_tensorboard(path)
    path.unlink()
    with pytest.raises(CurveError, match=r"there is no event file of TensorBoard in it"):
        from_tensorboard(tmp_path)
    with pytest.raises(CurveError, match=r"there is no such file or directory"):
        from_tensorboard(path)


def test_a_missing_library_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, {1: 1.0})
    without(monkeypatch, "tensorboard")
    with pytest.raises(
        UsageError, match=r"tensorboard, which is not installed: pip install 'pytest-parity\[tensorboard\]'"
    ):
        from_tensorboard(path)
