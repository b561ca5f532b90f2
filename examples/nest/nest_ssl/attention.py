"""Self-attention with relative positions (Transformer-XL, https://arxiv.org/abs/1901.02860, section 3.3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

MASKED_SCORE = -10000.0
"""The score of a masked position before the softmax."""


class RelativePositions(nn.Module):
    """Scales tokens, and gives the sinusoids of their relative distances.

    The table is a buffer that no checkpoint keeps; it grows when an utterance needs more.

    Args:
        d_model: size D of a token.
        max_len: tokens for which the table is built at first.
        scale: factor of the tokens, sqrt(D) under `xscaling`, else 1.
        dropout: probability of the dropout on the scaled tokens.

    """

    table: Tensor

    def __init__(self, *, d_model: int, max_len: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.d_model = d_model
        self.scale = scale
        self.drop = nn.Dropout(dropout)
        self.register_buffer("table", self.sinusoids(max_len), persistent=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Scale the tokens and look up their distances.

        Args:
            tokens: float32, shape (B, T, D).

        Returns:
            float32 tokens, shape (B, T, D), and float32 positions, shape (1, 2 * T - 1, D), from distance T - 1 (the
            key lies before the query) down to -(T - 1).

        """
        steps = tokens.shape[1]
        if self.table.shape[1] < 2 * steps - 1:
            self.table = self.sinusoids(steps).to(self.table)
        centre = self.table.shape[1] // 2
        dropped: Tensor = self.drop(self.rescale(tokens))
        return dropped, self.table[:, centre - steps + 1 : centre + steps]

    def rescale(self, tokens: Tensor) -> Tensor:
        """Multiply by the scale."""
        return tokens * self.scale

    def sinusoids(self, steps: int) -> Tensor:
        """Build the table: sin in even columns, cos in odd ones, wavelengths from 2 pi to 10000 * 2 pi tokens."""
        distances = torch.arange(steps - 1, -steps, -1, dtype=torch.float32).unsqueeze(1)
        exponents = torch.arange(0, self.d_model, 2, dtype=torch.float32)
        angles = distances * torch.exp(exponents * -(math.log(10000.0) / self.d_model))
        return torch.stack((torch.sin(angles), torch.cos(angles)), dim=2).flatten(1).unsqueeze(0)


class RelativeAttention(nn.Module):
    """Multi-head attention whose scores add content and position, each with a bias of this layer's own.

    score(i, j) = ((q_i + u) . k_j + (q_i + v) . p_{i - j}) / sqrt(d), with d the size of a head.

    Args:
        d_model: size D of a token.
        heads: number of heads H.
        dropout: probability of the dropout on the attention weights.
        bias: whether the projections have a bias (the positions' never has).

    """

    def __init__(self, *, d_model: int, heads: int, dropout: float, bias: bool) -> None:
        super().__init__()
        if d_model % heads:
            raise ValueError(f"d_model {d_model} is not a multiple of {heads} heads")
        self.heads = heads
        self.head_size = d_model // heads
        self.query = nn.Linear(d_model, d_model, bias=bias)
        self.key = nn.Linear(d_model, d_model, bias=bias)
        self.value = nn.Linear(d_model, d_model, bias=bias)
        self.position = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=bias)
        self.content_bias = nn.Parameter(torch.zeros(heads, self.head_size))
        self.position_bias = nn.Parameter(torch.zeros(heads, self.head_size))
        self.drop = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Attend.

        Args:
            query: float32, shape (B, T, D).
            key: float32, shape (B, T, D).
            value: float32, shape (B, T, D).
            mask: bool, shape (B, T, T), True where a query may not see a key.
            positions: float32, shape (1, 2 * T - 1, D), see `RelativePositions`.

        Returns:
            float32, shape (B, T, D).

        """
        queries = self.split(self.query(query))
        keys = self.split(self.key(key)).transpose(1, 2)
        values = self.split(self.value(value)).transpose(1, 2)
        distances = self.split(self.position(positions)).transpose(1, 2)
        content = torch.matmul((queries + self.content_bias).transpose(1, 2), keys.transpose(-2, -1))
        position = torch.matmul((queries + self.position_bias).transpose(1, 2), distances.transpose(-2, -1))
        scores = (content + align(position)) / math.sqrt(self.head_size)
        weights: Tensor = self.drop(self.weigh(scores, mask))
        mixed: Tensor = self.output(torch.matmul(weights, values).transpose(1, 2).flatten(2))
        return mixed

    def split(self, projected: Tensor) -> Tensor:
        """Separate the heads: (B, T, D) to (B, T, H, d)."""
        return projected.view(*projected.shape[:2], self.heads, self.head_size)

    def weigh(self, scores: Tensor, mask: Tensor) -> Tensor:
        """Softmax over the keys, 0 where masked: scores (B, H, T, T), mask (B, T, T); a row all masked becomes 0."""
        hidden = mask.unsqueeze(1)
        return torch.softmax(scores.masked_fill(hidden, MASKED_SCORE), dim=-1).masked_fill(hidden, 0.0)


def align(scores: Tensor) -> Tensor:
    """Turn scores by distance into scores by key.

    Column c of the input belongs to distance T - 1 - c, so that key j of row i stands in column j - i + T - 1: each row
    must move left by one column less than the row above it. One column of padding on the left, and reading the buffer
    as rows of another width, does this without a gather (Transformer-XL, appendix B).

    Args:
        scores: float32, shape (B, H, T, 2 * T - 1).

    Returns:
        float32, shape (B, H, T, T): entry (i, j) is the input's at distance i - j.

    """
    batch, heads, steps, distances = scores.shape
    skewed = functional.pad(scores, (1, 0)).view(batch, heads, distances + 1, steps)
    return skewed[:, :, 1:].view(batch, heads, steps, distances)[..., :steps]
