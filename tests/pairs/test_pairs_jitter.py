"""What a run for the noise floor of a pair moves: each rounded result, by one unit in the last place, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pytest_parity.session.jitter import Jitter
from pytest_parity.session.moving import moved

X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def under(function: Callable[[torch.Tensor], torch.Tensor], draw: int = 0) -> torch.Tensor:
    with Jitter(lambda value, name: moved(value, f"{draw}|{name}")):
        return function(X.clone())


@pytest.mark.parametrize("function", [torch.exp, lambda x: x @ x.t(), lambda x: x.softmax(-1), lambda x: x.sum()])
def test_what_rounds_is_moved_by_one_unit_in_the_last_place(function: Callable[[torch.Tensor], torch.Tensor]):
    plain, found = function(X), under(function)
    steps = (found.view(torch.int32) - plain.view(torch.int32)).abs()
    assert set(steps.flatten().tolist()) == {1}
    assert torch.equal(found, under(function))
    assert plain.numel() == 1 or not torch.equal(found, under(function, draw=1))


@pytest.mark.parametrize(
    "function",
    [
        torch.clone,
        torch.relu,
        lambda x: x.t()[1:],
        lambda x: x.argmax(-1),
        lambda x: torch.cat([x, x]),
        lambda x: x.mul_(1.1),
        lambda x: (x > 0).float(),
        lambda x: x.bfloat16() @ x.bfloat16().t(),
    ],
)
def test_what_rounds_nothing_is_as_it_was(function: Callable[[torch.Tensor], torch.Tensor]):
    assert torch.equal(under(function), function(X.clone()))


def test_gradients_are_moved_too():
    def gradient() -> torch.Tensor:
        x = X.clone().requires_grad_()
        (x * 1.1).sum().backward()
        assert x.grad is not None
        return x.grad

    plain = gradient()
    with Jitter(moved):
        found = gradient()
    assert not torch.equal(found, plain)
    assert torch.allclose(found, plain)


def test_what_observes_moves_nothing():
    jitter = Jitter(moved)
    with jitter, jitter.paused():
        assert torch.equal(X.exp(), X.exp())
        found = X.exp()
    assert torch.equal(found, X.exp())
