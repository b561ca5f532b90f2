"""Models: a transformer, a conformer, a convolutional and a recurrent network, small, made of ``Parts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.verdicts.attention import FeedForward, RelativeAttention, SelfAttention, keep_mask
from benchmarks.verdicts.parts import Dropout, Parts

__all__ = ["CLASSES", "FEATURES", "Conformer", "ConvNet", "Recurrent", "Transformer", "redrawn"]

CLASSES = 29
FEATURES = 20
WIDTH = 48
HEADS = 4
STEPS = 48
"""The longest that positions go."""


def redrawn(model: nn.Module) -> nn.Module:
    """Weights of norms and all biases drawn, so that no fault in them is without effect by construction."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2 + (1.0 if name.endswith("weight") else 0.0))
    return model


def _call(run: bool, function: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """A call, checkpointed or not."""
    if not run:
        return function(*values)
    result: Any = checkpoint(function, *values, use_reentrant=False)
    return result  # type: ignore[no-any-return]


class Block(nn.Module):
    """A transformer block, norms first."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.attention_norm = parts.layer_norm(WIDTH)
        self.attention = SelfAttention(WIDTH, HEADS, parts, causal=True)
        self.attention_drop = Dropout(parts.dropout)
        self.feed_norm = parts.layer_norm(WIDTH)
        self.feed = FeedForward(WIDTH, parts.gelu(), parts)
        self.feed_drop = Dropout(parts.dropout)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """(batch, time, width)."""
        x = x + self.attention_drop(self.attention(self.attention_norm(x), keep))
        y: Tensor = x + self.feed_drop(self.feed(self.feed_norm(x)))
        return y


class Transformer(nn.Module):
    """Causal, over tokens, with padding."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.tokens = parts.embedding(CLASSES, WIDTH)
        self.positions = parts.embedding(STEPS, WIDTH)
        self.drop = Dropout(parts.dropout)
        self.blocks = nn.ModuleList(Block(parts) for _ in range(2))
        self.norm = parts.layer_norm(WIDTH)
        self.head = parts.linear(WIDTH, CLASSES)
        self.checkpoint = parts.checkpoint

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (batch, time) to logits (batch, time, classes)."""
        keep = keep_mask(lengths, x.shape[1])
        y = self.drop(self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device)))
        for block in self.blocks:
            y = _call(self.checkpoint, block, y, keep)
        logits: Tensor = self.head(self.norm(y))
        return logits


class ConvModule(nn.Module):
    """A conformer's convolution: gate, depthwise, batch norm."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.gate = parts.linear(WIDTH, 2 * WIDTH)
        self.glu = parts.glu(-1)
        self.depthwise = parts.conv1d(WIDTH, WIDTH, 5, padding=2, groups=WIDTH)
        self.norm = parts.batch_norm_1d(WIDTH)
        self.activation = parts.silu()
        self.out = parts.linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """(batch, time, width); what is padding is silent."""
        x = self.glu(self.gate(x)).masked_fill(~keep[..., None], 0.0)
        x = self.activation(self.norm(self.depthwise(x.transpose(1, 2)))).transpose(1, 2)
        y: Tensor = self.out(x)
        return y


class ConformerBlock(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, norm."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.first_norm = parts.layer_norm(WIDTH)
        self.first = FeedForward(WIDTH, parts.silu(), parts)
        self.attention_norm = parts.layer_norm(WIDTH)
        self.attention = RelativeAttention(WIDTH, HEADS, parts)
        self.convolution_norm = parts.layer_norm(WIDTH)
        self.convolution = ConvModule(parts)
        self.second_norm = parts.layer_norm(WIDTH)
        self.second = FeedForward(WIDTH, parts.silu(), parts)
        self.drop = Dropout(parts.dropout)
        self.norm = parts.layer_norm(WIDTH)
        self.checkpoint = parts.checkpoint

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """(batch, time, width). A checkpoint around the batch norm would count its batch twice; it is left out."""
        x = x + 0.5 * _call(self.checkpoint, self.first, self.first_norm(x))
        x = x + self.drop(_call(self.checkpoint, self.attention, self.attention_norm(x), keep))
        x = x + self.convolution(self.convolution_norm(x), keep)
        x = x + 0.5 * _call(self.checkpoint, self.second, self.second_norm(x))
        y: Tensor = self.norm(x)
        return y


class Conformer(nn.Module):
    """Over frames, a class for every second one."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.subsample = parts.conv2d(1, 8, 3, stride=2, padding=1)
        self.activation = nn.ReLU()
        self.project = parts.linear(8 * (FEATURES // 2), WIDTH)
        self.blocks = nn.ModuleList(ConformerBlock(parts) for _ in range(2))
        self.head = parts.linear(WIDTH, CLASSES)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Features (batch, 2 * time, features) to logits (batch, time, classes); lengths are those of the logits."""
        y = self.activation(self.subsample(x[:, None]))
        y = self.project(y.transpose(1, 2).flatten(2))
        keep = keep_mask(lengths, y.shape[1])
        for block in self.blocks:
            y = block(y, keep)
        logits: Tensor = self.head(y)
        return logits


class Residual(nn.Module):
    """Two convolutions with batch norms, and a way around them."""

    def __init__(self, entering: int, leaving: int, stride: int, parts: Parts) -> None:
        super().__init__()
        self.first = parts.conv2d(entering, leaving, 3, stride=stride, padding=1, bias=False)
        self.first_norm = parts.batch_norm_2d(leaving)
        self.activation = nn.ReLU()
        self.second = parts.conv2d(leaving, leaving, 3, padding=1)
        self.second_norm = parts.batch_norm_2d(leaving)
        self.around = parts.conv2d(entering, leaving, 1, stride=stride)
        self.out = parts.silu()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        y = self.activation(self.first_norm(self.first(x)))
        z: Tensor = self.out(self.second_norm(self.second(y)) + self.around(x))
        return z


class ConvNet(nn.Module):
    """A small ResNet."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.stem = parts.conv2d(3, 16, 3, padding=1)
        self.norm = parts.batch_norm_2d(16)
        self.activation = nn.ReLU()
        self.blocks = nn.ModuleList([Residual(16, 16, 1, parts), Residual(16, 32, 2, parts)])
        self.pool = parts.pool(1)
        self.hidden = parts.linear(32, 32)
        self.gelu = parts.gelu()
        self.head = parts.linear(32, CLASSES)
        self.checkpoint = parts.checkpoint

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Images (batch, 3, height, width) to logits (batch, classes)."""
        del lengths
        y = self.activation(self.norm(self.stem(x)))
        for block in self.blocks:
            y = block(y)
        logits: Tensor = _call(self.checkpoint, self._classify, self.pool(y).flatten(1))
        return logits

    def _classify(self, pooled: Tensor) -> Tensor:
        logits: Tensor = self.head(self.gelu(self.hidden(pooled)))
        return logits


class Recurrent(nn.Module):
    """Tokens through an LSTM, then a GRU."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.tokens = parts.embedding(CLASSES, WIDTH)
        self.lstm = parts.lstm(WIDTH, WIDTH, batch_first=True)
        self.norm = parts.layer_norm(WIDTH)
        self.drop = Dropout(parts.dropout)
        self.gru = parts.gru(WIDTH, WIDTH, batch_first=True)
        self.feed = FeedForward(WIDTH, parts.gelu(), parts)
        self.head = parts.linear(WIDTH, CLASSES)
        self.checkpoint = parts.checkpoint

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (batch, time) to logits (batch, time, classes)."""
        y, _ = self.lstm(self.tokens(x).masked_fill(~keep_mask(lengths, x.shape[1])[..., None], 0.0))
        y, _ = self.gru(self.drop(self.norm(y)))
        y = y + _call(self.checkpoint, self.feed, y)
        logits: Tensor = self.head(y)
        return logits
