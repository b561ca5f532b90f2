"""The training curves of a golden: kept with digests, read back bit for bit, and carried along by what rewrites a golden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_parity import Golden, GoldenError, compare_goldens
from pytest_parity.cli import main
from pytest_parity.golden.amend import amend_noise
from pytest_parity.golden.curves import FILE, KeptCurve, KeptRun
from pytest_parity.golden.noise import NoiseFloors
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.site import Kind, Site

STEPS = np.arange(1, 41)
CONTENT: dict[str, Any] = {"provenance": {}, "settings": {"rng": "keyed", "seed": 0}, "structure": {}, "history": []}


def losses(seed: int) -> np.ndarray:
    return np.exp(-STEPS / 20) + 0.01 * np.random.default_rng(seed).standard_normal(40)


def kept(*seeds: int) -> KeptCurve:
    return KeptCurve(tuple(KeptRun(STEPS, losses(seed)) for seed in seeds), "seeds", "nats/token", seeds)


def written(root: Path, case: str = "tiny", **curves: KeptCurve) -> Path:
    writer = GoldenWriter(root, case)
    writer.write(0, 0, Site(Kind.OUTPUT, "y"), torch.ones(2))
    writer.finish_step(0, {})
    writer.put_curves(curves)
    return writer.commit(**CONTENT)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    run = KeptRun(STEPS, losses(0), np.array([1, 2]), np.array([0.5, np.nan]))
    path = written(tmp_path, loss=KeptCurve((run, KeptRun(STEPS, losses(1), np.array([1]), np.array([0.4]))), "draws"))
    with Golden.open(path) as golden:
        found = golden.curves["loss"]
    assert found.origin == "draws"
    assert found.runs[0].losses.tobytes() == run.losses.tobytes()
    assert found.runs[0].epoch_losses.tobytes() == run.epoch_losses.tobytes()
    assert found.runs[1].steps.tolist() == STEPS.tolist()
    assert found.runs[1].epochs.tolist() == [1]


def test_the_same_curves_are_the_same_bytes(tmp_path: Path) -> None:
    one = written(tmp_path / "a", loss=kept(0, 1), validation=kept(2))
    other = written(tmp_path / "b", validation=kept(2), loss=kept(0, 1))
    for name in (FILE, "golden.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_a_golden_without_curves_says_nothing_of_them(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert not (path / FILE).exists()
    assert b"curves" not in (path / "golden.json").read_bytes()
    assert Golden.open(path).curves == {}


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_damage_is_found(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, loss=kept(0, 1))
    data = bytearray((path / FILE).read_bytes())
    data[-3] ^= 1
    (path / FILE).unlink()
    if how != "gone":
        (path / FILE).write_bytes(data if how == "flipped" else data[:-8])
    with (
        pytest.raises(GoldenError, match=r"curves\.safetensors (is damaged|cannot be read)"),
        Golden.open(path) as golden,
    ):
        golden.verify()
    assert main(["verify", str(tmp_path)]) == 1
    assert "curves.safetensors" in capsys.readouterr().out


def test_verify_and_show_know_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, loss=kept(0, 1))
    assert main(["verify", str(tmp_path)]) == 0
    assert main(["show", str(path)]) == 0
    first, last = losses(0)[[0, -1]]
    line = f"curve loss: 40 steps, from {first:.3g} to {last:.3g} nats/token; 2 runs, seeds"
    assert line in capsys.readouterr().out


def test_noise_floors_that_are_added_leave_them_there(tmp_path: Path) -> None:
    path = written(tmp_path, loss=kept(0, 1))
    with Golden.open(path) as golden:
        amend_noise(golden, NoiseFloors(1, {0: [(0.0,) * 6]}))
    with Golden.open(path) as golden:
        golden.verify()
        assert len(golden.curves["loss"].runs) == 2


def test_two_goldens_are_compared_by_their_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = written(tmp_path / "a", loss=kept(0, 1, 2, 3))
    same = written(tmp_path / "b", loss=kept(4))
    other = written(tmp_path / "c", loss=KeptCurve((KeptRun(STEPS[:30], losses(0)[:30]),), "tolerance"))
    without = written(tmp_path / "d")
    assert main(["compare", str(reference), str(same)]) == 0
    assert "1 of 1 curve compared: 40 steps within the band of 4 recorded runs" in capsys.readouterr().out
    assert main(["compare", str(reference), str(other)]) == 1
    assert "loss stops early: it ends at step 30" in capsys.readouterr().out
    with Golden.open(reference) as one, Golden.open(without) as two:
        assert [curve.passed for curve in compare_goldens(one, two).curves] == [False]
        assert [curve.passed for curve in compare_goldens(two, one).curves] == [False]
        assert compare_goldens(one, two, kinds=["output"]).curves == ()
