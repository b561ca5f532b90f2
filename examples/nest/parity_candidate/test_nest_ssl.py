"""nest_ssl against NeMo's goldens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from nest_ssl import NEST_NAMES, build_model
from omegaconf import DictConfig
from pretraining import pretrain
from workload import PARAMETERS

if TYPE_CHECKING:
    from pytest_parity import Parity


@pytest.mark.parity("nest/tiny", names=NEST_NAMES)
def test_pretraining(parity: Parity, tiny: DictConfig) -> None:
    """Three steps in training mode, with the configuration's dropouts, dither and masking."""
    pretrain(parity, tiny)


@pytest.mark.parity("nest/full", names=NEST_NAMES)
def test_full_structure(parity: Parity, full: DictConfig) -> None:
    """The full configuration has NeMo's 113,106,000 parameters, by name, shape and dtype."""
    with torch.device("meta"):
        model = build_model(full)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS
    parity.assert_structure(model)
