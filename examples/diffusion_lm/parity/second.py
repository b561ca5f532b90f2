"""The same two models, written a second time from the papers alone, as another team would have.

Queries, keys and values come from one fused projection; attention is written out, with a mask that is added; rotary
embedding multiplies complex numbers, keys first; the bound is a sum over masked tokens; modules have other names, are made in
another order (so the same seed would give other weights) and the mask's random numbers are drawn before the times.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pytest_parity.names import concat

WIDTH, HEADS, DEPTH, LONGEST = 16, 2, 2, 8
DROP = 0.1


class Turn(nn.Module):
    """Rotary embedding: channel i of a head's first half and of its second are one complex number."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn queries or keys, (B, heads, L, channels)."""
        half = x.shape[-1] // 2
        pairs = torch.complex(x[..., :half], x[..., half:])
        speed = 1.0 / 10_000 ** (torch.arange(half) * 2 / x.shape[-1])
        angle = torch.arange(x.shape[-2])[:, None] * speed
        turned = pairs * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([turned.real, turned.imag], -1)


class Mix(nn.Module):
    """Attention; `looks_back` positions see only themselves and what is before them."""

    def __init__(self, looks_back: bool) -> None:
        super().__init__()
        self.collect = nn.Linear(WIDTH, WIDTH, bias=False)
        self.fused = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.turn = Turn()
        self.looks_back = looks_back

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions of (B, L, width)."""
        rows, length, _ = x.shape
        query, key, value = self.fused(x).reshape(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        key = self.turn(key)
        query = self.turn(query)
        scores = torch.einsum("bhqc,bhkc->bhqk", query, key) / math.sqrt(WIDTH // HEADS)
        if self.looks_back:
            scores = scores + torch.full((length, length), -math.inf).triu(1)
        weights = (scores - scores.amax(-1, keepdim=True)).exp()
        weights = weights / weights.sum(-1, keepdim=True)
        mixed = torch.einsum("bhqk,bhkc->bqhc", weights, value).reshape(rows, length, WIDTH)
        collected: Tensor = self.collect(mixed)
        return collected


class Storey(nn.Module):
    """A layer."""

    def __init__(self, looks_back: bool) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(DROP))
        self.before_wide = nn.LayerNorm(WIDTH)
        self.mix = Mix(looks_back)
        self.mix_drop = nn.Dropout(DROP)
        self.before_mix = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """One layer of (B, L, width)."""
        x = self.mix_drop(self.mix(self.before_mix(x))) + x
        raised: Tensor = self.wide(self.before_wide(x)) + x
        return raised


class Tower(nn.Module):
    """Tokens to scores."""

    def __init__(self, tokens: int, looks_back: bool) -> None:
        super().__init__()
        self.unembed = nn.Linear(WIDTH, tokens, bias=False)
        self.last_norm = nn.LayerNorm(WIDTH)
        self.storeys = nn.Sequential(*(Storey(looks_back) for _ in range(DEPTH)))
        self.table = nn.Embedding(tokens, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) to (B, L, tokens)."""
        scores: Tensor = self.unembed(self.last_norm(self.storeys(self.table(tokens))))
        return scores


class Chance(nn.Module):
    """What decides whether a token is masked: below its row's time it is."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Draw one number for each token."""
        return torch.rand(tokens.shape)


class Clock(nn.Module):
    """One draw for all rows, evenly spread; no time is below a thousandth."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Give a time for each row."""
        rows = tokens.shape[0]
        spread = torch.rand(()) + torch.arange(rows) / rows
        return torch.maximum(1 - spread.frac(), torch.tensor(1e-3))


