"""Models in two ways of writing, and each with one fault."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  torch's own habit

from pytest_parity import ParityFailure, assert_equivalent


def seeded(build: Any, *args: Any, **kwargs: Any) -> Any:
    """A model whose weights are the same each time, and no two of whose are alike."""
    torch.manual_seed(0)
    model = build(*args, **kwargs)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def first_line(*args: Any, **options: Any) -> str:
    """The first line of a failure; what passes is an error."""
    try:
        comparison = assert_equivalent(*args, **options)
    except ParityFailure as failure:
        return str(failure).splitlines()[0]
    raise AssertionError(f"nothing was found in {comparison.compared} sites")


class Eager(nn.Module):
    """Attention written out, causal, with a key mask; ``scale`` and ``shift`` are its faults."""

    def __init__(self, width: int = 16, heads: int = 2, *, scale: float = 1.0, shift: int = 0, p: float = 0.0) -> None:
        super().__init__()
        self.heads, self.scale, self.shift = heads, scale, shift
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.drop = nn.Dropout(p)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = query @ key.transpose(-2, -1) * self.scale / query.shape[-1] ** 0.5
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril(self.shift)
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        return self.out(self.drop((weights @ value).transpose(1, 2).flatten(2)))


class Fused(nn.Module):
    """The same by ``scaled_dot_product_attention``, with other names."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.proj = (nn.Linear(width, width) for _ in range(4))
        self.drop = nn.Dropout(0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.proj(self.drop(mixed.transpose(1, 2).flatten(2)))


FUSED_NAMES = {"q": "query", "k": "key", "v": "value", "proj": "out"}


class ManualNorm(nn.Module):
    """``nn.LayerNorm`` over the last dimension, written out; ``eps`` and ``unbiased`` are its faults."""

    def __init__(self, width: int, *, eps: float = 1e-5, unbiased: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.eps, self.unbiased = eps, unbiased

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(-1, keepdim=True)
        variance = x.var(-1, keepdim=True, unbiased=self.unbiased)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias


class Block(nn.Module):
    """Norm, two layers, dropout, a residual; each option is a fault."""

    def __init__(
        self,
        *,
        bias: bool = True,
        scale: float = 1.0,
        p: float = 0.25,
        detach: str = "",
        momentum: float | None = None,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 16, bias=bias)
        self.act = nn.GELU()
        self.drop = nn.Dropout(p)
        self.down = nn.Linear(16, 8)
        self.batch = nn.BatchNorm1d(8, momentum=0.1 if momentum is None else momentum)
        self.scale, self.detach = scale, detach

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.up(self.norm(x)) * self.scale)
        if self.detach == "hidden":
            hidden = hidden.detach()
        start = x.detach() if self.detach == "residual" else x
        return self.batch(start + self.down(self.drop(hidden)))
