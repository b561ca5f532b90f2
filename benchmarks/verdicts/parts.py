"""Parts: what the reference models are made of, each in several computations that are the same on paper.

Every alternative is a module of the same name, parameters and output as the plain one, so that a model made of it is a
rewrite whose sites can all be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout", "Parts", "wide"]

Attend = Callable[[Tensor, Tensor, Tensor, "Tensor | None", Tensor, float], Tensor]
"""Queries, keys, values (batch, heads, time, width), an additive bias or none, who sees whom, the scale."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (n, classes) and classes (n,): the sum of the cross entropies."""


class Dropout(nn.Dropout):
    """Dropout whose mask is drawn in float32 whatever the input's dtype, so that a float64 run drops the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Zero a share of ``p``, scale the rest up."""
        if not self.p or not self.training:
            return x
        kept = torch.rand(x.shape, dtype=torch.float32) >= self.p
        return x * (kept.to(x.dtype) / (1 - self.p))


def wide(x: Tensor) -> Tensor:
    """16-bit numbers in float32, others as they are."""
    return x.float() if x.dtype in {torch.bfloat16, torch.float16} else x


class MatmulLinear(nn.Linear):
    """A product, then a sum."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        y = x @ self.weight.t()
        return y if self.bias is None else y + self.bias


class TransposedLinear(nn.Linear):
    """The product of the transposes."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        flat = x.reshape(-1, x.shape[-1])
        y = (self.weight @ flat.t()).t().reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias


class ManualLayerNorm(nn.LayerNorm):
    """Mean, variance, scale, as a textbook writes it, in the input's dtype."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        centered = x - x.mean(-1, keepdim=True)
        variance = centered.square().mean(-1, keepdim=True)
        return centered / torch.sqrt(variance + self.eps) * self.weight + self.bias


class UpcastLayerNorm(nn.LayerNorm):
    """The same with moments of ``x`` and ``x**2`` in float32, as careful 16-bit code does."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        values = wide(x)
        mean = values.sum(-1, keepdim=True) / values.shape[-1]
        variance = (values - mean).pow(2).sum(-1, keepdim=True) / values.shape[-1]
        return (((values - mean) * torch.rsqrt(variance + self.eps)) * wide(self.weight) + wide(self.bias)).to(x.dtype)


class FormulaGELU(nn.GELU):
    """The definition."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


class FormulaSiLU(nn.SiLU):
    """The definition."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x / (1 + torch.exp(-x))


class SplitGLU(nn.GLU):
    """The definition."""

    def forward(self, x: Tensor) -> Tensor:
        """Half of the channels gate the other half."""
        values, gates = x.chunk(2, self.dim)
        return values * torch.sigmoid(gates)


class OneHotEmbedding(nn.Embedding):
    """A product with one-hot rows."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens to rows of the table."""
        return functional.one_hot(tokens, self.num_embeddings).to(self.weight.dtype) @ self.weight


class ManualBatchNorm2d(nn.BatchNorm2d):
    """Batch statistics by hand, also the running ones."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each channel, of any number of dimensions behind it."""
        return _batch_norm(self, x)

    def _check_input_dim(self, x: Tensor) -> None:
        del x


class ManualBatchNorm1d(nn.BatchNorm1d):
    """The same over one dimension."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each channel."""
        return _batch_norm(self, x)


def _batch_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    dims = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    values = wide(x)
    mean = values.mean(dims)
    variance = (values - mean.view(shape)).square().mean(dims)
    with torch.no_grad():
        count = x.numel() / x.shape[1]
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        momentum = norm.momentum or 0.0
        for running, now in ((norm.running_mean, mean), (norm.running_var, variance * count / (count - 1))):
            running.copy_((1 - momentum) * wide(running) + momentum * now)
        norm.num_batches_tracked += 1
    scaled = (values - mean.view(shape)) / torch.sqrt(variance + norm.eps).view(shape)
    return (scaled * wide(norm.weight).view(shape) + wide(norm.bias).view(shape)).to(x.dtype)


class UnfoldConv2d(nn.Conv2d):
    """Patches as columns, then one product."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width)."""
        kernel, stride, padding = cast("Any", (self.kernel_size, self.stride, self.padding))
        columns = functional.unfold(x, kernel, stride=stride, padding=padding)
        y = self.weight.flatten(1) @ columns
        y = y if self.bias is None else y + self.bias[:, None]
        height = (x.shape[2] + 2 * padding[0] - kernel[0]) // stride[0] + 1
        return y.view(x.shape[0], self.out_channels, height, -1)


