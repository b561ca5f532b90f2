"""Pretraining on Lightning, configured in Hydra's manner.

python -m nest_ssl.train --config-path config --config-name nest_fast-conformer \
    model.train_ds.manifest_filepath=DIR/train_manifest.json model.train_ds.noise_manifest=DIR/noise_manifest.json \
    model.validation_ds.manifest_filepath=DIR/val_manifest.json \
    trainer.accelerator=cpu trainer.devices=1 trainer.strategy=auto trainer.max_epochs=1 +seed=42
"""

from __future__ import annotations

import sys
from typing import Any

import hydra
from omegaconf import DictConfig
from pytorch_lightning import LightningModule, Trainer, seed_everything

from nest_ssl.data import build_loader
from nest_ssl.model import Batch, DenoiseMaskedTokenPredModel
from nest_ssl.optim import build_optimizer
from nest_ssl.targets import build_model, section

QUIET = ["hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=stdout"]


class LightningDenoiseModel(DenoiseMaskedTokenPredModel, LightningModule):
    """The model as a LightningModule, its modules under the same names."""

    optim_cfg: DictConfig
    """The section `model.optim` of the configuration; set before `Trainer.fit`."""

    def training_step(self, batch: Batch, batch_idx: int = 0) -> Any:
        """Compute and log the loss of a training batch."""
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> None:
        """Log the loss of a validation batch."""
        del batch_idx
        loss, _ = self.step(batch)
        self.log("val_loss", loss, batch_size=len(batch.audio))

    def configure_optimizers(self) -> Any:
        """Give AdamW and the Noam schedule, stepped after each optimizer step."""
        optimizer, schedule = build_optimizer(self, self.optim_cfg)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def train(cfg: DictConfig) -> Trainer:
    """Train as a configuration says, under the seed of its top-level key `seed` if there is one."""
    if cfg.get("seed") is not None:
        seed_everything(cfg.seed)
    model = build_model(cfg.model, LightningDenoiseModel)
    assert isinstance(model, LightningDenoiseModel)
    model.optim_cfg = cfg.model.optim
    trainer = Trainer(**section(cfg.trainer))
    trainer.fit(model, build_loader(cfg.model.train_ds), build_loader(cfg.model.validation_ds))
    return trainer


@hydra.main(version_base=None, config_path="config", config_name="nest_fast-conformer")
def run(cfg: DictConfig) -> None:
    """Train as the command line says."""
    train(cfg)


def main() -> None:
    """Run without Hydra's own working directory and records, as NeMo's scripts do; a later override wins."""
    overrides = [index for index, word in enumerate(sys.argv) if "=" in word and not word.startswith("--")]
    first = overrides[0] if overrides else len(sys.argv)
    sys.argv[first:first] = QUIET
    run()


if __name__ == "__main__":
    main()
