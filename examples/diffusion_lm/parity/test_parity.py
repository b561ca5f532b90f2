"""The two models of `diffusion_lm`, recorded and checked; the random times and masks come from their modules' own streams."""

from __future__ import annotations

import pytest
from lm_cases import AR, MDLM, build, pretrain

from pytest_parity import Parity


@pytest.mark.parity(MDLM, rng="keyed")
def test_masked_diffusion(parity: Parity) -> None:
    """Three steps with dropout, random times and masks."""
    pretrain(parity, build(MDLM))


@pytest.mark.parity(AR, rng="keyed")
def test_autoregressive(parity: Parity) -> None:
    """Three steps with dropout."""
    pretrain(parity, build(AR))
