from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_command import Command, training
from parity_studio import Studio

from pytest_parity.golden import GoldenWriter
from pytest_parity.site import Kind, Site


@pytest.fixture
def shown(studio: Studio, parity_command: Command):
    return lambda *args: parity_command("show", studio.path / "golden/case", *args)


def test_it_says_what_there_is(studio: Studio, shown):
    golden = studio.record(training(steps=2), provenance={"nemo": "3.0.0"})
    done = shown()
    lines = done.out.splitlines()
    assert done.status == 0
    sites = sum(len(golden.entries(step)) for step in golden.steps)
    assert lines[0].startswith(f"case: {sites} sites in steps 0-1, ")
    loss = golden.manifest["steps"]["0"]["loss"]["loss"]
    for line in (f"  loss of step 0: loss {loss:.9g}", "  nemo: 3.0.0", "  rng: keyed", "  optimizers: SGD"):
        assert line in lines
    assert f"  torch: {torch.__version__}" in lines
    assert "model: 74 parameters, 74 train; 9 tensors, 4 modules" in lines
    assert "noise floor: none; checks use the dtypes' default tolerances" in lines
    assert "history:" not in lines


def test_kinds_have_their_sites_and_bytes(studio: Studio, shown):
    studio.record(training())
    kinds = json.loads(shown("--json").out)["kinds"]
    assert kinds["gradient"] == {"sites": 6, "bytes": 4 * 74}
    assert kinds["loss"] == {"sites": 1, "bytes": 4}


def test_the_noise_floor_in_a_line(studio: Studio, shown):
    studio.record(training(), draws=2)
    (line,) = [line for line in shown().out.splitlines() if line.startswith("noise floor: ")]
    assert ", from 2 draws" in line
    assert "of the norm, at most " in line


def test_the_history(studio: Studio, shown):
    studio.record(training())
    studio.record(training(1.5), reason="the output is scaled")
    lines = shown().out.splitlines()
    at = lines.index("history:")
    assert lines[at + 1].startswith("  1. the output is scaled: ")
    assert lines[at + 2].startswith("     step 0: loss ")
    assert lines[at + 3].startswith("     farthest: step 0 ")


def test_json_is_strict(tmp_path: Path, parity_command: Command):
    writer = GoldenWriter(tmp_path, "case")
    writer.write(0, 0, Site(Kind.LOSS, "loss"), torch.tensor(float("nan")))
    writer.finish_step(0, {"loss": {"loss": float("nan")}})
    writer.commit(provenance={}, settings={}, structure={}, history=[])
    done = parity_command("show", tmp_path / "case", "--json")
    assert json.loads(done.out, parse_constant=pytest.fail)["loss"] == {"0": {"loss": "nan"}}


def test_a_golden_that_is_damaged_is_trouble(studio: Studio, shown):
    path = studio.record(training()).path / "golden.json"
    path.write_bytes(path.read_bytes()[:-5])
    done = shown()
    assert done.status == 2
    assert "golden.json is not JSON" in done.err


def test_its_size_is_that_of_all_its_files(studio: Studio, shown):
    path = studio.record(training(), draws=2).path
    there = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert json.loads(shown("--json").out)["bytes_on_disk"] == there
