"""MetricsWriter: what a training logs, and what its file says then."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import resource
import time
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_parity import CurveError, MetricsWriter, UsageError
from pytest_parity.curves import read_curve, writing
from pytest_parity.curves.journal import Journal, journal_of, journalled

SEED = ["model_type", "experiment_name", "start_time", "end_time", "epochs", "epoch_losses", "steps", "step_losses"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def journals(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is so small that it is written whole each time."""
    monkeypatch.setattr(writing, "_SMALL", 0)
    monkeypatch.setattr(writing, "_SMALL_EPOCH", 0)


def strict(path: str = "run_metrics.json") -> dict[str, Any]:
    def refused(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refused)


def logged(*losses: Any, name: str = "run", **options: Any) -> MetricsWriter:
    """A run that is closed."""
    with MetricsWriter(name, **options) as metrics:
        for step, loss in enumerate(losses, 1):
            metrics.log_step(step, loss)
    return metrics


def files(directory: str = ".") -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


# what is in the file


def test_the_file_has_the_fields_of_the_format_in_its_order():
    with MetricsWriter("mdlm_wikitext", "checkpoints", model_type="MDLM") as metrics:
        metrics.log_step(1, 3.5)
        metrics.log_step(2, 2.5)
        metrics.log_epoch(1)
        metrics.log_step(3, 2.0)
        metrics.log_epoch(2, 1.75)
    assert metrics.path == Path("checkpoints/mdlm_wikitext_metrics.json")
    assert files() == ["checkpoints"]
    assert files("checkpoints") == ["mdlm_wikitext_metrics.json"]
    content = strict("checkpoints/mdlm_wikitext_metrics.json")
    assert [name for name in content if name != "series"] == SEED
    assert {name: content[name] for name in (*SEED[:2], *SEED[4:])} == {
        "model_type": "MDLM",
        "experiment_name": "mdlm_wikitext",
        "epochs": [1, 2],
        "epoch_losses": [3.0, 1.75],
        "steps": [1, 2, 3],
        "step_losses": [3.5, 2.5, 2.0],
    }


def test_without_epochs_units_and_series_there_is_no_series():
    logged(1.0, 2.0)
    assert list(strict()) == SEED


def test_times_are_local_and_to_the_second():
    before = datetime.now().replace(microsecond=0)  # noqa: DTZ005
    metrics = MetricsWriter("run")
    assert strict()["end_time"] is None
    metrics.close()
    content = strict()
    for name in ("start_time", "end_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", content[name])
        assert before <= datetime.fromisoformat(content[name]) <= datetime.now()  # noqa: DTZ005


def test_a_series_has_its_own_steps_and_its_unit():
    with MetricsWriter("run", unit="nats/token", units={"throughput": "tokens/s"}) as metrics:
        metrics.log_step(1, 3.0, {"learning_rate": 0.1})
        metrics.log_step(2, 2.0, {"learning_rate": 0.2, "throughput": 900})
    assert strict()["series"] == {
        "loss": {"unit": "nats/token"},
        "learning_rate": {"unit": "", "steps": [1, 2], "values": [0.1, 0.2]},
        "throughput": {"unit": "tokens/s", "steps": [2], "values": [900.0]},
    }
    curve = read_curve(metrics.path)
    assert curve.unit == "nats/token"
    assert curve.series["throughput"].unit == "tokens/s"


def test_each_loss_is_kept_bit_for_bit():
    losses = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, float(np.float32(0.1)), 1e16, 123456789.0]
    logged(*losses)
    assert read_curve("run_metrics.json").step_losses.tobytes() == np.array(losses).tobytes()


def test_what_is_not_finite_is_in_a_file_that_every_parser_takes():
    logged(math.nan, math.inf, -math.inf, 1.0)
    assert '"step_losses": [null, 1e999, -1e999, 1.0]' in Path("run_metrics.json").read_text()
    assert strict()["step_losses"] == [None, math.inf, -math.inf, 1.0]
    np.testing.assert_array_equal(read_curve("run_metrics.json").step_losses, [math.nan, math.inf, -math.inf, 1.0])


