"""Modules that ordinary data cannot tell apart, rewrites that are correct, and a test's body around one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pytest_parity.session.parity import Parity

Make = Callable[[], nn.Module]


class Block(nn.Module):
    """A normalization, a layer, an activation, a layer, a dropout."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.LayerNorm, act: Make = nn.GELU, width: int = 16) -> None:
        super().__init__()
        self.norm = norm(width)
        self.up = nn.Linear(width, 2 * width)
        self.act = act()
        self.down = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.down(self.act(self.up(self.norm(x)))))


class WrittenNorm(nn.Module):
    """``LayerNorm``, step by step."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        apart = x - x.mean(-1, keepdim=True)
        return apart * torch.rsqrt(apart.square().mean(-1, keepdim=True) + self.eps) * self.weight + self.bias


class Clamped(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(x).clamp(max=1e4)


class Attention(nn.Module):
    """Of queries, keys, values and a mask: by torch's own function, or step by step with what masked scores are set to."""

    def __init__(self, masked: float | None = None) -> None:
        super().__init__()
        self.masked_to = masked

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.masked_to is None:
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~mask, self.masked_to)
        return scores.softmax(-1) @ v


class Conv(nn.Module):
    """A convolution over time, as torch has it, or over unfolded frames."""

    def __init__(self, *, unfolded: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(8, 8, 3) / 5), nn.Parameter(torch.randn(8))
        self.unfolded = unfolded

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.unfolded:
            return functional.conv1d(x.transpose(1, 2), self.weight, self.bias, padding=1).transpose(1, 2)
        frames = functional.pad(x, (0, 0, 1, 1)).unfold(1, 3, 1)
        return torch.einsum("btck,ock->bto", frames, self.weight) + self.bias


class Layer(nn.Module):
    """A convolution, attention over four frames and a normalization over the batch."""

    def __init__(self, masked: float | None = None, *, unfolded: bool = False) -> None:
        super().__init__()
        self.conv = Conv(unfolded=unfolded)
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.attention = Attention(masked)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        x = self.attention(self.q(x), self.k(x), self.v(x), mask=mask)
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


def body(make: Make, *shape: int, dtype: torch.dtype = torch.float32, **watch: Any) -> Callable[[Parity], None]:
    """Two training steps."""

    def run(parity: Parity) -> None:
        torch.manual_seed(0)
        model = make().to(dtype)
        parity.load(model)
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        with parity.watch(model, optimizer=optimizer, **watch) as steps:
            for x in steps.steps([torch.randn(*(shape or (8, 8, 16))).to(dtype) for _ in range(2)]):
                optimizer.zero_grad()
                loss = model(x).float().square().mean()
                loss.backward()
                optimizer.step()
                parity.assert_loss(loss)

    return run
