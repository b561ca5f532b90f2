"""Training: a small language model, trained for real in a second or two, and what a rerun of it may change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pytest_parity.curves.curve import Curve

__all__ = ["STEPS", "Run", "corpus", "trained"]

STEPS = 300
BATCH, LENGTH = 4, 32
WIDTH, HEADS, BLOCKS = 48, 4, 2
TEXT = 60_000
"""Characters."""


@dataclass(frozen=True)
class Run:
    """One training run: what it computes, then how."""

    seed: int
    """Of the weights and of the order of the data."""
    rate: float = 2e-3
    warmup: int = 20
    decayed: int = STEPS
    """The step at which the rate has fallen to a tenth."""
    batch: int = BATCH
    shuffled: bool = True
    """``False``: the same batches again and again."""
    forgets: int | None = None
    """The step at which the optimizer starts anew."""
    ulp: int | None = None
    """The weights moved by one unit in the last place, by a draw of this seed."""
    threads: int = 1
    attention: str = "math"
    norm: str = "layer"
    gelu: str = "module"
    loss: str = "cross_entropy"
    product: str = "linear"
    optimizer: str = "single"
    rows: str = "as drawn"
    checkpointed: bool = False
    fused_qkv: bool = True


def corpus(seed: int = 0) -> str:
    """Sentences of a small grammar whose words come as often as words do (Zipf)."""
    rng = random.Random(seed)
    syllables = [c + v + e for c in "bdfgklmnprstv" for v in "aeiou" for e in ("", "n", "r", "s")]
    words = ["".join(rng.choices(syllables, k=rng.choice((1, 2, 2, 3)))) for _ in range(400)]
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(words))))
    followers = {word: rng.sample(words, 6) for word in words}
    text: list[str] = []
    word = words[0]
    while sum(map(len, text)) < TEXT:
        sentence = []
        for _ in range(rng.randint(3, 12)):
            word = rng.choice(followers[word]) if rng.random() < 0.6 else rng.choices(words, cum_weights=weights)[0]
            sentence.append(word)
        text.append(" ".join(sentence).capitalize() + rng.choice((". ", ". ", "? ", "! ", ".\n")))
    return "".join(text)


class _Linear(nn.Linear):
    run: Run

    def forward(self, x: Tensor) -> Tensor:
        if self.run.product == "transposed":
            return (self.weight @ x.transpose(-1, -2)).transpose(-1, -2) + self.bias
        return super().forward(x)


class _Norm(nn.LayerNorm):
    run: Run

    def forward(self, x: Tensor) -> Tensor:
        if self.run.norm == "layer":
            return super().forward(x)
        centred = x - x.mean(-1, keepdim=True)
        return centred * (centred.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight + self.bias


class _Block(nn.Module):
    run: Run

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _Norm(WIDTH), _Norm(WIDTH)
        self.qkv, self.out = _Linear(WIDTH, 3 * WIDTH), _Linear(WIDTH, WIDTH)
        self.up, self.down = _Linear(WIDTH, 4 * WIDTH), _Linear(4 * WIDTH, WIDTH)

    def _attended(self, x: Tensor) -> Tensor:
        rows, length, _ = x.shape
        if self.run.fused_qkv:
            parts = list(torch.split(self.qkv(x), WIDTH, dim=-1))
        else:
            pairs = zip(torch.split(self.qkv.weight, WIDTH), torch.split(self.qkv.bias, WIDTH), strict=True)
            parts = [functional.linear(x, weight, bias) for weight, bias in pairs]
        q, k, v = (part.view(rows, length, HEADS, -1).transpose(1, 2) for part in parts)
        if self.run.attention == "sdpa":
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.ones(length, length, dtype=torch.bool).tril()
            scale = q.shape[-1] ** -0.5
            if self.run.attention == "einsum":
                scores = torch.einsum("bhid,bhjd->bhij", q * scale, k)
                y = torch.einsum("bhij,bhjd->bhid", scores.masked_fill(~mask, -1e9).softmax(-1), v)
            else:
                y = (q @ k.transpose(-1, -2) * scale).masked_fill(~mask, float("-inf")).softmax(-1) @ v
        attended: Tensor = self.out(y.transpose(1, 2).reshape(rows, length, WIDTH))
        return attended

    def _activated(self, x: Tensor) -> Tensor:
        return x * 0.5 * (1 + torch.erf(x * 0.5**0.5)) if self.run.gelu == "formula" else functional.gelu(x)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attended(self.first(x))
        y: Tensor = x + self.down(self._activated(self.up(self.second(x))))
        return y


class _Model(nn.Module):
    def __init__(self, tokens: int, run: Run) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(tokens, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(_Block() for _ in range(BLOCKS))
        self.norm, self.head = _Norm(WIDTH), _Linear(WIDTH, tokens)
        self.run = run
        for module in self.modules():
            if isinstance(module, (_Linear, _Norm, _Block)):
                module.run = run

    def forward(self, x: Tensor) -> Tensor:
        y = self.tokens(x) + self.places.weight
        for block in self.blocks:
            y = checkpoint(block, y, use_reentrant=False) if self.run.checkpointed else block(y)
        logits: Tensor = self.head(self.norm(y))
        return logits


def _moved(model: nn.Module, draw: int) -> None:
    generator = torch.Generator().manual_seed(draw)
    with torch.no_grad():
        for weight in model.parameters():
            up = torch.randint(2, weight.shape, generator=generator).bool()
            infinity = torch.tensor(float("inf"))
            weight.copy_(torch.nextafter(weight, torch.where(up, infinity, -infinity)))


def _loss(logits: Tensor, targets: Tensor, way: str) -> Tensor:
    flat, wanted = logits.flatten(0, 1), targets.flatten()
    if way == "logsumexp":
        return (flat.logsumexp(-1) - flat.gather(-1, wanted[:, None])[:, 0]).mean()
    if way == "by rows":
        rows = functional.cross_entropy(flat, wanted, reduction="none").view(targets.shape)
        return rows.mean(1).mean()
    return functional.cross_entropy(flat, wanted)


def _batches(run: Run, data: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(run.seed + 1)
    for _ in range(STEPS):
        if not run.shuffled:
            generator.manual_seed(run.seed + 1)
        starts = torch.randint(len(data) - LENGTH - 1, (run.batch,), generator=generator)
        if run.rows == "reversed":
            starts = starts.flip(0)
        rows = torch.stack([data[start : start + LENGTH + 1] for start in starts.tolist()])
        yield rows[:, :-1], rows[:, 1:]


def _rate(run: Run, step: int) -> float:
    if step < run.warmup:
        return (step + 1) / run.warmup
    done = min(1.0, (step - run.warmup) / max(1, run.decayed - run.warmup))
    return 0.1 + 0.45 * (1 + float(np.cos(np.pi * done)))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def trained(run: Run, name: str = "") -> Curve:
    """Train; the loss of every step, as it is logged: before the step's update, float32."""
    text = corpus()
    letters = sorted(set(text))
    data = torch.tensor([letters.index(letter) for letter in text])
    torch.manual_seed(run.seed)
    model = _Model(len(letters), run)
    if run.ulp is not None:
        _moved(model, run.ulp)
    kind: dict[str, Any] = {"single": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[
        run.optimizer
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.rate, weight_decay=0.01, **kind)
    losses = []
    with _threads(run.threads):
        for step, (x, y) in enumerate(_batches(run, data)):
            for group in optimizer.param_groups:
                group["lr"] = run.rate * _rate(run, step)
            if step == run.forgets:
                optimizer.state.clear()
            loss = _loss(model(x), y, run.loss)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
    return Curve(
        name or f"seed {run.seed}",
        model_type="AR",
        steps=np.arange(1, STEPS + 1),
        step_losses=np.array(losses),
        unit="nats/character",
    )
