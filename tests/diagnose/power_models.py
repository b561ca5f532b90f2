"""Models that the power test's tests put faults in, and everything that there is to know of a model's state."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pytest_parity.golden.memory import tensor_digest


class Block(nn.Module):
    """Two layers of one shape, an odd one out, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6, eps=1e-5)
        self.up = nn.Linear(6, 6)
        self.down = nn.Linear(6, 6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.up(self.norm(x)).masked_fill(mask, 0.0)
        return x + self.dropout(self.down(hidden.tanh()))


class Tower(nn.Module):
    """Two blocks, a recurrent layer, and a head whose own forward nobody calls."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.rnn = nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.arange(6) < 2
        for block in self.blocks:
            x = block(x, mask=mask)
        return nn.functional.linear(self.rnn(x)[0], self.head.weight, self.head.bias)


def tower(*, seed: int = 0) -> Tower:
    torch.manual_seed(seed)
    model = Tower()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def state(model: nn.Module) -> dict[str, Any]:
    """Every attribute of every module: which objects they are, in which order, and the bits of the tensors."""
    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            found[f"{path}|{name}"] = _known(value)
    return found


def _known(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        gradient = None if value.grad is None else tensor_digest(value.grad)
        return id(value), value._version, tensor_digest(value), value.requires_grad, gradient
    if isinstance(value, dict):
        return id(value), [(key, _known(one)) for key, one in value.items()]
    if isinstance(value, list):
        return id(value), [_known(one) for one in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else id(value)
