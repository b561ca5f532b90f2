"""The cases' configurations: what the reference's tests and the candidate's build, each in its own way."""

from __future__ import annotations

from pathlib import Path

from nest_ssl.make_dummy_data import make_dummy_data
from nest_ssl.targets import data_overrides, load_config, tiny_overrides
from omegaconf import DictConfig

STEPS = 3
PARAMETERS = 113_106_000
"""Of the full configuration."""

SMALL = [
    "model.encoder.d_model=32",
    "model.encoder.subsampling_conv_channels=8",
    "model.train_ds.batch_size=3",
]
"""Three steps of every kind are 16 MB with these; at the tiny model's own width, and 4 utterances, they are 48 MB."""

IN_PROCESS = ["model.train_ds.num_workers=0", "model.validation_ds.num_workers=0"]


def tiny(directory: Path) -> DictConfig:
    """Make the data under `directory`, the same files each time, and give the tiny configuration's section `model`."""
    make_dummy_data(directory)
    config: DictConfig = load_config([*tiny_overrides(), *SMALL, *data_overrides(directory)]).model
    return config


def full(directory: Path) -> DictConfig:
    """Make the data, and give the section `model` of the full configuration."""
    make_dummy_data(directory)
    config: DictConfig = load_config([*IN_PROCESS, *data_overrides(directory)]).model
    return config
