"""A small transformer, the ways in which it may be broken, and its check with isolation behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from parity_studio import Studio
from torch import nn
from torch.nn.functional import cross_entropy

from pytest_parity.errors import ParityFailure
from pytest_parity.result import Comparison, Part
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode
from pytest_parity.site import Kind

Break = Callable[[nn.Module], Any]
EVERYTHING = tuple(kind.value for kind in Kind if kind is not Kind.PROBE)
WIDTH = 16


class Attention(nn.Module):
    """Two heads; its scale is its own code's."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.scale = (WIDTH // 2) ** -0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attention."""
        query, key, value = (self._heads(one(x)) for one in (self.query, self.key, self.value))
        weights = (query @ key.transpose(-1, -2) * self.scale).softmax(-1)
        mixed: torch.Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return mixed

    @staticmethod
    def _heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (2, -1)).transpose(1, 2)


class Block(nn.Module):
    """Pre-norm, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.attention = nn.LayerNorm(WIDTH), Attention()
        self.second, self.up, self.act, self.down = (
            nn.LayerNorm(WIDTH),
            nn.Linear(WIDTH, 4 * WIDTH),
            nn.GELU(),
            nn.Linear(4 * WIDTH, WIDTH),
        )
        self.drop = nn.Dropout(0.1)
        self.residual = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A block."""
        x = x + self.drop(self.attention(self.first(x)))
        return x * self.residual + self.drop(self.down(self.act(self.up(self.second(x)))))


class Tower(nn.Module):
    """Three blocks between an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(WIDTH, 20)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x)
        logits: torch.Tensor = self.head(x)
        return logits


def body(*breaks: Break, kinds: Iterable[str] | None = None) -> Callable[[Parity], None]:
    """Two steps of training."""

    def test(parity: Parity) -> None:
        torch.manual_seed(0)
        model = parity.load(Tower())
        for one in breaks:
            one(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        batches = [torch.randint(0, 20, (2, 8)) for _ in range(2)]
        with parity.watch(model, optimizer=optimizer, kinds=kinds) as run:
            for ids in run.steps(batches):
                logits = model(ids)
                loss = cross_entropy(logits.flatten(0, 1), ids.flatten())
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                parity.assert_outputs(logits)
                parity.assert_loss(loss)

    return test


def isolated(studio: Studio, *breaks: Break, kinds: Iterable[str] | None = None) -> Comparison:
    """Check the broken candidate, then run it again with each module alone."""
    return alone(studio, body(*breaks, kinds=kinds))


def alone(studio: Studio, test: Callable[[Parity], None], **options: Any) -> Comparison:
    """A test's check, and its run with each module alone."""
    parity = Parity(studio.settings(Mode.CHECK, **options))
    try:
        test(parity)
        found = parity.finish()
    except ParityFailure as failure:
        found = failure.comparison  # type: ignore[assignment]
    finally:
        parity.abandon()
    assert isinstance(found, Comparison)
    return parity.isolated(found, parity.repeating(test))


def faulty(comparison: Comparison) -> list[tuple[Part, str]]:
    """What is faulty by itself, in order."""
    assert comparison.isolation is not None
    assert not comparison.isolation.refused
    return [(one.part, one.module) for one in comparison.isolation.faulty]


def named(comparison: Comparison) -> str:
    """The module that the diagnosis names."""
    assert comparison.diagnosis is not None
    return comparison.diagnosis.module


def scaled(path: str, factor: float) -> Break:
    """What a module returns, times a factor."""
    return lambda model: model.get_submodule(path).register_forward_hook(lambda _, _args, output: output * factor)


def setting(path: str, name: str, value: Any) -> Break:
    """An attribute of a module, otherwise."""
    return lambda model: setattr(model.get_submodule(path), name, value)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, value: torch.Tensor, factor: float) -> torch.Tensor:
        context.factor = factor
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return gradient * context.factor, None


def backward_scaled(path: str, factor: float) -> Break:
    """The gradient of what a module returns, times a factor."""
    return lambda model: model.get_submodule(path).register_forward_hook(
        lambda _, _args, output: _Scaled.apply(output, factor)
    )
