"""The reference's side: NeMo's own model, and what the goldens say of their origin."""

from __future__ import annotations

from importlib.metadata import version

import pytest


def pytest_parity_provenance(config: pytest.Config) -> dict[str, str]:
    """The versions that the recorded numbers come from."""
    del config
    return {name: version(name) for name in ("nemo_toolkit", "lightning", "librosa")}


@pytest.fixture
def parity_seed() -> int:
    """A seed under which every batch has masked tokens, without which the loss is NaN, and noise that ends early."""
    return 44
