"""A training loop as someone has it, for the tests that record and check it without pytest."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pytest_parity import check
from pytest_parity.session.loop import Loop

Made = tuple[nn.Sequential, torch.optim.Optimizer]


def made(seed: int = 0, *, eps: float = 1e-5, lr: float = 1e-2, width: int = 6) -> Made:
    """A model and its optimizer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, width), nn.LayerNorm(width, eps=eps), nn.Dropout(0.2), nn.Linear(width, 2))
    return model, torch.optim.AdamW(model.parameters(), lr=lr)


def batches(count: int = 3) -> list[torch.Tensor]:
    return [torch.randn(5, 4, generator=torch.Generator().manual_seed(number)) for number in range(count)]


def train(run: Loop, model: nn.Module, optimizer: torch.optim.Optimizer, *, scale: float = 1.0, **steps: Any) -> None:
    """The body of a with: three steps; ``scale`` is a fault of the candidate's loss."""
    for batch in run.steps(steps.pop("loader", batches()), **steps):
        out = model(batch)
        loss = scale * out.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.assert_step(outputs=out, loss=loss)


class Untouchable:
    def __iter__(self) -> Any:
        raise AssertionError("the loader was touched")


def checked(*, seed: int = 1, weights: bool = True, scale: float = 1.0, eps: float = 1e-5, **options: Any) -> Loop:
    model, optimizer = made(seed, eps=eps)
    with check("golden", "case", model, optimizer, weights=weights, **options) as run:
        train(run, model, optimizer, loader=Untouchable(), scale=scale)
    return run
