"""A small training run with one thing of it written otherwise, checked end to end: the causes that a failure names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from parity_studio import Body, Studio
from torch import nn
from torch.nn import functional

from pytest_parity.errors import ParityFailure
from pytest_parity.result import Cause, Comparison, Hint

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
CLASSES = 5


class Net(nn.Module):
    """Weights, biases and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Linear(16, 24)
        self.norm = nn.LayerNorm(24)
        self.mid = nn.Linear(24, 24)
        self.head = nn.Linear(24, CLASSES)

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.mid(self.between(self.norm(self.emb(x))))))


def adamw(net: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), **{"lr": 1e-2, "weight_decay": 0.05, **settings})


def sgd(net: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), **{"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, **settings})


def training(
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = adamw,
    *,
    loss: Loss = functional.cross_entropy,
    model: Callable[[], nn.Module] = Net,
    after: Callable[[nn.Module], object] = lambda _: None,
    clears: bool = True,
    asserts: bool = True,
    steps: int = 2,
    rows: int = 12,
) -> Body:
    """``after`` is called between backward and the optimizer's step."""

    def body(parity: Any) -> None:
        torch.manual_seed(0)
        net = parity.load(model())
        stepper = optimizer(net)
        draw = torch.Generator().manual_seed(1)
        data = [
            (torch.randn(rows, 16, generator=draw), torch.randint(0, CLASSES, (rows,), generator=draw))
            for _ in range(steps)
        ]
        with parity.watch(net, optimizer=stepper) as run:
            for x, target in run.steps(data):
                if clears:
                    stepper.zero_grad()
                found = loss(net(x), target)
                found.backward()
                after(net)
                stepper.step()
                if asserts:
                    parity.assert_step(loss=found)

    return body


def failed(studio: Studio, body: Body, **options: Any) -> Comparison:
    comparison = studio.failure(body, **options).comparison
    assert comparison is not None
    return comparison


def causes(studio: Studio, body: Body, **options: Any) -> tuple[Hint, ...]:
    """Why the candidate's check fails."""
    diagnosis = failed(studio, body, **options).diagnosis
    assert diagnosis is not None
    return diagnosis.causes


def told(studio: Studio, body: Body, **options: Any) -> tuple[Cause, str]:
    """The only one."""
    (hint,) = causes(studio, body, **options)
    return hint.cause, hint.text


__all__ = ["Net", "ParityFailure", "adamw", "causes", "failed", "sgd", "told", "training"]
