"""A model of the reader's own: a little language model, two blocks deep."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(self.down(torch.relu(self.up(self.norm(x)))))


def make_model(width: int = 32, words: int = 100) -> nn.Module:
    return nn.Sequential(nn.Embedding(words, width), Block(width), Block(width), nn.Linear(width, words))
