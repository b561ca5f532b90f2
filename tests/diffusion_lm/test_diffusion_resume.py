"""A training that was interrupted goes on as if it had not been."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from example_script import SMALL, Script


def left(directory: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The checkpoint, and the metrics without their times."""
    state = torch.load(f"{directory}/one.pt", weights_only=True)
    metrics = json.loads(Path(f"{directory}/one_metrics.json").read_text(encoding="utf-8"))
    return state, {name: value for name, value in metrics.items() if name not in {"start_time", "end_time"}}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture
def words(text: Path) -> list[object]:
    return ["--text", text, "--experiment_name", "one", "--epochs", 2, *SMALL]


@pytest.mark.parametrize("name", ["train.py", "train_ar.py"])
def test_it_goes_on_bit_for_bit(name: str, script: Script, words: list[object]):
    script(name, *words, "--save_dir", "whole")
    script(name, *words, "--save_dir", "parts", "--max_steps", 5)
    assert len(left("parts")[1]["steps"]) == 5
    script(name, *words, "--save_dir", "parts", "--resume")
    assert left("whole")[1] == left("parts")[1]
    assert same(left("whole")[0], left("parts")[0])


def test_what_came_after_the_checkpoint_is_done_again(
    script: Script, words: list[object], monkeypatch: pytest.MonkeyPatch
):
    from diffusion_lm import training

    script("train.py", *words, "--save_dir", "whole")
    step = training._Run._step
    monkeypatch.setattr(
        training._Run, "_step", lambda run, *rest: step(run, *rest) if run.step < 7 else sys.exit("killed")
    )
    with pytest.raises(SystemExit, match="killed"):
        script("train.py", *words, "--save_dir", "parts", "--checkpoint_every", 3)
    assert left("parts")[0]["step"] == 6
    assert len(left("parts")[1]["steps"]) == 7
    monkeypatch.setattr(training._Run, "_step", step)
    script("train.py", *words, "--save_dir", "parts", "--resume")
    assert left("whole")[1] == left("parts")[1]
    assert same(left("whole")[0], left("parts")[0])


def test_another_training_is_not_gone_on_with(script: Script, words: list[object]):
    script("train.py", *words, "--max_steps", 2)
    Path("other.txt").write_text(Path("harbour.txt").read_text(encoding="utf-8").swapcase(), encoding="utf-8")
    for name, more, said in (
        ("train.py", ["--d_model", 32], r"this one has d_model 32 \(then 16\)"),
        ("train.py", ["--batch_size", 4], r"batch of all processes 4 \(then 8\)"),
        ("train_ar.py", [], "one.pt is of MDLM, and this trains AR"),
        ("train.py", ["--text", "other.txt"], r"this one has text [0-9a-f]{16} \(then [0-9a-f]{16}\)"),
        ("train.py", ["--experiment_name", "two"], r"there is no checkpoint checkpoints.two\.pt"),
    ):
        with pytest.raises(SystemExit, match=said):
            script(name, *words, *more, "--resume")
