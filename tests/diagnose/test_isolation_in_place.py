"""Isolation of modules that overwrite what they are handed: the caller sees it overwritten, as it does otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from isolation_story import alone, faulty
from parity_studio import Studio
from torch import nn

from pytest_parity.result import Part
from pytest_parity.session.parity import Parity

GRADIENTS = ("weight", "input", "activation", "activation_gradient", "gradient")


class _Residual(nn.Module):
    """Adds what its activation may have overwritten."""

    def __init__(self, *, scale: float = 1.0, slope: float = 0.1, inplace: bool = True) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.act = nn.Sequential(nn.LeakyReLU(slope, inplace=inplace))
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x) * self.scale
        z = self.second(self.act(y))
        summed: torch.Tensor = self.last(y + z)
        return summed


def _training(model: Callable[[], nn.Module], kinds: tuple[str, ...] | None = None) -> Callable[[Parity], None]:
    def test(parity: Parity) -> None:
        torch.manual_seed(0)
        net = parity.load(model())
        with parity.watch(net, kinds=kinds):
            net(parity.input("x", lambda: torch.randn(4, 8))).square().mean().backward()

    return test


@pytest.mark.parametrize("kinds", [None, GRADIENTS])
def test_code_behind_it_is_not_blamed_beside_a_fault(tmp_path: Path, kinds: tuple[str, ...] | None) -> None:
    studio = Studio(tmp_path)
    studio.record(_training(_Residual, kinds), draws=2)
    found = alone(studio, _training(lambda: _Residual(scale=1.01), kinds))
    assert faulty(found) == [(Part.HANDED, "(model)")]
    assert found.isolation is not None
    assert found.isolation.faulty[0].to == "act"


def test_its_own_fault_is_not_its_callers(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.record(_training(_Residual), draws=2)
    found = alone(studio, _training(lambda: _Residual(slope=0.2)))
    assert faulty(found) == [(Part.OUTPUT, "act.0")]
    assert found.isolation is not None
    (hint,) = found.isolation.faulty[0].hints
    assert "negative_slope 0.1 in place of 0.2" in hint.text


def test_a_residual_that_is_overwritten_where_the_references_is_not_is_found(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.record(_training(lambda: _Residual(inplace=False)), draws=2)
    found = alone(studio, _training(_Residual))
    assert faulty(found) == [(Part.HANDED, "(model)")]
    assert found.isolation is not None
    assert found.isolation.faulty[0].to == "last"