@pytest.mark.parametrize(
    "loss",
    [
        2,
        2.0,
        np.float32(2),
        np.int64(2),
        np.array(2.0),
        np.array([2.0]),
        torch.tensor(2.0, requires_grad=True),
        torch.tensor([[2.0]]),
        torch.tensor(2.0, dtype=torch.bfloat16),
        torch.tensor(2),
        torch.nn.Parameter(torch.tensor(2.0)),
    ],
)
def test_a_loss_may_be_any_number(loss: Any):
    logged(loss)
    assert strict()["step_losses"] == [2.0]


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (
            torch.ones(4),
            r"the loss of step 1 has the shape \(4,\), and one number is logged; reduce it first: loss.mean\(\)",
        ),
        (np.ones((2, 2)), r"the loss of step 1 has the shape \(2, 2\)"),
        (torch.ones(0), r"the loss of step 1 has the shape \(0,\)"),
        (torch.tensor(1j), "the loss of step 1 has the dtype torch.complex64"),
        (torch.tensor(True), "the loss of step 1 has the dtype torch.bool"),
        (torch.ones((), device="meta"), "the loss of step 1 is a tensor of the device meta, which has no values"),
        (True, "the loss of step 1 is True, not a number"),
        (None, "the loss of step 1 is None, not a number"),
        ("2.0", "the loss of step 1 is '2.0', not a number"),
        (1j, "the loss of step 1 is 1j, not a number"),
    ],
)
def test_what_is_no_number_is_refused(loss: Any, said: str):
    with MetricsWriter("run") as metrics, pytest.raises(UsageError, match=said):
        metrics.log_step(1, loss, {"learning_rate": 0.1})
    assert strict()["steps"] == []
    assert "series" not in strict()


def test_a_tensor_that_changes_later_was_logged_as_it_was():
    metrics = MetricsWriter("run")
    loss = torch.tensor(1.0)
    metrics.log_step(1, loss)
    loss.fill_(9.0)
    metrics.close()
    assert strict()["step_losses"] == [1.0]


class Device:
    """A tensor of a device that may not be waited for: torch's, as far as the writer sees it."""

    def __init__(self, value: float, read: list[str]) -> None:
        self.value, self.read = value, read
        self.shape, self.dtype, self.device = (), "torch.float32", torch.device("cuda", 0)

    def detach(self) -> Device:
        return self

    def reshape(self, shape: tuple[int, ...]) -> Device:
        return self

    def clone(self) -> Device:
        return Device(self.value, self.read)

    def item(self) -> float:
        self.read.append("item")
        return self.value

    __float__ = item


def stacking(monkeypatch: pytest.MonkeyPatch, read: list[str]) -> None:
    def stack(tensors: list[Device]) -> np.ndarray:
        read.append(f"stack {len(tensors)}")
        return np.array([one.value for one in tensors])

    monkeypatch.setattr(torch, "stack", stack)


def test_a_gpu_is_read_once_and_when_the_file_is_written(monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    stacking(monkeypatch, read)
    with MetricsWriter("run", flush_seconds=3600) as metrics:
        for step in range(5):
            metrics.log_step(step, Device(step, read), {"gradient_norm": Device(step, read)})
        assert read == []
    assert read == ["stack 10"]
    assert strict()["step_losses"] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_gpu_that_fails_loses_only_what_was_on_it(monkeypatch: pytest.MonkeyPatch):
    def stack(tensors: list[Device]) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch, "stack", stack)
    metrics = MetricsWriter("run")
    metrics.log_step(1, 3.0)
    metrics.flush()
    metrics.log_step(2, Device(2.0, []))
    with pytest.raises(RuntimeError, match="assert triggered") as caught:
        metrics.flush()
    with pytest.warns(RuntimeWarning, match="1 values could not be read from their device: CUDA error"):
        metrics.__exit__(caught.type, caught.value, None)
    assert strict()["step_losses"] == [3.0]


# epochs


