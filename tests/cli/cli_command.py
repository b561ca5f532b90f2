"""The command line as its tests call it, and small training tests whose candidates differ in known ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from pytest_parity import Parity
from pytest_parity.cli import main

Body = Callable[[Parity], None]


@dataclass(frozen=True)
class Done:
    """What a command has said, and its exit status."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


def command(capsys) -> Command:
    def run(*arguments: object) -> Done:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Done(status, said.out, said.err)

    return run


class Scaled(nn.Module):
    """A linear layer, a norm whose statistics are buffers, and a factor by which candidates differ."""

    def __init__(self, factor: float, hidden: float) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)
        self.factor, self.hidden = factor, hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.norm(self.first(x) * self.hidden))) * self.factor


def training(
    factor: float = 1.0,
    hidden: float = 1.0,
    *,
    aside: float = 1.0,
    lr: float = 0.05,
    steps: int = 1,
    load: bool = True,
    adam: bool = False,
) -> Body:
    """A test that trains; ``aside`` scales a value that nothing depends on."""

    def body(parity: Parity) -> None:
        torch.manual_seed(1)
        model = Scaled(factor, hidden)
        if load:
            parity.load(model)
        parameters = model.parameters()
        optimizer = torch.optim.AdamW(parameters, lr=lr) if adam else torch.optim.SGD(parameters, lr=lr, momentum=0.9)
        loader = [torch.randn(6, 4, generator=torch.Generator().manual_seed(step)) for step in range(steps)]
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps(loader):
                out = model(x)
                loss = out.square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                parity.assert_outputs(out)
                parity.assert_loss(loss)
                parity.assert_close("aside", x.sum() * aside)

    return body
