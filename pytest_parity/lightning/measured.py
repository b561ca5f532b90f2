"""Measured: what a training shows of itself at each batch, beside its loss. Nothing here waits for a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pytest_parity.errors import UsageError

__all__ = ["gradient_norm", "learning_rates", "rows"]


def learning_rates(optimizers: Sequence[Any]) -> dict[str, Any]:
    """``learning_rate``, and of further parameter groups, over all optimizers, ``learning_rate/1`` and so on."""
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups if "lr" in group]
    return {f"learning_rate/{place}" if place else "learning_rate": rate for place, rate in enumerate(rates)}


def gradient_norm(optimizer: Any) -> torch.Tensor | float:
    """The L2 norm of all gradients that an optimizer has, on their device. Raises ``UsageError`` for sharded ones."""
    gradients = [one.grad for group in optimizer.param_groups for one in group["params"] if one.grad is not None]
    if any(hasattr(one, "full_tensor") for one in gradients):
        raise UsageError(
            "MetricsCallback(gradient_norm=True): the gradients are sharded, and rank 0 has a part of them; log the norm "
            "that your clipping gives, self.log('gradient_norm', norm), and name it: series=['gradient_norm']"
        )
    if not gradients:
        return 0.0
    place = gradients[0].device
    norms = [torch.linalg.vector_norm(one.detach(), dtype=torch.float32).to(place) for one in gradients]
    total: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return total


def rows(batch: Any) -> int:
    """How many samples a batch has: the first dimension of its first tensor that has one; 0 where there is none."""
    if isinstance(batch, torch.Tensor):
        return batch.shape[0] if batch.dim() else 0
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, (list, tuple)):
        return next(filter(None, map(rows, batch)), 0)
    return 0