def test_an_epochs_loss_is_the_mean_of_its_steps():
    with MetricsWriter("run") as metrics:
        for step, loss in enumerate([4.0, 2.0, 1.0, 0.0, 2.0], 1):
            metrics.log_step(step, loss)
            if step in {2, 5}:
                metrics.log_epoch(step // 2)
    curve = read_curve(metrics.path)
    assert curve.epoch_losses.tolist() == [3.0, 1.0]
    assert curve.epoch_steps.tolist() == [2, 5]


@pytest.mark.parametrize(("bad", "mean"), [(math.nan, math.nan), (math.inf, math.inf), (-math.inf, -math.inf)])
def test_an_epoch_with_a_loss_that_is_not_finite_has_none(bad: float, mean: float):
    with MetricsWriter("run") as metrics:
        metrics.log_step(1, 1.0)
        metrics.log_step(2, bad)
        metrics.log_epoch(1)
    np.testing.assert_array_equal(read_curve(metrics.path).epoch_losses, [mean])


def test_an_epoch_without_steps_has_no_mean_and_may_have_a_loss():
    with MetricsWriter("run") as metrics:
        with pytest.raises(
            UsageError, match=r"no step was logged in epoch 1, so there is no mean; give log_epoch\(1, loss\)"
        ):
            metrics.log_epoch(1)
        metrics.log_epoch(1, torch.tensor(3.0))
    assert strict()["epoch_losses"] == [3.0]


@pytest.mark.parametrize("number", [1.5, "1", True, None, 2**53])
def test_a_number_that_is_not_whole_is_refused(number: Any):
    with MetricsWriter("run") as metrics:
        with pytest.raises(UsageError, match=r"^step .*: a whole number is meant$"):
            metrics.log_step(number, 1.0)
        with pytest.raises(UsageError, match=r"^epoch .*: a whole number is meant$"):
            metrics.log_epoch(number, 1.0)


@pytest.mark.parametrize("name", ["loss", "epoch_end", "", 3])
def test_a_series_cannot_take_a_name_that_the_file_uses(name: Any):
    with (
        MetricsWriter("run") as metrics,
        pytest.raises(UsageError, match=f"step 1: a series cannot be called {name!r}"),
    ):
        metrics.log_step(1, 1.0, {name: 2.0})


# when it is written


def test_what_was_logged_is_in_the_file_after_a_while():
    metrics = MetricsWriter("run", flush_seconds=0.02)
    metrics.log_step(1, 1.0)
    time.sleep(0.03)
    metrics.log_step(2, 2.0)
    assert strict()["steps"] == [1, 2]
    metrics.close()


def test_until_then_and_without_a_flush_it_is_not():
    metrics = MetricsWriter("run", flush_seconds=3600)
    metrics.log_step(1, 1.0)
    assert strict()["steps"] == []
    assert metrics.curve.steps.tolist() == [1]
    metrics.flush()
    assert strict()["steps"] == [1]
    metrics.log_step(2, 1.0)
    metrics.log_epoch(1)
    assert strict()["steps"] == [1, 2]
    metrics.close()


@pytest.mark.usefixtures("journals")
def test_a_long_file_is_not_written_again_for_each_flush(monkeypatch: pytest.MonkeyPatch):
    sizes = []
    write = writing.write_whole
    monkeypatch.setattr(writing, "write_whole", lambda *args: sizes.append(write(*args)) or sizes[-1])
    with MetricsWriter("run", flush_seconds=0) as metrics:
        for step in range(1, 1001):
            metrics.log_step(step, 1 / step, {"learning_rate": 0.1})
            if step == 900:
                assert read_curve(metrics.path).steps.tolist() == list(range(1, 901))
                assert len(strict()["steps"]) > 600
                assert files() == ["run_metrics.json", "run_metrics.json.journal"]
    assert len(sizes) < 70
    assert files() == ["run_metrics.json"]
    assert strict()["steps"] == list(range(1, 1001))
    assert strict()["series"]["learning_rate"]["values"] == [0.1] * 1000


@pytest.mark.usefixtures("journals")
def test_a_program_that_knows_no_journal_finds_four_fifths_of_the_steps_after_each_flush():
    metrics = MetricsWriter("run", flush_seconds=3600)
    flushes = {100, 110, 1110, 1210, 1310, 1410, 6410}
    for step in range(1, 6411):
        metrics.log_step(step, 1 / step, {"learning_rate": 0.1})
        if step in flushes:
            metrics.flush()
            assert len(strict()["steps"]) >= 0.8 * step
    metrics.close()


@pytest.mark.usefixtures("journals")
def test_a_journal_holds_what_is_not_finite():
    metrics = MetricsWriter("run", flush_seconds=3600)
    for step in range(100):
        metrics.log_step(step, 1.0)
    metrics.flush()
    for loss in (math.nan, math.inf, -math.inf):
        metrics.log_step(100, loss)
        metrics.flush()
    assert len(strict()["steps"]) == 100
    np.testing.assert_array_equal(read_curve(metrics.path).step_losses[100:], [math.nan, math.inf, -math.inf])
    metrics.close()


def raising(metrics: MetricsWriter) -> None:
    with metrics:
        metrics.log_step(1, 1.0)
        _ = 1 / 0


def test_a_training_that_raises_leaves_all_it_logged_and_no_end():
    with pytest.raises(ZeroDivisionError):
        raising(MetricsWriter("run", flush_seconds=3600))
    assert strict()["steps"] == [1]
    assert strict()["end_time"] is None
    assert files() == ["run_metrics.json"]


def test_a_writer_that_is_let_go_of_saves_what_it_has():
    metrics = MetricsWriter("run", flush_seconds=3600)
    metrics.log_step(1, 1.0)
    del metrics
    assert strict()["steps"] == [1]
    assert strict()["end_time"] is None
    assert files() == ["run_metrics.json"]


def test_after_it_is_closed_nothing_is_logged():
    metrics = logged(1.0)
    metrics.close()
    metrics.flush()
    assert metrics.curve.steps.tolist() == [1]
    with pytest.raises(UsageError, match=r"^run_metrics.json is closed; nothing can be logged into it any more$"):
        metrics.log_step(2, 1.0)
    with pytest.raises(UsageError, match="is closed"):
        metrics.log_epoch(1)


def test_a_worker_that_was_forked_neither_logs_nor_writes():
    metrics = MetricsWriter("run", flush_seconds=3600)
    metrics.log_step(1, 1.0)
    metrics._process = -1  # as a child sees it
    before = Path("run_metrics.json").read_bytes()
    metrics.flush()
    metrics.close()
    metrics.abandon()
    assert Path("run_metrics.json").read_bytes() == before
    with pytest.raises(UsageError, match="is written by the process that opened it; log there, not in a worker"):
        metrics.log_step(2, 1.0)
    metrics._process = os.getpid()
    metrics.close()
    assert strict()["steps"] == [1]


def test_a_writer_is_not_sent_to_another_process():
    with MetricsWriter("run") as metrics, pytest.raises(TypeError, match="cannot be sent to another"):
        pickle.dumps(metrics)


# a file that is there


def test_a_file_that_is_there_is_not_overwritten():
    logged(1.0, 2.0, 3.0)
    before = Path("run_metrics.json").read_bytes()
    started = strict()["start_time"]
    with pytest.raises(CurveError) as caught:
        MetricsWriter("run")
    assert str(caught.value) == (
        f"run_metrics.json is there already, with 3 steps up to 3, of a run that started at {started}; resume=STEP goes on "
        "from a checkpoint of it, overwrite=True begins anew, another experiment_name keeps both"
    )
    assert Path("run_metrics.json").read_bytes() == before
    assert files() == ["run_metrics.json"]


def test_a_file_that_nobody_can_read_is_not_overwritten_either():
    Path("run_metrics.json").write_text("mine")
    with pytest.raises(CurveError, match=r"run_metrics.json is there already, and cannot be read; resume=STEP"):
        MetricsWriter("run")
    assert Path("run_metrics.json").read_text() == "mine"
    logged(1.0, overwrite=True)
    assert strict()["steps"] == [1]


def test_overwriting_begins_anew():
    logged(1.0, 2.0, 3.0, unit="nats/token")
    logged(4.0, overwrite=True)
    assert strict()["step_losses"] == [4.0]
    assert "series" not in strict()


def test_a_run_that_goes_on_is_not_written_by_a_second():
    with MetricsWriter("run") as metrics:
        metrics.log_step(1, 1.0)
        for options in ({}, {"overwrite": True}, {"resume": 1}):
            with pytest.raises(
                CurveError, match=r"^run_metrics.json is being written, by another process or by a Metrics"
            ):
                MetricsWriter("run", **options)
    assert strict()["steps"] == [1]


def two_epochs(name: str = "run") -> MetricsWriter:
    with MetricsWriter(name, model_type="MDLM", unit="nats/token") as metrics:
        for step in range(1, 9):
            metrics.log_step(step, 1 / step, {"learning_rate": step / 10} if step % 2 else None)
            if step % 4 == 0:
                metrics.log_epoch(step // 4)
    return metrics


def test_resuming_keeps_what_came_up_to_the_step():
    two_epochs()
    started = strict()["start_time"]
    with MetricsWriter("run", resume=5) as metrics:
        assert strict()["end_time"] is None
        assert strict()["steps"] == [1, 2, 3, 4, 5]
        assert strict()["epochs"] == [1]
        metrics.log_step(6, 7.0, {"learning_rate": 0.6})
        metrics.log_epoch(2)
    content = strict()
    assert content["model_type"] == "MDLM"
    assert content["start_time"] == started
    assert content["end_time"]
    assert content["step_losses"] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 7.0]
    assert content["epoch_losses"] == [(1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, (1 / 5 + 7.0) / 2]
    assert content["series"] == {
        "loss": {"unit": "nats/token"},
        "learning_rate": {"unit": "", "steps": [1, 3, 5, 6], "values": [0.1, 0.3, 0.5, 0.6]},
        "epoch_end": {"unit": "", "steps": [4, 6], "values": [1.0, 2.0]},
    }


def test_resuming_at_an_epochs_end_keeps_the_epoch():
    two_epochs()
    with MetricsWriter("run", resume=4) as metrics:
        assert metrics.curve.epochs.tolist() == [1]
        assert metrics.steps_in_epoch == 0
    assert strict()["epochs"] == [1]


def test_resuming_behind_the_last_step_says_what_is_missing():
    two_epochs()
    said = r"^run_metrics.json: resume=20, and the last step in it is 8: the steps between were not logged"
    with pytest.warns(UserWarning, match=said) as caught:
        MetricsWriter("run", resume=20).close()
    assert caught[0].filename == __file__
    assert strict()["steps"] == list(range(1, 9))


def test_resuming_at_the_last_step_says_nothing():
    two_epochs()
    MetricsWriter("run", resume=8).close()
    assert strict()["steps"] == list(range(1, 9))


def test_resuming_may_not_empty_a_file():
    two_epochs()
    before = Path("run_metrics.json").read_bytes()
    with pytest.raises(
        CurveError, match=r"resume=0 would keep none of its 8 steps, from 1 to 8; overwrite=True begins anew"
    ):
        MetricsWriter("run", resume=0)
    assert Path("run_metrics.json").read_bytes() == before


def test_resuming_from_step_0_without_a_file_begins():
    MetricsWriter("run", resume=0).close()
    with pytest.warns(
        UserWarning, match=r"resume=5, and there is no late_metrics.json: the curve begins behind step 5"
    ):
        MetricsWriter("late", resume=5).close()
    assert strict()["steps"] == []


@pytest.mark.parametrize("own", [{"unit": "bits/byte"}, {"model_type": "AR"}])
def test_another_experiment_is_not_resumed(own: dict[str, str]):
    two_epochs()
    name, value = next(iter(own.items()))
    with pytest.raises(
        CurveError, match=f"has {name} '.*', and the run that resumes it {value!r}; it is another experiment"
    ):
        MetricsWriter("run", resume=8, **own)
    MetricsWriter("run", resume=8, unit="nats/token", model_type="MDLM").close()


def foreign(**fields: Any) -> None:
    content = {"steps": [1, 2, 3, 4], "step_losses": [4, 3, 2, 1], "epochs": [1, 2], "epoch_losses": [3.5, 1.5]}
    Path("run_metrics.json").write_text(json.dumps(content | fields))


def test_a_file_that_does_not_say_where_epochs_end_is_resumed_at_its_end_alone():
    foreign()
    with pytest.raises(
        CurveError, match=r"does not say after which step each of its 2 epochs ended, .* resume=4 keeps all"
    ):
        MetricsWriter("run", resume=3)
    with MetricsWriter("run", resume=4) as metrics:
        metrics.log_step(5, 9.0)
        metrics.log_epoch(3)
    assert strict()["epoch_losses"] == [3.5, 1.5, 9.0]
    assert read_curve("run_metrics.json").epochs.tolist() == [1, 2, 3]


def test_fields_of_another_writer_survive_a_resume():
    foreign(config={"lr": 0.1, "note": [1, "a", None]}, seed=3, curve=list(range(400)), worst=math.inf)
    MetricsWriter("run", resume=4).close()
    content = strict()
    assert content["config"] == {"lr": 0.1, "note": [1, "a", None]}
    assert content["seed"] == 3
    assert content["curve"] == list(range(400))


def test_resume_and_overwrite_exclude_each_other():
    with pytest.raises(UsageError, match=r"resume=3 keeps run_metrics.json, overwrite=True does not; give one of them"):
        MetricsWriter("run", resume=3, overwrite=True)
    assert files() == []


# what cannot be written


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        (".hidden", "it starts with a dot"),
        ("../up", "it starts with a dot"),
        ("a/b", "it has one of"),
        ("a\\b", "it has one of"),
        ("a\nb", "it has one of"),
        ("é" * 101, "it is longer than 200 bytes"),
    ],
)
def test_a_name_that_is_none_of_a_file_is_refused(name: str, said: str):
    with pytest.raises(UsageError, match=rf"cannot be a file's name: {said}"):
        MetricsWriter(name)
    assert files() == []


