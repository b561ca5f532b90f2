"""One loop written both ways: with Lightning's trainer, and by hand."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
import torch
from outside import Outside, data, loss_of, net

from pytest_parity.lightning import from_environment
from pytest_parity.site import Kind

pl = pytest.importorskip("lightning.pytorch", reason="this is about a Lightning script")


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def training_step(self, batch: Any) -> torch.Tensor:
        return loss_of(self.net, batch)

    def validation_step(self, batch: Any) -> None:
        loss_of(self.net, batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), 0.01)


def fit(model: pl.LightningModule | None = None, **options: Any) -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    if not any(type(one).__name__.startswith("Parity") for one in trainer.callbacks):
        trainer.callbacks += from_environment()  # where the package is not installed, and has no entry points
    trainer.fit(model or Module(), data(), data(seed=9))


def by_hand(*, accumulate: int = 1, rate: float = 0.01) -> None:
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    for _ in range(2):
        for number, batch in enumerate(data()):
            (loss_of(model, batch) / accumulate).backward()
            if not (number + 1) % accumulate or number == 2:
                optimizer.step()
                optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            for batch in data(seed=9):
                loss_of(model, batch)
        model.train()


STEPS = (0, 2, 3, 5)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_golden_of_lightning_is_checked_by_a_plain_script(outside: Outside) -> None:
    golden = outside.record(fit, steps=STEPS)
    assert golden.steps == STEPS
    outcome = outside.check(by_hand, names={"(model)": "net"})
    assert outcome.kind == "passed", outcome.lines
    assert outcome.comparison is not None
    assert "batches agree with the golden's bit for bit" in "\n".join(outcome.lines)


def test_a_golden_of_a_plain_script_is_checked_by_lightning(outside: Outside) -> None:
    outside.record(by_hand, steps=STEPS)
    outcome = outside.check(fit, names={"net": "(model)"})
    assert outcome.kind == "passed", outcome.lines


def test_another_learning_rate_by_hand_fails_in_the_first_update(outside: Outside) -> None:
    outside.record(fit, steps=STEPS)
    outcome = outside.check(lambda: by_hand(rate=0.02), names={"(model)": "net"})
    assert outcome.kind == "failed"
    assert outcome.lines[0].startswith("case step 0")
    assert "lr" in "\n".join(outcome.lines[:4])


def test_accumulated_batches_are_numbered_alike(outside: Outside) -> None:
    outside.record(lambda: fit(accumulate_grad_batches=2), steps=range(6))
    updated = [outside.golden().manifest["steps"][str(step)]["updated"] for step in range(6)]
    outside.record(lambda: by_hand(accumulate=2), steps=range(6))
    assert [outside.golden().manifest["steps"][str(step)]["updated"] for step in range(6)] == updated
    assert updated == [False, True, True] * 2


def test_a_script_that_hands_lightning_an_optimizer_is_lightnings(outside: Outside) -> None:
    class Handed(Module):
        def __init__(self) -> None:
            super().__init__()
            self.optimizer = torch.optim.AdamW(self.parameters(), 0.01)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.optimizer

    outside.record(lambda: fit(Handed()))
    assert "weight/net.0.weight" in outside.sites(Kind.WEIGHT, 0)
