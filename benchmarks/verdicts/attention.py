"""Attention and feed-forward modules that the transformer and the conformer share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.verdicts.parts import Dropout, Parts

__all__ = ["FeedForward", "RelativeAttention", "SelfAttention", "keep_mask"]


def keep_mask(lengths: Tensor, steps: int) -> Tensor:
    """Which positions hold something, (batch, steps)."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


class SelfAttention(nn.Module):
    """Multi-head attention; ``seen`` says which position sees which."""

    def __init__(self, width: int, heads: int, parts: Parts, *, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.scale = 1 / math.sqrt(width // heads)
        self.attend = parts.attend
        if parts.fused_qkv:
            self.qkv = parts.linear(width, 3 * width)
        else:
            self.query = parts.linear(width, width)
            self.key = parts.linear(width, width)
            self.value = parts.linear(width, width)
        self.out = parts.linear(width, width)

    def seen(self, keep: Tensor) -> Tensor:
        """From (batch, time) to (batch, 1, queries, keys)."""
        steps = keep.shape[1]
        square = torch.ones(steps, steps, dtype=torch.bool, device=keep.device)
        return keep[:, None, None, :] & (square.tril() if self.causal else square)

    def split(self, x: Tensor) -> Tensor:
        """Heads apart: (batch, heads, time, width of one)."""
        return x.reshape(*x.shape[:-1], self.heads, -1).transpose(1, 2)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values."""
        if hasattr(self, "qkv"):
            query, key, value = self.qkv(x).chunk(3, -1)
        else:
            query, key, value = self.query(x), self.key(x), self.value(x)
        return self.split(query), self.split(key), self.split(value)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """(batch, time, width)."""
        query, key, value = self.project(x)
        mixed = self.attend(query, key, value, None, self.seen(keep), self.scale)
        y: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return y


class RelativeAttention(SelfAttention):
    """With a term for how far apart two positions are, after Transformer-XL."""

    def __init__(self, width: int, heads: int, parts: Parts) -> None:
        super().__init__(width, heads, parts, causal=False)
        self.position = parts.linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.randn(heads, 1, width // heads) * 0.1)
        self.position_bias = nn.Parameter(torch.randn(heads, 1, width // heads) * 0.1)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """(batch, time, width)."""
        query, key, value = self.project(x)
        steps, width = x.shape[1], x.shape[2]
        distance = torch.arange(steps - 1, -steps, -1, device=x.device)
        rates = torch.exp(torch.arange(0, width, 2, device=x.device) * (-math.log(10000.0) / width))
        angles = distance[:, None] * rates
        table = torch.stack((angles.sin(), angles.cos()), -1).flatten(1).to(x.dtype)
        far = self.split(self.position(table)[None])
        raw = (query + self.position_bias) @ far.transpose(-1, -2)
        bias = _shifted(raw) * self.scale
        mixed = self.attend(query + self.content_bias, key, value, bias, self.seen(keep), self.scale)
        y: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return y


def _shifted(raw: Tensor) -> Tensor:
    """From a column for each distance, T-1 to 1-T, to a column for each key."""
    batch, heads, steps, columns = raw.shape
    padded = functional.pad(raw, (1, 0)).view(batch, heads, columns + 1, steps)
    return padded[:, :, 1:].reshape(batch, heads, steps, columns)[..., :steps]


class FeedForward(nn.Module):
    """Up, activation, down."""

    def __init__(self, width: int, activation: nn.Module, parts: Parts) -> None:
        super().__init__()
        self.up = parts.linear(width, 4 * width)
        self.activation = activation
        self.drop = Dropout(parts.dropout)
        self.down = parts.linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width)."""
        y: Tensor = self.down(self.drop(self.activation(self.up(x))))
        return y
