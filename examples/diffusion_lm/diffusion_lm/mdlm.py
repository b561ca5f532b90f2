r"""MaskedDiffusion: absorbing-state masked diffusion over tokens, trained by its continuous-time bound.

Noise. At time ``t`` each token of a sequence has, independently of the others, become the mask with probability
``1 - alpha(t)``; the log-linear schedule has ``alpha(t) = 1 - t``, so at ``t = 1`` nothing is left (MDLM: Sahoo et al. 2024,
https://arxiv.org/abs/2406.07524; MD4: Shi et al. 2024, https://arxiv.org/abs/2406.04329).

Bound. Going back from ``t`` to ``s < t``, a masked token is set free with probability ``(alpha(s) - alpha(t)) /
(1 - alpha(t))``, and then it is the original one: the only term of the Kullback-Leibler divergence between that step and a
model which replaces "the original one" by its prediction ``p(x_l | z_t)`` is ``-log p(x_l | z_t)``, for masked positions,
times that probability. With ever more and smaller steps the sum of these terms is

    -log p(x)  <=  E_{z_t}  integral_0^1  -alpha'(t) / (1 - alpha(t))  sum_{l: z_t,l = mask} -log p(x_l | z_t)  dt

and ``-alpha'(t) / (1 - alpha(t)) = 1 / t`` here. ``t`` is drawn uniformly, so the loss of a batch is the mean of

    1 / t * sum_{l masked} -log p(x_l | z_t)

over sequences, divided by their length: nats per token, an upper bound on the negative log-likelihood. It is divided by *all*
tokens; in the mean a share ``t`` of them is masked, which ``1 / t`` makes up for: a uniform guess costs ``log V``.

Small times. ``1 / t`` has no bound, so times below ``earliest`` (e) are taken as e, in mask and weight. Those draws add up
to ``integral_0^e 1 / e * E sum_{masked} -log p(x_l | z_e) dt``, the very term of a chain that begins at ``z_e`` and is read
off in one step, ``E -log p(x | z_e)``. So the loss stays an upper bound, and no weight is above ``1 / e``.

SUBS (MDLM). The prediction gives the mask no probability, and to what is not masked probability 1 of staying as it is.
So free tokens cost nothing, and the sum over masked tokens is the sum over all.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from diffusion_lm.backbone import Size
from diffusion_lm.model import LanguageModel, drawn

__all__ = ["Bound", "Corruption", "MaskedDiffusion", "Subs", "Times", "Uniform"]


class Drawing(nn.Module):
    """A module that draws on the CPU's global generator for the whole batch, and keeps the rows of its process.

    So what is drawn is the same on every device, and a batch that several processes share is noised as in one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rank = 0
        self.ranks = 1


class Times(Drawing):
    """Times in [earliest, 1] of low discrepancy (Kingma et al. 2021, https://arxiv.org/abs/2107.00630): one draw for a batch.

    ``1 - (u + i / B) mod 1`` for row ``i`` of ``B``: each is uniform, together they are evenly spaced.
    """

    def __init__(self, earliest: float) -> None:
        super().__init__()
        self.earliest = earliest

    def forward(self, tokens: Tensor) -> Tensor:
        """Give a time for each row of (B, L): (B,), float32."""
        rows = len(tokens)
        row = torch.arange(self.rank * rows, (self.rank + 1) * rows)
        times = 1 - (torch.rand(()) + row / (self.ranks * rows)) % 1
        return times.clamp_min(self.earliest).to(tokens.device)


class Uniform(Drawing):
    """One uniform number in [0, 1) for each token; those below the time are masked."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Draw: (B, L), float32."""
        rows = len(tokens)
        uniform = torch.rand(self.ranks * rows, tokens.shape[1])
        return uniform.narrow(0, self.rank * rows, rows).to(tokens.device)


class Corruption(nn.Module):
    """Tokens to noised tokens: each has become `mask` with the probability that is its row's time.

    Times and masks are drawn in modules of their own: where each module call has its own random stream, two
    implementations that draw in another order noise alike.
    """

    def __init__(self, mask: int, *, earliest: float) -> None:
        super().__init__()
        self.mask = mask
        self.times = Times(earliest)
        self.uniform = Uniform()

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Give the noised tokens (B, L), and the times (B,)."""
        times = self.times(tokens)
        return tokens.masked_fill(self.uniform(tokens) < times[:, None], self.mask), times


class Subs(nn.Module):
    """SUBS: logits to log-probabilities that are 0 of the mask, and all of the token itself where it is not masked."""

    def __init__(self, mask: int) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, logits: Tensor, noised: Tensor) -> Tensor:
        """Give log-probabilities (B, L, V + 1), from logits of that shape and noised tokens (B, L)."""
        tokens = torch.arange(logits.shape[-1], device=logits.device)
        log_probs = logits.masked_fill(tokens == self.mask, -math.inf).log_softmax(-1)
        itself = tokens == noised[..., None]
        carried = torch.zeros_like(log_probs).masked_fill(~itself, -math.inf)
        return torch.where((noised == self.mask)[..., None], log_probs, carried)


class Bound(nn.Module):
    """The loss: ``1 / t`` times what the original tokens cost, a mean over all tokens, in nats."""

    def forward(self, log_probs: Tensor, tokens: Tensor, times: Tensor) -> Tensor:
        """Give a scalar, from (B, L, V + 1), (B, L) and (B,)."""
        costs = -log_probs.gather(-1, tokens[..., None]).squeeze(-1)
        return (costs / times[:, None]).mean()


class MaskedDiffusion(LanguageModel):
    """Masked diffusion on a backbone that looks both ways; the extra token is the mask. It is not told the time.

    What is masked says as much: the best prediction at a masked position does not depend on ``t`` once the free tokens are
    given, for each is masked with the same probability (Ou et al. 2024, https://arxiv.org/abs/2406.03736).
    """

    model_type: ClassVar[str] = "MDLM"
    unit: ClassVar[str] = "nats/token (upper bound)"
    causal: ClassVar[bool] = False

    def __init__(self, vocabulary: int, size: Size, *, earliest: float = 1e-3) -> None:
        super().__init__(vocabulary, size)
        self.corruption = Corruption(self.extra, earliest=earliest)
        self.subs = Subs(self.extra)
        self.bound = Bound()

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Noise tokens (B, L), give the bound and the log-probabilities (B, L, V + 1) of the original ones."""
        noised, times = self.corruption(tokens)
        log_probs = self.predict(noised)
        return self.bound(log_probs, tokens, times), log_probs

    def predict(self, noised: Tensor) -> Tensor:
        """Log-probabilities (B, L, V + 1) of what tokens (B, L) were before some became the mask."""
        log_probs: Tensor = self.subs(self.backbone(noised), noised)
        return log_probs

    def share(self, rank: int, ranks: int) -> None:
        """Draw for the whole batch, and use the rows of this process."""
        for module in self.modules():
            if isinstance(module, Drawing):
                module.rank, module.ranks = rank, ranks

    @torch.no_grad()
    def sample(
        self, tokens: Tensor, given: int, *, steps: int, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """From all masks, step by step from time 1 to 0: between ``t`` and ``s`` a mask is set free with ``(t - s) / t``."""
        noised = tokens.clone()
        noised[:, given:] = self.extra
        for step in range(steps, 0, -1):
            guesses = drawn(self.predict(noised), temperature=temperature, generator=generator)
            free = torch.rand(noised.shape, generator=generator).to(noised.device) < 1 / step
            noised = torch.where((noised == self.extra) & free, guesses, noised)
        return noised
