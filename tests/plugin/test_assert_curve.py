"""``parity.assert_curve``: a curve is recorded with its band, passes within it, and fails by the step where it leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_parity import Golden

from .project import manifest

PROJECT = """
    import os
    import torch
    from torch import nn

    HOW = os.environ.get("HOW", "")

    class Halves(nn.Linear):
        def forward(self, x):
            return (x[:, ::2] @ self.weight[:, ::2].T + self.bias) + x[:, 1::2] @ self.weight[:, 1::2].T

    def make():
        return (Halves if HOW == "rewritten" else nn.Linear)(4, 1)

    def train(model, steps=60):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
        losses = []
        for _ in range(50 if HOW == "stops" else steps):
            x = torch.randn(8, 4)
            loss = (model(x) - x.sum(1, keepdim=True) - torch.randn(8, 1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * (1.049 if HOW == "high" else 1.0))
        if HOW == "nan":
            losses[30] = float("nan")
        if HOW == "jumps":
            losses[30] = 1e9
        return losses
"""
ONE = """
    def test_curve(parity):
        parity.assert_curve(train(parity.load(make())))
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HOW", raising=False)
    return pytester.makepyfile(test_it=PROJECT + ONE)


def outcome(pytester: pytest.Pytester, *args: str) -> str:
    return pytester.runpytest(*args).stdout.str()


def test_recording_keeps_the_curve_and_free_runs_of_it(project: Path, pytester: pytest.Pytester) -> None:
    text = outcome(pytester, "--parity-record")
    assert "recorded 2 sites in step 0 and 1 curve" in text
    assert "curve loss: 60 steps, from" in text
    assert "its band is of 4 runs: this one, and 3 with weights and inputs moved by one unit in the last place" in text
    kept = Golden.open(project.parent / "golden/test_it/test_curve").curves["loss"]
    assert kept.origin == "draws"
    first, *moved = kept.runs
    assert all(0 < abs(one.losses - first.losses).max() < 1e-4 for one in moved)


def test_recording_twice_gives_the_same_bytes(project: Path, pytester: pytest.Pytester) -> None:
    golden = project.parent / "golden/test_it/test_curve"
    pytester.runpytest("--parity-record")
    before = {path.name: path.read_bytes() for path in golden.rglob("*") if path.is_file()}
    assert "curve loss: equal" in outcome(pytester, "--parity-record")
    assert {path.name: path.read_bytes() for path in golden.rglob("*") if path.is_file()} == before


def test_the_same_training_passes(project: Path, pytester: pytest.Pytester) -> None:
    assert pytester.runpytest("--parity-record").ret == 0
    found = pytester.runpytest()
    assert found.ret == 0
    assert "1 of 1 curve compared: 60 steps, bit for bit those of one of the 4 recorded runs" in found.stdout.str()


def test_a_verdict_comes_from_a_worker(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", "nan")
    found = pytester.runpytest("-n", "1")
    assert found.ret == 1
    found.stdout.fnmatch_lines(["*1 of 1 curve compared: 1 fails; first: loss is nan at step 31*"])


def test_training_that_rounds_otherwise_passes(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", "rewritten")
    text = outcome(pytester)
    assert "1 passed" in text
    assert "60 steps within the band of 4 recorded runs, nearest: " in text


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", "loss is nan at step 31, where what was recorded is finite"),
        (
            "stops",
            "loss stops early: it ends at step 50, and what was recorded goes on to step 60 (10 of 60 steps are missing)",
        ),
        ("jumps", "loss jumps at step 31: 1e+09 where the 4 recorded runs allow "),
        ("high", "loss leaves the band at step 1: "),
    ],
)
def test_another_curve_fails_and_the_first_line_says_where(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: str, said: str
) -> None:
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", how)
    found = pytester.runpytest()
    assert found.ret == 1
    assert f"test_it/test_curve: {said}" in found.stdout.str()


def test_a_curve_that_fails_is_left_as_a_metrics_file_and_not_accepted(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_parity.cli import main
    from pytest_parity.curves.reading import read_curve

    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", "nan")
    pytester.runpytest("--parity-collect")
    left = read_curve(project.parent / ".parity/test_it/test_curve/loss_metrics.json")
    assert len(left.steps) == 60
    before = manifest(project.parent / "golden/test_it/test_curve")
    assert main(["accept", "--yes"]) == 2
    assert manifest(project.parent / "golden/test_it/test_curve") == before


def test_recording_another_curve_says_how_it_moved(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", "stops")
    text = outcome(pytester, "--parity-record", "--parity-reason", "shorter")
    assert "curve loss stops early: it ends at step 50" in text
    history = manifest(project.parent / "golden/test_it/test_curve")["history"]
    assert isinstance(history, list)
    assert [(line["reason"], line["curves"]) for line in history] == [("shorter", {"loss": "beyond"})]


def test_a_curve_of_the_golden_that_is_never_asserted_fails(project: Path, pytester: pytest.Pytester) -> None:
    pytester.runpytest("--parity-record")
    pytester.makepyfile(test_it=PROJECT + "    def test_curve(parity):\n        parity.load(make())\n")
    text = outcome(pytester)
    assert "1 failed" in text
    assert (
        "loss was never asserted: the golden has 60 steps of it; call parity.assert_curve(losses, name='loss')" in text
    )
    assert "0 of 1 curve compared" in text


def test_a_curve_that_the_golden_has_not_fails(project: Path, pytester: pytest.Pytester) -> None:
    pytester.runpytest("--parity-record")
    body = "losses = train(parity.load(make()))\n        parity.assert_curve(losses)\n"
    pytester.makepyfile(
        test_it=f"{PROJECT}    def test_curve(parity):\n        {body}        parity.assert_curve(losses, name='other')\n"
    )
    text = outcome(pytester)
    assert "1 failed" in text
    assert (
        "other is no curve of the golden: record it again (pytest --parity-record), or give a name that it has ('loss')"
        in text
    )


def test_one_name_twice_is_an_error(project: Path, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + "    def test_curve(parity):\n        for _ in 'ab':\n            parity.assert_curve(train(make()))\n"
    )
    assert "the curve 'loss' of test_it/test_curve was asserted already" in outcome(pytester, "--parity-record")


def test_collecting_tells_of_every_curve(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + """
    def test_curve(parity):
        model = parity.load(make())
        with parity.collect():
            parity.assert_curve(train(model))
            parity.assert_curve(train(model), name="validation")
"""
    )
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", "nan")
    text = outcome(pytester)
    assert "test_it/test_curve: loss is nan at step 31" in text
    assert "\nvalidation is nan at step 31" in text
    assert "2 of 2 curves compared: 2 fail" in text


def test_a_nan_that_is_recorded_is_said(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOW", "nan")
    assert "1 step is not judged, the first 31: not every recorded curve is finite there" in outcome(
        pytester, "--parity-record"
    )


def test_steps_out_of_order_are_recorded_and_said(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
    def test_curve(parity):
        parity.assert_curve({"steps": [1, 3, 2], "step_losses": [3.0, 2.0, 1.0]})
"""
    )
    text = outcome(pytester, "--parity-record")
    assert "1 recorded" in text
    assert "curve loss is recorded, but no check of it can pass" in text


def test_the_self_test_goes_through(project: Path, pytester: pytest.Pytester) -> None:
    pytester.runpytest("--parity-record")
    text = outcome(pytester, "--parity-selftest")
    assert "1 passed" in text
    assert "no model is watched" in text
