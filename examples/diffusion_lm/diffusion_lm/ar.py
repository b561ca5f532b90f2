"""Autoregressive: the next token from those before it, trained by cross-entropy."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from diffusion_lm.backbone import Size
from diffusion_lm.model import LanguageModel, drawn

__all__ = ["Autoregressive", "Likelihood", "Shift"]


class Shift(nn.Module):
    """What each position may know: the tokens moved on by one, with `begin` in front."""

    def __init__(self, begin: int) -> None:
        super().__init__()
        self.begin = begin

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) to (B, L)."""
        return functional.pad(tokens[:, :-1], (1, 0), value=self.begin)


class Likelihood(nn.Module):
    """The loss: the negative log-likelihood of the tokens, a mean over all of them, in nats.

    The extra token, the last, is never to come: it has no probability, as the mask has none in the diffusion.
    """

    def forward(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Give a scalar, from (B, L, V + 1) and (B, L)."""
        return functional.cross_entropy(logits[..., :-1].flatten(0, 1), tokens.flatten())


class Autoregressive(LanguageModel):
    """Next-token prediction on a causal backbone; the extra token stands before the first, so that this is predicted too."""

    model_type: ClassVar[str] = "AR"
    unit: ClassVar[str] = "nats/token"
    causal: ClassVar[bool] = True

    def __init__(self, vocabulary: int, size: Size) -> None:
        super().__init__(vocabulary, size)
        self.shift = Shift(self.extra)
        self.likelihood = Likelihood()

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Give the loss of tokens (B, L), and the logits (B, L, V + 1): at each position those of its own token."""
        logits = self.backbone(self.shift(tokens))
        return self.likelihood(logits, tokens), logits

    @torch.no_grad()
    def sample(
        self, tokens: Tensor, given: int, *, steps: int, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """One token after the other, each from those before it; `steps` is the diffusion's."""
        del steps
        written = tokens.clone()
        for place in range(given, written.shape[1]):
            logits = self.backbone(self.shift(written[:, : place + 1]))[:, -1, : self.extra]
            written[:, place] = drawn(logits, temperature=temperature, generator=generator)
        return written
