"""NeMo's pretraining model with its own optimizer, schedule, loader and training step, from nest_ssl's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lightning.pytorch import Trainer
from nemo.collections.asr.models.ssl_models import EncDecDenoiseMaskedTokenPredModel
from omegaconf import DictConfig
from torch import Tensor

MAX_STEPS = 1000
"""NeMo's schedule asks how long training is; Noam annealing does not depend on it."""


def build_model(config: DictConfig) -> EncDecDenoiseMaskedTokenPredModel:
    """Build the model in training mode, with the loaders and the optimizer of the configuration.

    NeMo's training step logs the trainer's global step, so there is a trainer, but the test runs the loop: it logs
    nowhere.
    """
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=MAX_STEPS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = EncDecDenoiseMaskedTokenPredModel(cfg=config, trainer=trainer)
    model.setup_optimization()
    model.log_dict = _log_nowhere
    return model.train()


def _log_nowhere(_values: Any, **_options: Any) -> None:
    """Stand in for Lightning's `log_dict`, which outside of `Trainer.fit` refuses."""


@dataclass
class Pretraining:
    """NeMo's training step, and the log-probabilities that it does not return: they are the decoder's output."""

    model: EncDecDenoiseMaskedTokenPredModel
    _seen: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen to the decoder."""
        self.model.decoder.register_forward_hook(lambda _module, _args, output: self._seen.append(output))

    def step(self, batch: Any, number: int) -> tuple[Tensor, Tensor]:
        """Give the loss of NeMo's own `training_step`, and the log-probabilities behind it."""
        self._seen.clear()
        loss: Tensor = self.model.training_step(batch, number)["loss"]
        (log_probs,) = self._seen
        return loss, log_probs
