"""The cases' configurations: what the reference's tests and the candidate's build, each in its own way."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from nest_ssl.make_dummy_data import make_dummy_data
from nest_ssl.targets import CONFIG, data_overrides, load_config
from omegaconf import DictConfig

STEPS = 3
PARAMETERS = 113_106_000
"""Of the full configuration."""

IN_PROCESS = ["model.train_ds.num_workers=0", "model.validation_ds.num_workers=0"]


def tiny(directory: Path) -> DictConfig:
    """Make the data under `directory`, the same files each time, and give the tiny configuration's section `model`."""
    make_dummy_data(directory)
    with initialize_config_dir(str(CONFIG.parent), version_base=None):
        config = compose("tiny")
    config.work = str(directory)
    section: DictConfig = config.model
    return section


def full(directory: Path) -> DictConfig:
    """Make the data, and give the section `model` of the full configuration."""
    make_dummy_data(directory)
    config: DictConfig = load_config([*IN_PROCESS, *data_overrides(directory)]).model
    return config
