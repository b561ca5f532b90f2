"""nest_ssl's model of the full configuration, its structure alone: `parity structure nest/full full_model:build`."""

from __future__ import annotations

import torch
from nest_ssl import build_model, load_config
from torch import nn


def build() -> nn.Module:
    """Build it on the meta device, where tensors have shapes and take no memory."""
    with torch.device("meta"):
        return build_model(load_config().model)
