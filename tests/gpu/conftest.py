"""Devices as parameters: ``cpu`` runs everywhere and holds the tests themselves to account, ``cuda`` is marked ``gpu``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _repeatable() -> Iterator[None]:
    """One choice of kernels, the same each time: cuDNN may choose by timing, and may add in any order."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    yield
    cudnn.deterministic, cudnn.benchmark = before
