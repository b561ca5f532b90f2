"""The models that overheads are measured on: a GPT of 27 million parameters, and 200 tiny modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

__all__ = ["GPT", "Tiny", "Workload"]

VOCABULARY, WIDTH, HEADS, LAYERS, BATCH, LENGTH = 16_000, 512, 8, 6, 4, 128


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, time, width)`` to the same."""
        heads = self.qkv(x).view(*x.shape[:2], 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(heads[0], heads[1], heads[2], is_causal=True)
        out: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(x.shape))
        return out


class Block(nn.Module):
    """Attention and a feed-forward, each behind a LayerNorm, each added."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(batch, time, width)`` to the same."""
        x = x + self.attention(self.norm_attention(x))
        out: torch.Tensor = x + self.mlp(self.norm_mlp(x))
        return out


class GPT(nn.Module):
    """A decoder of 27.2 million parameters, input and output embeddings tied."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids ``(batch, time)`` to logits ``(batch, time, vocabulary)``."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        logits: torch.Tensor = self.head(self.norm(self.blocks(x)))
        return logits

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The next token's cross entropy."""
        return cross_entropy(self(batch["ids"]).flatten(0, 1), batch["targets"].flatten())

    @staticmethod
    def batch() -> dict[str, torch.Tensor]:
        """Random tokens."""
        ids = torch.randint(VOCABULARY, (BATCH, LENGTH + 1))
        return {"ids": ids[:, :-1].contiguous(), "targets": ids[:, 1:].contiguous()}


class Tiny(nn.Module):
    """100 linear layers and 100 activations of width 16."""

    def __init__(self) -> None:
        super().__init__()
        linear = [nn.Linear(16, 16) for _ in range(100)]
        for layer in linear:
            nn.init.orthogonal_(layer.weight)
        self.layers = nn.Sequential(*(module for layer in linear for module in (layer, nn.Tanh())))

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The mean square of the last layer's output."""
        out: torch.Tensor = self.layers(batch["x"])
        return out.square().mean()

    @staticmethod
    def batch() -> dict[str, torch.Tensor]:
        """Random numbers."""
        return {"x": torch.randn(4, 16)}


class Workload:
    """A model, its optimizer and its batches, that can be put back to the start as often as one likes."""

    def __init__(self, make: Callable[[], Any], steps: int) -> None:
        torch.manual_seed(0)
        self.model = make()
        self.batches = [self.model.batch() for _ in range(steps)]
        # an eps above the gradients' size: the first update of Adam is else their sign, whatever the candidate's error
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, eps=1e-2)
        self._start = [parameter.detach().clone() for parameter in self.model.parameters()]
        self.step(self.batches[0])

    def step(self, batch: dict[str, torch.Tensor]) -> None:
        """One training step."""
        self.optimizer.zero_grad()
        self.model.loss(batch).backward()
        self.optimizer.step()

    def restart(self, factor: float = 1.0) -> None:
        """Put everything back, in place, the weights multiplied by ``factor``."""
        with torch.no_grad():
            for parameter, start in zip(self.model.parameters(), self._start, strict=True):
                torch.mul(start, factor, out=parameter.data)
                for state in self.optimizer.state[parameter].values():
                    state.zero_()
