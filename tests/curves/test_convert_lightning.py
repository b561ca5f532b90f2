"""One tiny fit under Lightning's own loggers: what they wrote is the curve that was trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from pytest_parity.curves.convert import convert

EPOCHS, BATCHES = 3, 4


class Tiny(LightningModule):
    def __init__(self, model_type: str = "MDLM") -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)
        self.losses: list[float] = []

    def training_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:
        loss = self.layer(batch).square().mean()
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: torch.Tensor, number: int) -> None:
        self.log("val_loss", self.layer(batch).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@dataclass
class Fit:
    root: Path
    losses: list[float]

    @property
    def means(self) -> np.ndarray:
        return np.array(self.losses).reshape(EPOCHS, BATCHES).mean(axis=1)


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    root = tmp_path_factory.mktemp("logs")
    torch.manual_seed(0)
    model, batches = Tiny(), torch.randn(BATCHES, 8, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            log_every_n_steps=1,
            logger=[CSVLogger(str(root / "csv"), name="mdlm"), TensorBoardLogger(str(root / "tb"), name="mdlm")],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(model, DataLoader(batches, batch_size=None), DataLoader(batches[:1], batch_size=None))
    return Fit(root, model.losses)


@pytest.mark.parametrize("kind", ["csv", "tb"])
def test_the_log_of_a_fit_is_its_curve(fit: Fit, kind: str):
    (made,) = convert(fit.root / kind)
    assert made.experiment_name == "mdlm_version_0"
    assert made.model_type == "MDLM"
    assert made.steps.tolist() == list(range(EPOCHS * BATCHES))
    np.testing.assert_allclose(made.step_losses, fit.losses, rtol=1e-7)
    assert made.epochs.tolist() == list(range(EPOCHS))
    np.testing.assert_allclose(made.epoch_losses, fit.means, rtol=1e-6)
    assert made.epoch_steps.tolist() == [3, 7, 11]
    assert made.series["val_loss"].steps.tolist() == [3, 7, 11]
    assert set(made.series) <= {"val_loss", "hp_metric"}


def test_the_csv_has_the_very_bits(fit: Fit):
    assert convert(fit.root / "csv" / "mdlm" / "version_0")[0].step_losses.tolist() == fit.losses


def test_the_epochs_alone_can_be_asked_for(fit: Fit):
    (made,) = convert(fit.root / "csv", loss="val_loss")
    assert made.steps.tolist() == [3, 7, 11]
    assert set(made.series) == {"train_loss_step", "train_loss_epoch"}
    assert made.epochs.tolist() == [0, 1, 2]