def test_a_directory_that_cannot_be_is_said_at_once():
    Path("checkpoints").write_text("a file")
    with pytest.raises(
        CurveError, match=r"^checkpoints/run_metrics.json cannot be written: (File exists|Not a directory)$"
    ):
        MetricsWriter("run", "checkpoints")


class Full:
    """A disk that is full at so many bytes a file."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.mark.parametrize("journalled", [False, True])
def test_a_full_disk_does_not_end_the_training_and_loses_nothing(journalled: bool, monkeypatch: pytest.MonkeyPatch):
    if journalled:
        monkeypatch.setattr(writing, "_SMALL", 0)
    metrics = MetricsWriter("run", flush_seconds=0)
    for step in range(1, 61):
        metrics.log_step(step, 1 / 3)
    whole = read_curve(metrics.path).steps.tolist()
    with Full(50):
        said = (
            r"^run_metrics.json cannot be written: File too large; it lacks the last 1 steps; they are kept, and it is"
        )
        with pytest.warns(RuntimeWarning, match=said):
            metrics.log_step(61, 1 / 3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            metrics.log_step(62, 1 / 3)
        assert read_curve(metrics.path).steps.tolist() == whole
        assert strict()["steps"] == whole[: len(strict()["steps"])]
        with pytest.raises(CurveError, match="it lacks the last 2 steps"):
            metrics.flush()
        with pytest.raises(CurveError, match="it lacks the last 2 steps"):
            metrics.close()
    metrics.log_step(63, 1 / 3)
    assert read_curve(metrics.path).steps.tolist() == list(range(1, 64))
    metrics.close()
    assert strict()["steps"] == list(range(1, 64))
    assert files() == ["run_metrics.json"]


def test_a_line_that_a_full_disk_has_cut_off_is_written_again():
    path = Path("run_metrics.json")
    journal = Journal(path)
    journal.append("now", {"steps": [0, [1], [1.0]]})
    with Full(journal.size + 10), pytest.raises(OSError):
        journal.append("now", {"steps": [1, [2], [1.0]]})
    assert journal_of(path).stat().st_size == journal.size + 10
    assert [line["added"]["steps"][0] for line in journalled(path)] == [0]
    journal.append("now", {"steps": [1, [2, 3], [1.0, 1.0]]})
    assert [line["added"]["steps"][1] for line in journalled(path)] == [[1], [2, 3]]
    journal.clear()
    journal.close()
    assert files() == []


def test_overwriting_on_a_full_disk_leaves_the_old_file():
    logged(*range(100))
    before = Path("run_metrics.json").read_bytes()
    with Full(50), pytest.raises(CurveError, match=r"run_metrics.json cannot be written: File too large"):
        MetricsWriter("run", overwrite=True)
    assert Path("run_metrics.json").read_bytes() == before
    assert files() == ["run_metrics.json"]


def test_a_training_that_raises_on_a_full_disk_raises_its_own_error():
    metrics = MetricsWriter("run", flush_seconds=3600)
    lacking = pytest.warns(RuntimeWarning, match="it lacks the last 1 steps")
    with Full(50), lacking, pytest.raises(ZeroDivisionError):
        raising(metrics)


def test_a_link_stays_one():
    Path("far").mkdir()
    logged(1.0, name="run", save_dir="far")
    Path("run_metrics.json").symlink_to("far/run_metrics.json")
    logged(2.0, overwrite=True)
    assert Path("run_metrics.json").is_symlink()
    assert strict("far/run_metrics.json")["step_losses"] == [2.0]


def test_a_journal_without_its_file_is_none_of_a_new_run():
    Path("run_metrics.json.journal").write_text('{"run":"2024-01-01T00:00:00","added":{"steps":[0,[1],[1.0]]}}\n')
    with MetricsWriter("run") as metrics:
        assert metrics.curve.steps.tolist() == []
    assert files() == ["run_metrics.json"]