class ShiftedConv1d(nn.Conv1d):
    """A depthwise convolution as a sum of shifted products."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, time); stride 1."""
        padding, kernel = cast("int", self.padding[0]), self.kernel_size[0]
        padded = functional.pad(x, (padding, padding))
        length = padded.shape[-1] - kernel + 1
        y = sum(padded[:, :, k : k + length] * self.weight[:, 0, k, None] for k in range(kernel))
        assert isinstance(y, Tensor)
        return y if self.bias is None else y + self.bias[:, None]


def _linear(cell: nn.RNNBase, x: Tensor, name: str) -> Tensor:
    weight, bias = getattr(cell, f"weight_{name}_l0"), getattr(cell, f"bias_{name}_l0")
    return cast("Tensor", x @ weight.t() + bias)


class LoopLSTM(nn.LSTM):
    """One layer, a step at a time."""

    def forward(self, x: Tensor, hx: Any = None) -> Any:  # type: ignore[override]  # called by position
        """(batch, time, width) from a state of zeros."""
        assert hx is None
        h = c = x.new_zeros(x.shape[0], self.hidden_size)
        outputs = []
        for now in x.unbind(1):
            gates = _linear(self, now, "ih") + _linear(self, h, "hh")
            enter, forget, cell, out = gates.chunk(4, -1)
            c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(cell)
            h = torch.sigmoid(out) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, 1), (h[None], c[None])


class LoopGRU(nn.GRU):
    """One layer, a step at a time."""

    def forward(self, x: Tensor, hx: Any = None) -> Any:  # type: ignore[override]  # called by position
        """(batch, time, width) from a state of zeros."""
        assert hx is None
        h = x.new_zeros(x.shape[0], self.hidden_size)
        outputs = []
        for now in x.unbind(1):
            ours, theirs = _linear(self, now, "ih").chunk(3, -1), _linear(self, h, "hh").chunk(3, -1)
            reset, update = torch.sigmoid(ours[0] + theirs[0]), torch.sigmoid(ours[1] + theirs[1])
            h = (1 - update) * torch.tanh(ours[2] + reset * theirs[2]) + update * h
            outputs.append(h)
        return torch.stack(outputs, 1), h[None]


class MeanPool(nn.AdaptiveAvgPool2d):
    """A sum over the count."""

    def forward(self, x: Tensor) -> Tensor:
        """To one by one."""
        return x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])


def eager(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, seen: Tensor, scale: float) -> Tensor:  # noqa: PLR0917
    """Scores, softmax, sum."""
    scores = q @ k.transpose(-1, -2) * scale
    scores = scores if bias is None else scores + bias
    return scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, seen: Tensor, scale: float) -> Tensor:  # noqa: PLR0917
    """Torch's fused attention."""
    mask = seen if bias is None else bias.masked_fill(~seen, float("-inf"))
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def einsum(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, seen: Tensor, scale: float) -> Tensor:  # noqa: PLR0917
    """The scale on the queries, sums by einsum, the softmax by its definition."""
    scores = torch.einsum("bhqd,bhkd->bhqk", q * scale, k)
    scores = (scores if bias is None else bias + scores).masked_fill(~seen, float("-inf"))
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return torch.einsum("bhqk,bhkd->bhqd", weights / weights.sum(-1, keepdim=True), v)


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Torch's own."""
    return functional.cross_entropy(wide(logits), classes, reduction="sum")


def picked_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Logarithm of the sum, less what is picked, summed in another order."""
    values = wide(logits)
    losses = torch.logsumexp(values, -1) - values.gather(-1, classes[:, None])[:, 0]
    return losses.flip(0).cumsum(0)[-1]


@dataclass(frozen=True, slots=True)
class Parts:
    """One choice of every part; the defaults are the reference."""

    linear: type[nn.Linear] = nn.Linear
    layer_norm: type[nn.LayerNorm] = nn.LayerNorm
    batch_norm_1d: type[nn.BatchNorm1d] = nn.BatchNorm1d
    batch_norm_2d: type[nn.BatchNorm2d] = nn.BatchNorm2d
    gelu: type[nn.GELU] = nn.GELU
    silu: type[nn.SiLU] = nn.SiLU
    glu: type[nn.GLU] = nn.GLU
    embedding: type[nn.Embedding] = nn.Embedding
    conv2d: type[nn.Conv2d] = nn.Conv2d
    conv1d: type[nn.Conv1d] = nn.Conv1d
    lstm: type[nn.LSTM] = nn.LSTM
    gru: type[nn.GRU] = nn.GRU
    pool: type[nn.AdaptiveAvgPool2d] = nn.AdaptiveAvgPool2d
    attend: Attend = eager
    loss: Loss = cross_entropy
    dropout: float = 0.1
    checkpoint: bool = False
    fused_qkv: bool = False
