"""Two processes that train together, under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from example_script import EXAMPLE, SMALL, Script

from pytest_parity.curves import read_curve


def test_two_with_half_the_batch_are_one(script: Script, text: Path, tmp_path: Path):
    words = [
        str(word) for word in ("--text", text, "--experiment_name", "one", "--epochs", 2, "--max_steps", 10, *SMALL)
    ]
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    half = ["--distributed", "--save_dir", str(tmp_path / "two"), *words, "--batch_size=4"]
    kept = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launched, str(EXAMPLE / "train.py"), *half], env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/2") == 1
    script("train.py", "--save_dir", "alone", *words)
    one, two = read_curve(Path("alone/one_metrics.json")), read_curve(tmp_path / "two" / "one_metrics.json")
    assert two.steps.tolist() == one.steps.tolist()
    assert two.step_losses.tolist() == pytest.approx(one.step_losses.tolist(), rel=1e-4)
    for name, series in one.series.items():
        assert two.series[name].values.tolist() == pytest.approx(series.values.tolist(), rel=1e-3)
    weights = [torch.load(f"{where}/one.pt", weights_only=True)["model"] for where in ("alone", tmp_path / "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-3)


def test_the_command_line_and_the_environment_have_to_agree(
    script: Script, text: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(SystemExit, match=r"torchrun --nproc_per_node=2 train.py --distributed"):
        script("train.py", "--text", text, "--distributed")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match=r"torchrun has started 2 processes, .* add --distributed"):
        script("train.py", "--text", text)
