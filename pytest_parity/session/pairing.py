"""Pairing: what a pair of live models is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from pytest_parity.compare.valid import Valid

__all__ = ["Loss", "Model", "OptimizerFactory", "PairOptions", "adamw"]

Model = torch.nn.Module | Callable[[], torch.nn.Module]
"""A model, or a function that builds a new one each time."""

OptimizerFactory = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
"""From a model's trainable parameters to their optimizer."""

Loss = Callable[[Any], torch.Tensor]
"""From a model's output to a scalar."""


def adamw(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW at a rate of 1e-3: its first step is no larger than the rate, whatever the size of the gradients."""
    return torch.optim.AdamW(parameters, lr=1e-3)


@dataclass(frozen=True, slots=True)
class PairOptions:
    """What a pair's one step is like, and how it is judged; see ``assert_equivalent``."""

    names: Any = None
    loss: Loss | None = None
    optimizer: OptimizerFactory | Sequence[OptimizerFactory] | None = adamw
    kinds: Iterable[str] | None = None
    valid: Mapping[str, Valid] | None = None
    replay: Iterable[str] | None = None
    ignore: Iterable[str] | None = None
    coverage: float | None = None
    tolerances: Mapping[str, Any] = field(default_factory=dict)
    draws: int = 3
    train: bool | None = True
    input_gradients: bool = True
