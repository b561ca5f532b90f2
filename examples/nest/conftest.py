"""What the tests of the reference and of the candidate share: the threads, the tiny configuration and its data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from nest_ssl.make_dummy_data import make_dummy_data
from nest_ssl.targets import data_overrides, load_config, tiny_overrides
from omegaconf import DictConfig

THREADS = int(os.environ.get("NEST_THREADS", "1"))
"""One, as the golden was recorded: how torch splits a sum over threads changes its last bits."""
SMALL = [
    "model.encoder.d_model=32",
    "model.encoder.subsampling_conv_channels=8",
    "model.train_ds.batch_size=3",
]
"""What keeps three steps of every kind small enough to commit; with the configuration as it is they are 75 MB."""


@pytest.fixture(autouse=True, scope="session")
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(tmp_path: Path) -> DictConfig:
    """The section `model` of the tiny configuration, over data made afresh: the same files each time."""
    make_dummy_data(tmp_path)
    return load_config([*tiny_overrides(), *SMALL, *data_overrides(tmp_path)]).model


@pytest.fixture
def full(tmp_path: Path) -> DictConfig:
    """The section `model` of the full configuration, over the same data."""
    make_dummy_data(tmp_path)
    in_process = ["model.train_ds.num_workers=0", "model.validation_ds.num_workers=0"]
    return load_config([*data_overrides(tmp_path), *in_process]).model
