"""train.py, train_ar.py, generate.py and visualize_training.py, as someone runs them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from example_script import SMALL, Script

from pytest_parity.curves import read_curve


def metrics(directory: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / f"{name}_metrics.json").read_text(encoding="utf-8"))
    return found


def refused(script: Script, name: str, *words: object) -> str:
    with pytest.raises(SystemExit) as caught:
        script(name, *words)
    return str(caught.value.code)


@pytest.mark.parametrize(
    ("name", "model_type", "unit"),
    [("train.py", "MDLM", "nats/token (upper bound)"), ("train_ar.py", "AR", "nats/token")],
)
def test_training_leaves_its_curve(name: str, model_type: str, unit: str, script: Script, text: Path):
    script(name, "--text", text, "--experiment_name", "one", "--epochs", 2, "--save_dir", "out", *SMALL)
    curve = read_curve(Path("out/one_metrics.json"))
    assert (curve.model_type, curve.experiment_name, curve.unit) == (model_type, "one", unit)
    assert curve.steps.tolist() == [*range(1, 17)]
    assert curve.epochs.tolist() == [1, 2]
    assert curve.epoch_losses[0] == pytest.approx(curve.step_losses[:8].mean())
    assert curve.series["held_out_loss"].steps.tolist() == [8, 16]
    assert curve.series["learning_rate"].values[:4].tolist() == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])
    assert len(curve.series["gradient_norm"].values) == 16


def test_an_epochs_end_is_told(script: Script, text: Path, capsys: pytest.CaptureFixture[str]):
    script("train_ar.py", "--text", text, "--experiment_name", "one", "--epochs", 2, "--max_steps", 9, *SMALL)
    (mean,) = metrics(Path("checkpoints"), "one")["epoch_losses"]
    told, last = capsys.readouterr().out.splitlines()
    assert told.startswith(f"epoch 1/2: loss {mean:.4f}, held out ")
    assert "nats/token; step 8, " in told
    assert last.startswith("9 steps; metrics in ")


def test_an_autoregressive_model_learns(script: Script, text: Path):
    script("train_ar.py", "--text", text, "--experiment_name", "one", "--learning_rate", 0.02, "--epochs", 8, *SMALL)
    losses = metrics(Path("checkpoints"), "one")["step_losses"]
    assert losses[0] == pytest.approx(math.log(256), abs=0.1)
    assert losses[-1] < 2.9


def test_a_dataset_is_read_by_its_configuration(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    repo = tmp_path / "wiki"
    repo.mkdir()
    files = "".join(f"  - split: {name}\n    path: {name}.jsonl\n" for name in ("train", "validation"))
    head = f"---\nconfigs:\n- config_name: other\n  data_files: train.jsonl\n- config_name: wiki-v1\n  data_files:\n{files}---\n"
    (repo / "README.md").write_text(head, encoding="utf-8")
    for name, row in (("train", "one two three four"), ("validation", "five")):
        rows = [{"id": number, "text": f"{row} {number:02}\n"} for number in range(40)]
        (repo / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    script(
        "train.py",
        "--hf_raw_repo",
        repo,
        "--hf_raw_split",
        "wiki-v1",
        "--experiment_name",
        "one",
        "--epochs",
        1,
        *SMALL,
    )
    assert metrics(Path("checkpoints"), "one")["steps"] == [*range(1, 40 * 22 // 16 // 8 + 1)]
    said = refused(script, "train.py", "--hf_raw_repo", repo, "--hf_raw_split", "wiki-v2", *SMALL)
    assert "wiki-v2" in said
    assert "wiki-v1" in said


def test_without_datasets_it_says_what_to_install(script: Script, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert refused(script, "train.py", "--hf_raw_repo", "wiki").endswith("pip install datasets")


def test_what_cannot_be_done_is_one_line(script: Script, text: Path, capsys: pytest.CaptureFixture[str]):
    assert refused(script, "train.py") == "2"
    assert "--text FILE, or --hf_raw_repo REPO" in capsys.readouterr().err
    assert refused(script, "train.py", "--text", text, "--d_model", 6) == "2"
    assert "d_model=6 cannot be cut into n_heads=4 heads" in capsys.readouterr().err
    assert "no.txt: No such file" in refused(script, "train.py", "--text", "no.txt")
    said = refused(script, "train.py", "--text", text, "--seq_len", 512)
    assert "1 windows of 512 bytes to train on and 1 held out" not in said
    assert "a batch takes 32 of either" in said


def test_another_experiments_metrics_are_not_overwritten(script: Script, text: Path):
    words = ["--text", text, "--experiment_name", "one", "--max_steps", 2, *SMALL]
    script("train.py", *words)
    before = metrics(Path("checkpoints"), "one")
    assert "one_metrics.json" in refused(script, "train.py", *words)
    assert metrics(Path("checkpoints"), "one") == before
    script("train.py", *words, "--overwrite", "--seed", 1)
    assert metrics(Path("checkpoints"), "one")["step_losses"] != before["step_losses"]


def test_text_is_generated_from_either_checkpoint(script: Script, text: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("train.py", "train_ar.py"):
        script(name, "--text", text, "--experiment_name", name, "--max_steps", 1, *SMALL)
        capsys.readouterr()
        words = [f"checkpoints/{name}.pt", "--prompt", "Day ", "--length", 12, "--samples", 2]
        script("generate.py", *words)
        once = capsys.readouterr().out
        assert once.count("\n---\n") == 1
        assert once.startswith("Day ")
        script("generate.py", *words)
        assert capsys.readouterr().out == once
        script("generate.py", *words, "--seed", 1)
        assert capsys.readouterr().out != once
    assert "the model writes 16 at most" in refused(script, "generate.py", "checkpoints/train.py.pt", "--length", 17)


def test_a_checkpoint_that_is_none_is_refused(script: Script):
    class Runs:
        def __reduce__(self) -> Any:
            return (Path.touch, (Path("run"),))

    torch.save(Runs(), "code.pt")
    Path("text.pt").write_text("nothing", encoding="utf-8")
    torch.save({"model": 1}, "other.pt")
    assert "there is no checkpoint no.pt" in refused(script, "generate.py", "no.pt")
    assert "code.pt cannot be read as a checkpoint" in refused(script, "generate.py", "code.pt")
    assert not Path("run").exists()
    assert "text.pt cannot be read as a checkpoint" in refused(script, "generate.py", "text.pt")
    assert "other.pt is no checkpoint of train.py" in refused(script, "generate.py", "other.pt")


def test_the_two_curves_are_drawn_as_the_guide_has_it(script: Script, text: Path, capsys: pytest.CaptureFixture[str]):
    for name, experiment in (("train.py", "mdlm_wikitext"), ("train_ar.py", "ar_wikitext")):
        script(
            name, "--text", text, "--experiment_name", experiment, "--save_dir", "./checkpoints", "--epochs", 1, *SMALL
        )
    files = ["./checkpoints/mdlm_wikitext_metrics.json", "./checkpoints/ar_wikitext_metrics.json"]
    words = ["--names", "MDLM", "AR", "--title", " - WikiText-103-v1", "--output_dir", "./comparison_plots"]
    capsys.readouterr()
    assert refused(script, "visualize_training.py", *files, *words) == "0"
    assert "not comparable" in capsys.readouterr().out
    pictures = {"loss_per_step.png", "loss_per_epoch.png", "loss_smoothed.png", "comparison.png"}
    assert pictures <= {path.name for path in Path("comparison_plots").iterdir()}
