"""What every test of the project shares: pytester, and the rule for tests marked ``gpu``."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _needs_a_gpu(request: pytest.FixtureRequest) -> None:
    """Skip a test marked ``gpu`` where there is no device; under ``PARITY_NEED_GPU`` it runs, and fails there."""
    if request.node.get_closest_marker("gpu") is None or os.environ.get("PARITY_NEED_GPU"):
        return
    import torch  # noqa: PLC0415

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
