"""``parity compare --sink``: as pytest's ``--parity-sink``, beside ``--report``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_command import training
from recordings import Two
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(place: str) -> Any:
    found = EventAccumulator(place)
    found.Reload()
    return found


def test_two_recordings_that_differ_are_logged_and_the_output_stays_what_it_is(two: Two):
    two.record(training(steps=2), training(steps=2, hidden=1.01))
    done = two.compare("--sink", "tensorboard:runs", "--json")
    assert (done.status, json.loads(done.out)["comparison"]["case"]) == (1, "case")
    assert "--sink tensorboard:runs: 1 run; look at it: tensorboard --logdir runs\n" in done.err
    ours, theirs = read("runs/case"), read("runs/case/reference")
    assert [event.step for event in theirs.Scalars("loss")] == [event.step for event in ours.Scalars("loss")] == [0, 1]
    assert [event.value for event in theirs.Scalars("loss")] != [event.value for event in ours.Scalars("loss")]
    assert ours.Scalars("parity/passed")[0].value == 0.0


def test_a_place_that_cannot_be_logged_to_is_trouble_before_anything_is_compared(two: Two):
    two.record(training(), training())
    done = two.compare("--sink", "neptune:runs")
    assert (done.status, done.out) == (2, "")
    assert "--sink neptune:runs: a sink is tensorboard:DIR" in done.err
    assert two.compare("--sink", "tensorboard:runs").status == 0


def test_a_place_that_breaks_at_the_end_is_trouble_behind_what_was_found(two: Two, tmp_path: Path):
    two.record(training(), training())
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/case").write_text("")
    done = two.compare("--sink", "tensorboard:runs", "--report", "r.json")
    assert done.status == 2
    assert "--sink tensorboard:runs could not be written: " in done.err
    assert (tmp_path / "r.json").is_file()
