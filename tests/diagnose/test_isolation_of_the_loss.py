"""A loss whose own backward is another: no module is blamed for the gradient that it is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from isolation_story import alone, faulty
from parity_studio import Studio
from torch import nn

from pytest_parity.diagnose.derivative import derivative_error
from pytest_parity.result import Fault
from pytest_parity.session.parity import Parity


class _Uneven(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.linspace(0.5, 2, gradient.shape[-1])


def _training(loss: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Parity], None]:
    def test(parity: Parity) -> None:
        torch.manual_seed(0)
        net = parity.load(nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4)))
        with parity.watch(net) as run:
            for x in run.steps([torch.randn(4, 8)]):
                net.zero_grad()
                loss(net(x)).backward()  # type: ignore[no-untyped-call]

    return test


def test_the_last_module_is_not_blamed_for_it(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.record(_training(lambda out: out.square().mean()), draws=2)
    found = alone(studio, _training(lambda out: _Uneven.apply(out).square().mean()))  # type: ignore[no-untyped-call]
    assert not found.passed
    assert faulty(found) == []
    assert found.diagnosis is not None
    assert found.diagnosis.fault is Fault.LOOP


def test_a_derivative_that_takes_too_long_is_not_told() -> None:
    module, x = nn.Linear(4, 4), torch.randn(2, 4)
    assert derivative_error(module, (x,), {}, module) is not None
    assert derivative_error(module, (x,), {}, module, seconds=0.0) is None
    assert module.weight.dtype is torch.float32