class Noise(nn.Module):
    """Tokens to noised tokens; the chances are drawn first."""

    def __init__(self, mask: int) -> None:
        super().__init__()
        self.clock = Clock()
        self.chance = Chance()
        self.mask = mask

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Give noised tokens, and the times."""
        chance = self.chance(tokens)
        time = self.clock(tokens)
        return torch.where(chance < time.unsqueeze(1), self.mask, tokens), time


class Belief(nn.Module):
    """What the scores say of each token; what is not masked is known."""

    def forward(self, scores: Tensor, noised: Tensor) -> Tensor:
        """Give log-probabilities, the last of them those of the mask."""
        mask = scores.shape[-1] - 1
        known = noised != mask
        words = scores[..., :mask]
        log_probs = words - words.logsumexp(-1, keepdim=True)
        certain = torch.nn.functional.one_hot(noised.where(known, 0), mask).to(scores.dtype).log()
        belief = torch.where(known.unsqueeze(-1), certain, log_probs)
        return torch.cat([belief, torch.full_like(belief[..., :1], -math.inf)], -1)


class Price(nn.Module):
    """The bound: tokens that were not masked cost nothing, and are not in the sum."""

    def forward(self, belief: Tensor, tokens: Tensor, time: Tensor) -> Tensor:
        """Give the mean over all tokens."""
        paid = -belief.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        by_row = paid.sum(1) / time
        return by_row.sum() / tokens.numel()


class SecondDiffusion(nn.Module):
    """The masked diffusion, again."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.price = Price()
        self.belief = Belief()
        self.tower = Tower(words + 1, looks_back=False)
        self.noise = Noise(words)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Give the bound, and the log-probabilities."""
        noised, time = self.noise(tokens)
        belief = self.belief(self.tower(noised), noised)
        return self.price(belief, tokens, time), belief


class Begin(nn.Module):
    """The tokens moved on by one, behind one that begins."""

    def __init__(self, begin: int) -> None:
        super().__init__()
        self.begin = begin

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) to (B, L)."""
        return torch.cat([torch.full_like(tokens[:, :1], self.begin), tokens[:, :-1]], 1)


class Surprise(nn.Module):
    """The negative log-likelihood."""

    def forward(self, scores: Tensor, tokens: Tensor) -> Tensor:
        """Give the mean over all tokens."""
        words = scores[..., : scores.shape[-1] - 1]
        right = words.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        return (words.logsumexp(-1) - right).mean()


class SecondAutoregressive(nn.Module):
    """The autoregressive model, again."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.surprise = Surprise()
        self.tower = Tower(words + 1, looks_back=True)
        self.begin = Begin(words)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Give the loss, and the scores."""
        scores = self.tower(self.begin(tokens))
        return self.surprise(scores, tokens), scores


_LAYER = "backbone.layers.{i}"
_STOREY = "tower.storeys.{i}"
NAMES: dict[str, Any] = {
    "tower": "backbone",
    "tower.table": "backbone.embed",
    "tower.last_norm": "backbone.norm",
    "tower.unembed": "backbone.head",
    "tower.storeys.{i}": _LAYER,
    f"{_STOREY}.before_mix": f"{_LAYER}.attention_norm",
    f"{_STOREY}.mix": f"{_LAYER}.attention",
    f"{_STOREY}.mix.fused": concat(*(f"{_LAYER}.attention.{name}" for name in ("query", "key", "value"))),
    f"{_STOREY}.mix.turn#0": f"{_LAYER}.attention.rotary#1",
    f"{_STOREY}.mix.turn#1": f"{_LAYER}.attention.rotary#0",
    f"{_STOREY}.mix.collect": f"{_LAYER}.attention.out",
    f"{_STOREY}.mix_drop": f"{_LAYER}.attention_drop",
    f"{_STOREY}.before_wide": f"{_LAYER}.feed_norm",
    f"{_STOREY}.wide.0": f"{_LAYER}.up",
    f"{_STOREY}.wide.1": f"{_LAYER}.activation",
    f"{_STOREY}.wide.2": f"{_LAYER}.down",
    f"{_STOREY}.wide.3": f"{_LAYER}.feed_drop",
}
"""The candidate's names to the reference's, of what both models have."""
MDLM_NAMES = NAMES | {
    "noise": "corruption",
    "noise.clock": "corruption.times",
    "noise.chance": "corruption.uniform",
    "belief": "subs",
    "price": "bound",
}
AR_NAMES = NAMES | {"begin": "shift", "surprise": "likelihood"}
UNCUT = tuple(
    f"{kind}/backbone.layers.*.attention.{name}"
    for kind in ("activation", "input")
    for name in ("query", "key", "value")
)
"""Calls of the reference that have no counterpart: here one module projects all three."""
