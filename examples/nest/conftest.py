"""What the tests of the reference and of the candidate share: the threads, and the configurations with their data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import workload
from omegaconf import DictConfig

THREADS = int(os.environ.get("NEST_THREADS", "1"))
"""One, as the golden was recorded: how torch splits a sum over threads changes its last bits."""


@pytest.fixture(autouse=True, scope="session")
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny(tmp_path: Path) -> DictConfig:
    """The configuration of the case nest/tiny."""
    return workload.tiny(tmp_path)


@pytest.fixture
def full(tmp_path: Path) -> DictConfig:
    """The configuration of the case nest/full."""
    return workload.full(tmp_path)
