"""Models written in two ways, for the tests of the noise floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pytest_parity.session.parity import Parity

WIDTH = 32


class EagerNorm(nn.Module):
    """LayerNorm by torch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)
        self.bias = nn.Parameter(torch.randn(width) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias)


class ManualNorm(EagerNorm):
    """LayerNorm by its formula."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float() if x.dtype is not torch.float64 else x
        mean = wide.mean(-1, keepdim=True)
        variance = wide.square().mean(-1, keepdim=True) - mean.square()
        return ((wide - mean) * torch.rsqrt(variance + 1e-5)).to(x.dtype) * self.weight + self.bias


class Attention(nn.Module):
    """Two heads, by softmax or by torch's own function."""

    def __init__(self, width: int, *, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, width = x.shape
        q, k, v = (layer(x).view(b, t, 2, width // 2).transpose(1, 2) for layer in (self.query, self.key, self.value))
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = torch.softmax(q @ k.transpose(-1, -2) * (width // 2) ** -0.5, -1) @ v
        return self.out(mixed.transpose(1, 2).reshape(b, t, width))


class Block(nn.Module):
    """A transformer's block."""

    def __init__(self, width: int = WIDTH, *, rewritten: bool = False) -> None:
        super().__init__()
        norm = ManualNorm if rewritten else EagerNorm
        self.norm, self.attention = norm(width), Attention(width, fused=rewritten)
        self.norm_out = norm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm(x))
        return x + self.down(functional.gelu(self.up(self.norm_out(x))))


class Tower(nn.Module):
    """Blocks one behind the other."""

    def __init__(self, *, rewritten: bool = False, depth: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(rewritten=rewritten) for _ in range(depth))
        self.head = nn.Linear(WIDTH, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def tower(*, rewritten: bool = False, dtype: torch.dtype = torch.float32, depth: int = 2) -> Tower:
    """The same weights whenever it is called."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return Tower(rewritten=rewritten, depth=depth).to(dtype)


def scaled(model: nn.Module, path: str, factor: float) -> nn.Module:
    """A model one of whose modules gives its output times a factor."""
    model.get_submodule(path).register_forward_hook(lambda _m, _a, out: out * factor)
    return model


Make = Callable[[], nn.Module]


def training(
    make: Make,
    *,
    steps: int = 2,
    dtype: torch.dtype = torch.float32,
    optimizer: Callable[[Any], torch.optim.Optimizer] = lambda p: torch.optim.AdamW(p, lr=1e-3),
    free: bool = False,
    watch: dict[str, Any] | None = None,
    asserts: dict[str, Any] | None = None,
) -> Callable[[Parity], None]:
    """A test of a few steps of training, of whatever ``make`` makes."""

    def body(parity: Parity) -> None:
        model = parity.load(make())
        stepper = optimizer(model.parameters())
        loader = (torch.randn(4, 6, WIDTH).to(dtype) for _ in range(steps))
        with parity.watch(model, optimizer=stepper, **(watch or {})) as run:
            for x in run.steps(loader, limit=steps, free=free):
                out = model(x)
                loss = out.float().square().mean()
                stepper.zero_grad()
                loss.backward()
                stepper.step()
                parity.assert_step(outputs=out, loss=loss, **(asserts or {}))

    return body
