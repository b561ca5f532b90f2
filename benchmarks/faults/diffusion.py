"""A masked diffusion language model: absorbing state, a bidirectional transformer with rotary positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.verdicts.attention import FeedForward, SelfAttention, keep_mask
from benchmarks.verdicts.models import CLASSES, HEADS, WIDTH
from benchmarks.verdicts.parts import Dropout, Parts

__all__ = ["Absorb", "Clamp", "DiffusionBlock", "MaskedDiffusion", "Rotary", "RotaryAttention", "Sinusoids"]


class Absorb(nn.Module):
    """Draws a time for each sequence, and puts the mask token in place of about that share of its tokens."""

    least = 0.1

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (batch, steps) to tokens, times (batch,) in float32, and which are masked, bool (batch, steps)."""
        times = self.least + (1 - self.least) * torch.rand(x.shape[0], dtype=torch.float32)
        masked = self.drawn(x, times) & keep_mask(lengths, x.shape[1])
        return torch.where(masked, CLASSES, x), times, masked

    def drawn(self, x: Tensor, times: Tensor) -> Tensor:
        """Which positions are absorbed, padding or not."""
        return torch.rand(x.shape, dtype=torch.float32) < times[:, None]


class Sinusoids(nn.Module):
    """A time as sines, then cosines, of falling frequency."""

    def forward(self, times: Tensor) -> Tensor:
        """(batch,) to (batch, width)."""
        rates = torch.exp(torch.arange(WIDTH // 2) * (-math.log(1000.0) / (WIDTH // 2)))
        angles = 100.0 * times[:, None] * rates
        return torch.cat((angles.sin(), angles.cos()), -1)


class Rotary(nn.Module):
    """Rotary positions, half-split: number i turns with number i + half."""

    base = 1000.0

    def forward(self, x: Tensor) -> Tensor:
        """(batch, heads, time, width of a head)."""
        turns = self.turns(x)
        one, other = x.chunk(2, -1)
        return torch.cat((one * turns.cos() - other * turns.sin(), other * turns.cos() + one * turns.sin()), -1)

    def turns(self, x: Tensor) -> Tensor:
        """The angles, (time, half)."""
        half = x.shape[-1] // 2
        rates = self.base ** (-torch.arange(half, dtype=torch.float64) / half)
        return (torch.arange(x.shape[-2], dtype=torch.float64)[:, None] * rates).to(x.dtype)


class RotaryAttention(SelfAttention):
    """Every position sees every other that is not padding."""

    def __init__(self, width: int, heads: int, parts: Parts) -> None:
        super().__init__(width, heads, parts, causal=False)
        self.rotary = Rotary()

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys, values; the first two turned."""
        query, key, value = super().project(x)
        return self.rotary(query), self.rotary(key), value


class Clamp(nn.Module):
    """Clamps, and lets every gradient through."""

    limit = 1.5

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x + (x.clamp(-self.limit, self.limit) - x).detach()


class DiffusionBlock(nn.Module):
    """Norms first; the time is added before the feed-forward."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.attention_norm = parts.layer_norm(WIDTH)
        self.attention = RotaryAttention(WIDTH, HEADS, parts)
        self.attention_drop = Dropout(parts.dropout)
        self.time = parts.linear(WIDTH, WIDTH)
        self.feed_norm = parts.layer_norm(WIDTH)
        self.feed = FeedForward(WIDTH, parts.gelu(), parts)
        self.feed_drop = Dropout(0.0)

    def forward(self, x: Tensor, keep: Tensor, time: Tensor) -> Tensor:
        """(batch, time, width), (batch, time), (batch, width)."""
        x = x + self.attention_drop(self.attention(self.attention_norm(x), keep))
        shifted = x + self.time(time)[:, None]
        y: Tensor = x + self.feed_drop(self.feed(self.feed_norm(shifted)))
        return y


class MaskedDiffusion(nn.Module):
    """Tokens, some of them absorbed, to what they were."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.absorb = Absorb()
        self.tokens = parts.embedding(CLASSES + 1, WIDTH)
        self.sinusoids = Sinusoids()
        self.time_in = parts.linear(WIDTH, WIDTH)
        self.time_act = parts.silu()
        self.blocks = nn.ModuleList(DiffusionBlock(parts) for _ in range(2))
        self.norm = parts.layer_norm(WIDTH)
        self.clamp = Clamp()
        self.head = parts.linear(WIDTH, CLASSES)
        self.checkpoint = parts.checkpoint

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (batch, time) to logits (batch, time, classes), times (batch,) and masked, bool (batch, time)."""
        tokens, times, masked = self.absorb(x, lengths)
        keep = keep_mask(lengths, x.shape[1])
        time = self.time_act(self.time_in(self.sinusoids(times).to(self.time_in.weight.dtype)))
        y = self.tokens(tokens)
        for block in self.blocks:
            y = checkpoint(block, y, keep, time, use_reentrant=False) if self.checkpoint else block(y, keep, time)
        logits: Tensor = self.head(self.clamp(self.norm(y)))
        return logits, times, masked
