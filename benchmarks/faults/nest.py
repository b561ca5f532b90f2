"""The conformer: examples/nest's nest_ssl, its tiny configuration made smaller still, on noise."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.verdicts.parts import Dropout, Parts

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "nest"))

from nest_ssl import build_model, load_config
from nest_ssl.targets import CONFIG
from omegaconf import OmegaConf

__all__ = ["audio", "nest", "widened"]

SMALLER = {
    "model.num_classes": 32,
    "model.encoder.n_layers": 2,
    "model.encoder.d_model": 32,
    "model.encoder.subsampling_conv_channels": 8,
    "model.encoder.pos_emb_max_len": 64,
    "model.preprocessor.features": 40,
    "model.masking.block_size": 16,
    "model.masking.mask_prob": 0.04,
}
SAMPLES = 16_000
_SWAPPED = {
    nn.Linear: "linear",
    nn.LayerNorm: "layer_norm",
    nn.BatchNorm1d: "batch_norm_1d",
    nn.SiLU: "silu",
}
"""Whose class is another one's in a rewrite of the encoder: they hold the same.

The quantizer stays: padding is the zero vector, equally far from each of its codes, and there its layout decides.
"""


@cache
def _config() -> Any:
    config = OmegaConf.merge(load_config(), OmegaConf.load(CONFIG.parent / "tiny.yaml"))
    for name, value in SMALLER.items():
        OmegaConf.update(config, name, value)
    return config.model


def nest(parts: Parts) -> nn.Module:
    """The model, of the parts that it can be made of; its dropouts draw in float32 whatever the dtype."""
    model: nn.Module = build_model(_config())
    for path, module in list(model.named_modules()):
        if type(module) is nn.Dropout:
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, Dropout(parts.dropout and module.p))
        for plain, part in _SWAPPED.items():
            if type(module) is plain and path.startswith("encoder."):
                module.__class__ = getattr(parts, part)
        if type(module) is nn.Conv1d and module.groups > 1:
            module.__class__ = parts.conv1d
        for bias in ("content_bias", "position_bias"):
            if hasattr(module, bias):
                nn.init.normal_(getattr(module, bias), std=0.1)
    return model


def widened(model: Any) -> nn.Module:
    """What is trained in float64; the front end and the quantizer stay as they are."""
    for part in (model.mask_processor, model.encoder, model.decoder, model.loss):
        part.double()
    return model  # type: ignore[no-any-return]


def audio() -> dict[str, Tensor]:
    """Noise of several lengths, and noise upon it."""
    lengths = torch.tensor([SAMPLES, SAMPLES - 2000, SAMPLES - 5000])
    inside = torch.arange(SAMPLES) < lengths[:, None]
    clean = 0.1 * torch.randn(3, SAMPLES).cumsum(-1).diff(prepend=torch.zeros(3, 1)) * inside
    noisy = clean + 0.02 * torch.randn(3, SAMPLES) * inside
    return {"audio": clean, "audio_len": lengths, "noisy_audio": noisy, "noisy_audio_len": lengths}


def step(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Log-probabilities and the loss; the dither adds to copies."""
    loss, scores = model.step(SimpleNamespace(**{name: value.clone() for name, value in batch.items()}))
    return scores, loss
