"""Where the band of a recorded curve comes from: seeds, free runs of the test, or nowhere; and what is said then."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_parity import Golden
from pytest_parity.golden.curves import KeptCurve

from .test_assert_curve import PROJECT, outcome


def curve(pytester: pytest.Pytester) -> KeptCurve:
    return Golden.open(pytester.path / "golden/test_it/test_curve").curves["loss"]


SEEDS = """
    def test_curve(parity):
        def go(seed):
            print("trained", seed)
            return train(parity.load(make()))

        parity.assert_curve(go, seeds=(3, 1, 2), checked=int(os.environ.get("CHECKED", "1")))
"""


def test_recording_trains_with_every_seed_and_draws_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=PROJECT + SEEDS)
    text = outcome(pytester, "--parity-record", "-s")
    assert text.count("trained") == 3
    assert "its band is of 3 runs that were given" in text
    kept = curve(pytester)
    assert (kept.origin, kept.seeds) == ("seeds", (3, 1, 2))
    assert len({run.losses.tobytes() for run in kept.runs}) == 3


def test_checking_trains_with_the_first_seed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(test_it=PROJECT + SEEDS)
    pytester.runpytest("--parity-record")
    text = outcome(pytester, "-s")
    assert text.count("trained") == 1
    assert "1 of 1 curve compared: 60 steps, bit for bit those of one of the 3 recorded runs" in text
    monkeypatch.setenv("CHECKED", "2")
    text = outcome(pytester, "-s")
    assert text.count("trained") == 2
    assert "2 of 2 curves compared" in text
    monkeypatch.setenv("HOW", "nan")
    assert "loss (seed 1) is nan at step 31" in outcome(pytester, "--parity-collect")


def test_a_list_of_runs_is_a_band_too(pytester: pytest.Pytester) -> None:
    body = "parity.assert_curve([train(make()) for _ in range(3)])"
    pytester.makepyfile(test_it=f"{PROJECT}    def test_curve(parity):\n        {body}\n")
    pytester.runpytest("--parity-record")
    assert (len(curve(pytester).runs), curve(pytester).origin) == (3, "seeds")
    assert "3 of 3 curves compared" in outcome(pytester)


def test_without_a_load_there_is_no_band_and_recording_says_what_to_type(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_it=PROJECT + "    def test_curve(parity):\n        parity.assert_curve(train(make()))\n")
    text = outcome(pytester, "--parity-record")
    assert "recorded 1 curve" in text
    assert "one run and no band, for there is nothing to move by one unit in the last place" in text
    assert "model = parity.load(make_model())" in text
    assert "1 passed" in outcome(pytester)
    monkeypatch.setenv("HOW", "rewritten")
    text = outcome(pytester)
    assert "1 failed" in text
    assert "only its own bits pass; record several seeds, or give rtol=" in text


def test_a_tolerance_takes_the_place_of_a_band(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "parity.assert_curve(train(make()), rtol=0.01)"
    pytester.makepyfile(test_it=f"{PROJECT}    def test_curve(parity):\n        {body}\n")
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", "rewritten")
    assert "60 steps within the tolerance around the recorded run" in outcome(pytester)
    monkeypatch.setenv("HOW", "high")
    assert "loss is off at step 1: " in outcome(pytester)


def test_training_that_is_not_repeatable_has_no_band(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + """
    def test_curve(parity):
        losses = train(parity.load(make()))
        with open("runs", "a+") as file:
            file.write("x")
            parity.assert_curve([*losses[:-1], losses[-1] + file.tell()])
"""
    )
    text = outcome(pytester, "--parity-record")
    assert "the test does not give the same: the curve loss is another from step 60 on" in text
    assert "one run and no band, for the noise floor could not be measured" in text


def test_without_draws_there_is_no_band(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=PROJECT + "    def test_curve(parity):\n        parity.assert_curve(train(parity.load(make())))\n"
    )
    assert "for the test was not run again: --parity-noise is 0" in outcome(
        pytester, "--parity-record", "--parity-noise", "0"
    )


def test_what_was_watched_before_the_training_is_moved_as_well(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + """
    def test_curve(parity):
        model = parity.load(make())
        with parity.watch(model):
            model(parity.input("x", lambda: torch.randn(4, 4))).sum().backward()
        model.zero_grad()
        parity.assert_curve(train(model))
"""
    )
    text = outcome(pytester, "--parity-record")
    assert "its band is of 4 runs" in text
    assert "loaded" not in Golden.open(pytester.path / "golden/test_it/test_curve").manifest["settings"]
    text = outcome(pytester)
    assert "1 passed" in text
    assert "1 of 1 curve compared: 60 steps, bit for bit" in text


def test_a_watch_after_the_curve_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + """
    def test_curve(parity):
        model = parity.load(make())
        parity.assert_curve(train(model))
        with parity.watch(model):
            model(torch.ones(4, 4))
"""
    )
    assert "watches a model after assert_curve" in outcome(pytester, "--parity-record")


def test_a_check_starts_from_the_weights_that_were_recorded(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + """
    def test_curve(parity):
        model = make()
        if HOW == "other":
            with torch.no_grad():
                model.weight.add_(1.0)
        parity.assert_curve(train(parity.load(model)))
"""
    )
    pytester.runpytest("--parity-record")
    monkeypatch.setenv("HOW", "other")
    assert "bit for bit" in outcome(pytester)


def test_a_lightning_trainer_inside_the_test_is_drawn_from(pytester: pytest.Pytester) -> None:
    pytest.importorskip("lightning")
    pytester.makepyfile(
        test_it=PROJECT
        + """
    import lightning

    class Tiny(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.losses = make(), []

        def training_step(self, batch, _):
            loss = (self.net(batch) - batch.sum(1, keepdim=True)).square().mean() + 0.1
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    def test_curve(parity):
        module = parity.load(Tiny())
        trainer = lightning.Trainer(
            max_steps=20, logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu",
            enable_model_summary=False,
        )
        trainer.fit(module, torch.utils.data.DataLoader(torch.randn(160, 4), batch_size=8))
        parity.assert_curve(module.losses)
"""
    )
    text = outcome(pytester, "--parity-record", "-W", "ignore")
    assert "its band is of 4 runs" in text
    assert "1 of 1 curve compared: 20 steps, bit for bit" in outcome(pytester, "-W", "ignore")


def test_a_metrics_writer_and_its_file_are_curves(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + """
    from pytest_parity import MetricsWriter

    def test_curve(parity, tmp_path):
        losses = train(parity.load(make()))
        with MetricsWriter("tiny", tmp_path) as writer:
            for step, loss in enumerate(losses, 1):
                writer.log_step(step, loss)
        parity.assert_curve(writer)
        parity.assert_curve(tmp_path / "tiny_metrics.json", name="file")
"""
    )
    text = outcome(pytester, "--parity-record")
    assert "recorded 2 sites in step 0 and 2 curves" in text
    assert "2 of 2 curves compared" in outcome(pytester)


def test_runs_that_are_not_as_long_make_no_band(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=PROJECT
        + """
    def test_curve(parity):
        losses = train(parity.load(make()))
        if not os.path.exists("last"):
            open("last", "w").write(repr(losses[-1]))
        same = float(open("last").read()) == losses[-1]
        parity.assert_curve(losses if same else losses[:-1])
"""
    )
    text = outcome(pytester, "--parity-record", "-W", "ignore")
    assert "curve loss has other steps when weights are moved by one unit in the last place (60, 59 of them)" in text
    assert len(curve(pytester).runs) == 1
