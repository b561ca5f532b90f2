"""Backbone: the one transformer of both language models, causal or looking both ways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "Backbone", "Block", "Rotary", "Size"]

_STD = 0.02
"""Of the initial weights, so that the first loss is near that of a uniform guess."""
_BASE = 10_000.0
"""Of the rotary angles."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a backbone is. ``d_model`` is a multiple of ``2 * n_heads``; ``seq_len`` is the longest sequence, in tokens."""

    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    seq_len: int = 128
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if min(self.d_model, self.n_layers, self.n_heads, self.seq_len) < 1:
            raise ValueError(f"d_model, n_layers, n_heads and seq_len have to be 1 or more, and this is {self}")
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"d_model={self.d_model} cannot be cut into n_heads={self.n_heads} heads of an even size; "
                f"take a multiple of {2 * self.n_heads}"
            )


class Rotary(nn.Module):
    """Rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864).

    Of each head the first half of the channels are the pairs' real parts, the second half their imaginary parts; pair
    ``i`` of ``d / 2`` turns by ``position * 10000 ** (-2 i / d)``.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, channels: int, seq_len: int) -> None:
        super().__init__()
        frequencies = _BASE ** -(torch.arange(0, channels, 2) / channels)
        angles = torch.outer(torch.arange(seq_len).float(), frequencies)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn queries or keys, (B, heads, L, channels)."""
        cos, sin = self.cos[: x.shape[2]], self.sin[: x.shape[2]]
        real, imaginary = x.chunk(2, dim=-1)
        return torch.cat([real * cos - imaginary * sin, real * sin + imaginary * cos], dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention with rotary positions, without biases; `causal` positions see nothing behind themselves."""

    def __init__(self, size: Size, *, causal: bool) -> None:
        super().__init__()
        self.heads = size.n_heads
        self.causal = causal
        self.query = nn.Linear(size.d_model, size.d_model, bias=False)
        self.key = nn.Linear(size.d_model, size.d_model, bias=False)
        self.value = nn.Linear(size.d_model, size.d_model, bias=False)
        self.rotary = Rotary(size.d_model // size.n_heads, size.seq_len)
        self.out = nn.Linear(size.d_model, size.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions: (B, L, d_model) to (B, L, d_model)."""
        query, key = self.rotary(self._split(self.query(x))), self.rotary(self._split(self.key(x)))
        mixed = functional.scaled_dot_product_attention(query, key, self._split(self.value(x)), is_causal=self.causal)
        joined: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return joined

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Attention, then a perceptron four times as wide, each behind a norm and added to what came in."""

    def __init__(self, size: Size, *, causal: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(size.d_model)
        self.attention = Attention(size, causal=causal)
        self.attention_drop = nn.Dropout(size.dropout)
        self.feed_norm = nn.LayerNorm(size.d_model)
        self.up = nn.Linear(size.d_model, 4 * size.d_model)
        self.activation = nn.GELU()
        self.down = nn.Linear(4 * size.d_model, size.d_model)
        self.feed_drop = nn.Dropout(size.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """One layer: (B, L, d_model) to (B, L, d_model)."""
        x = x + self.attention_drop(self.attention(self.attention_norm(x)))
        fed: Tensor = x + self.feed_drop(self.down(self.activation(self.up(self.feed_norm(x)))))
        return fed


class Backbone(nn.Module):
    """Tokens (B, L) of `vocabulary` kinds to logits (B, L, vocabulary)."""

    def __init__(self, vocabulary: int, size: Size, *, causal: bool) -> None:
        super().__init__()
        self.size = size
        self.embed = nn.Embedding(vocabulary, size.d_model)
        self.layers = nn.ModuleList(Block(size, causal=causal) for _ in range(size.n_layers))
        self.norm = nn.LayerNorm(size.d_model)
        self.head = nn.Linear(size.d_model, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=_STD)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits for each position; what they are of is the model's affair."""
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(self.norm(x))
        return logits
