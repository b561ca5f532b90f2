"""What TensorBoard reads of a run: its own reader on the files that were written."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from logged_runs import GREEN, RUN, sink
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pytest_parity.report.sinks import write_sinks
from pytest_parity.report.sinks.experiment import Experiment, experiment_runs


def read(place: Path) -> Any:
    found = EventAccumulator(str(place), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def points(found: Any, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in found.Scalars(tag)]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    written = write_sinks([sink("tensorboard:runs", tmp_path)], [RUN, GREEN])
    assert not written.complaints
    return tmp_path / "runs"


def test_numbers_curves_and_texts_are_read_back(runs: Path):
    found = read(runs / "nest/tiny")
    assert points(found, "parity/passed") == [(0, 0.0)]
    assert points(found, "sites/differs") == [(0, 3.0)]
    assert points(found, "epoch_loss") == [(1, 3.5), (2, 1.5)]
    (text,) = found.Tensors("parity")
    assert text.tensor_proto.string_val[0].decode() == RUN.text
    (config,) = found.Tensors("config")
    assert "| python | 3.11 |" in config.tensor_proto.string_val[0].decode()
    assert found.SummaryMetadata("parity").plugin_data.plugin_name == "text"


def test_reference_and_candidate_are_two_runs_under_one_tag_which_are_drawn_over_each_other(runs: Path):
    ours, theirs = points(read(runs / "nest/tiny"), "loss"), points(read(runs / "nest/tiny/reference"), "loss")
    assert theirs == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    assert [step for step, _ in ours] == [0, 1, 2, 3]
    assert math.isnan(ours[1][1])
    assert (ours[2][1], ours[3][1]) == (math.inf, 1.5)


def test_steps_that_go_back_or_come_twice_are_all_kept(runs: Path):
    found = points(read(runs / "nest/tiny"), "learning_rate")
    assert found == [(1, pytest.approx(0.1)), (2, pytest.approx(0.2)), (3, pytest.approx(0.3)), (3, pytest.approx(0.4))]


def test_no_name_leads_out_of_the_directory_nor_tells_the_machine(runs: Path):
    files = [path.relative_to(runs).as_posix() for path in runs.rglob("*") if path.is_file()]
    assert sorted(name.rpartition("/")[0] for name in files) == ["else where", "nest/tiny", "nest/tiny/reference"]
    assert all(name.endswith(".pytest-parity") and "events.out.tfevents." in name for name in files)


def test_a_run_that_is_logged_again_takes_its_own_place_and_no_others(runs: Path):
    foreign = runs / "nest/tiny/events.out.tfevents.1.host"
    foreign.write_bytes(b"")
    live = read(runs / "nest/tiny")
    again = replace(RUN, lines=RUN.lines[2:], scalars={"parity/passed": 1.0})
    assert not write_sinks([sink("tensorboard:runs", runs.parent)], [again]).complaints
    assert points(read(runs / "nest/tiny"), "parity/passed") == [(0, 1.0)]
    assert "sites/differs" not in read(runs / "nest/tiny").Tags()["scalars"]
    assert foreign.exists()
    live.Reload()
    assert points(live, "parity/passed") == [(0, 1.0)]
    assert not write_sinks([sink("tensorboard:runs", runs.parent)], [again]).complaints
    assert len(list((runs / "nest/tiny").glob("*.pytest-parity"))) == 2


def test_a_side_that_a_run_no_longer_has_says_nothing_any_more(runs: Path):
    below = replace(GREEN, name=f"{RUN.name}/below", lines=RUN.lines)
    assert not write_sinks([sink("tensorboard:runs", runs.parent)], [below]).complaints
    live = read(runs / "nest/tiny/reference")
    again = replace(RUN, lines=[line for line in RUN.lines if line.side != "reference"])
    assert not write_sinks([sink("tensorboard:runs", runs.parent)], [again]).complaints
    assert read(runs / "nest/tiny/reference").Tags()["scalars"] == []
    live.Reload()
    assert live.Tags()["scalars"] == [] or points(live, "loss") == []
    assert points(read(runs / "nest/tiny/below"), "parity/passed") == [(0, 1.0)]
    assert points(read(runs / "nest/tiny/below/reference"), "loss")


def test_a_loss_beyond_float32_is_infinite_there(tmp_path: Path):
    run = experiment_runs([Experiment("big", ([1], [1e300]))])
    assert not write_sinks([sink("tensorboard:runs", tmp_path)], run).complaints
    assert points(read(tmp_path / "runs/big"), "loss") == [(1, math.inf)]


def test_experiments_of_one_name_are_kept_apart_and_each_series_has_its_name(tmp_path: Path):
    rate = {"lr": ([5], [0.5]), "loss": ([6], [7.0])}
    runs = experiment_runs([Experiment("ar", ([1, 2], [3.0, 2.0]), ([1], [2.5]), rate), Experiment("ar", ([1], [9.0]))])
    assert not write_sinks([sink("tensorboard:runs", tmp_path)], runs).complaints
    found = read(tmp_path / "runs/ar")
    assert {tag: points(found, tag) for tag in found.Tags()["scalars"]} == {
        "loss": [(1, 3.0), (2, 2.0)],
        "epoch_loss": [(1, 2.5)],
        "lr": [(5, 0.5)],
        "series/loss": [(6, 7.0)],
    }
    assert points(read(tmp_path / "runs/ar 2"), "loss") == [(1, 9.0)]
