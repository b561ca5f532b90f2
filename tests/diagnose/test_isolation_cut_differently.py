"""Isolation of a candidate that is cut into other modules than the reference, and of values that are valid in part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from isolation_story import EVERYTHING, alone, faulty
from parity_studio import Studio
from torch import nn

from pytest_parity.compare.valid import Valid
from pytest_parity.names import part_of
from pytest_parity.result import Part
from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions

HALF = MarkerOptions(coverage=0.5)
NAMES = {"query": part_of("both", index=0, of=2), "key": part_of("both", index=1, of=2)}


class _Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both, self.out = nn.Linear(8, 16), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key = self.both(x).chunk(2, -1)
        mixed: torch.Tensor = self.out(query * key)
        return mixed


class _Apart(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.query, self.key, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.out(self.query(x) * self.key(x) * self.factor)
        return mixed


def _training(make: Callable[[], nn.Module], names: Any = None, **options: Any) -> Callable[[Parity], None]:
    def test(parity: Parity) -> None:
        torch.manual_seed(0)
        net = parity.load(make(), names=names)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        with parity.watch(net, optimizer=optimizer, names=names, **options) as run:
            for batch in run.steps([{"x": torch.randn(2, 5, 8), "lengths": torch.tensor([5, 3])}]):
                optimizer.zero_grad()
                net(batch["x"]).square().mean().backward()
                optimizer.step()

    return test


def test_a_gradient_of_a_module_that_the_candidate_has_not_is_no_fault_of_its_own(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.record(_training(_Fused, kinds=EVERYTHING), draws=2)
    found = alone(studio, _training(lambda: _Apart(1.05), NAMES, kinds=EVERYTHING), marker=HALF)
    assert faulty(found) == [(Part.HANDED, "(model)")]


def test_a_hint_is_tested_inside_the_valid_region(tmp_path: Path) -> None:
    """Outside of it the module computes something too, which says nothing."""
    valid = {"1": Valid(dim=1, lengths="lengths")}

    def net(kind: str) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(nn.Linear(8, 8), nn.GELU(approximate=kind))

    studio = Studio(tmp_path)
    studio.record(_training(net("none"), valid=valid), draws=2)
    found = alone(studio, _training(net("tanh"), valid=valid))
    assert found.isolation is not None
    (one,) = found.isolation.faulty
    assert [hint.text.partition(" (")[0] for hint in one.hints] == ["with approximate none in place of tanh it agrees"]
