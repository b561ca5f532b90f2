"""LanguageModel: what the trainer and the generator ask of the two models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffusion_lm.backbone import Backbone, Size

__all__ = ["LanguageModel"]


class LanguageModel(nn.Module, ABC):
    """Tokens below `vocabulary` in, a loss out; the backbone has one token more, `extra`, for the model's own use."""

    model_type: ClassVar[str]
    unit: ClassVar[str]
    """What the loss is: two models' curves may share an axis only where it is the same."""

    causal: ClassVar[bool]
    """Whether a position sees only what is before it."""

    def __init__(self, vocabulary: int, size: Size) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.extra = vocabulary
        self.backbone = Backbone(vocabulary + 1, size, causal=self.causal)

    @abstractmethod
    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Of tokens (B, L), the loss, a mean over all of them, and what it was computed from, (B, L, vocabulary + 1)."""

    @abstractmethod
    def sample(
        self, tokens: Tensor, given: int, *, steps: int, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """Write `tokens` (B, L) anew behind the first `given` of each row."""

    def share(self, rank: int, ranks: int) -> None:
        """Be told that this process has part `rank` of `ranks` equal parts of each batch, one behind the other."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.embed.weight.device


def drawn(logits: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
    """Draw one token per position: logits (..., V) to ids (...), on the CPU's generator wherever the logits are.

    By the Gumbel trick: the largest of ``logits / temperature + g`` with ``g = -log(-log u)`` is a draw from their softmax.
    At temperature 0 it is the largest logit itself.
    """
    if temperature == 0:
        return logits.argmax(-1)
    uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float64).clamp_min(1e-300)
    gumbel = -(-uniform.log()).log()
    return (logits.double() / temperature + gumbel.to(logits.device)).argmax(-1)
