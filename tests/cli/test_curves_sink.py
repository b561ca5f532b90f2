"""``parity curves --sink``: each curve as a run of its own, a long one thinned and said to be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from cli_command import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def metrics(name: str, losses: list[float | None], **further: Any) -> None:
    content = {
        "model_type": "AR",
        "experiment_name": name,
        "start_time": "2024-12-22T12:00:00",
        "end_time": None,
        "epochs": [1],
        "epoch_losses": [2.5],
        "steps": list(range(1, len(losses) + 1)),
        "step_losses": losses,
        **further,
    }
    Path(f"{name}_metrics.json").write_text(json.dumps(content), encoding="utf-8")


def scalars(place: str) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(place, size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_each_run_is_logged_with_its_losses_and_series(parity_command: Command):
    series = {"learning_rate": {"unit": "", "steps": [2], "values": [0.5]}}
    metrics("ar_s0", [4.0, None, 2.0], series=series)
    metrics("ar_s1", [4.5, 3.0, 2.5])
    done = parity_command("curves", ".", "--summary", "--sink", "tensorboard:runs")
    assert done.status == 0, done.err
    assert done.err == "--sink tensorboard:runs: 2 runs; look at them: tensorboard --logdir runs\n"
    first = scalars("runs/ar_s0")
    assert math.isnan(first["loss"].pop(1)[1])
    assert first == {"loss": [(1, 4.0), (3, 2.0)], "epoch_loss": [(1, 2.5)], "learning_rate": [(2, 0.5)]}
    assert scalars("runs/ar_s1")["loss"] == [(1, 4.5), (2, 3.0), (3, 2.5)]


def test_a_long_curve_keeps_its_spike_and_what_is_left_out_is_said(parity_command: Command):
    losses: list[float | None] = [2.0 + step % 7 / 100 for step in range(30_000)]
    losses[17_345] = 1e6
    metrics("long", losses)
    done = parity_command("curves", ".", "--summary", "--sink", "tensorboard:runs")
    assert done.status == 0, done.err
    found = scalars("runs/long")["loss"]
    assert 9_000 < len(found) < 12_000
    assert (17_346, 1e6) in found
    note = f"loss of long_metrics.json: {len(found):,} of 30,000 points are logged; no spike and no gap is lost"
    assert note in done.err


def test_what_is_no_sink_is_trouble_before_anything_is_drawn(parity_command: Command):
    metrics("ar", [4.0, 3.0])
    done = parity_command("curves", ".", "--sink", "neptune:x")
    assert (done.status, done.out) == (2, "")
    assert "--sink neptune:x: a sink is tensorboard:DIR" in done.err
    assert not Path("plots").exists()
