"""``parity.assert_input_gradients``: recorded, checked, and named as what they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity import UsageError
from pytest_parity.session.parity import Parity


def body(model: nn.Module, *, gradient: bool = True, **call: Any) -> Any:
    def run(parity: Parity) -> None:
        with parity.watch(model):
            model.zero_grad()
            x = parity.input("x", lambda: {"audio": torch.ones(2, 3).requires_grad_(gradient), "rate": 2})
            model(x["audio"]).square().sum().backward()
        parity.assert_input_gradients(**call)

    return run


class Halved(nn.Linear):
    """The gradient of its input is half of what it should be."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.detach() / 2 + x / 2)


def linear(kind: Any = nn.Linear) -> nn.Module:
    torch.manual_seed(0)
    return kind(3, 2)


def test_they_are_recorded_and_compared(studio: Studio):
    comparison = studio.both(body(linear()))
    assert comparison.kinds["gradient"] == 3
    assert float(studio.tensor("gradient/(inputs).x.audio").norm()) > 0


def test_another_gradient_fails_in_the_helper_and_is_said_to_be_the_inputs(studio: Studio):
    studio.record(body(linear()))
    failure = studio.failure(body(linear(Halved)))
    assert "the gradient of the input x.audio is the first that differs while the forward pass agrees" in str(failure)
    assert studio.check(body(linear(Halved), rtol=0.6, atol=1.0)).passed


def test_a_check_that_no_longer_asserts_them_misses_them(studio: Studio):
    studio.record(body(linear()))

    def without(parity: Parity) -> None:
        model = linear()
        with parity.watch(model):
            model(parity.input("x", dict)["audio"]).square().sum().backward()

    assert "the input x.audio gets no gradient" in str(studio.failure(without))


def test_inputs_none_of_which_requires_one(studio: Studio):
    with pytest.raises(
        UsageError, match=r"assert_input_gradients: no input of case requires a gradient; parity\.input"
    ):
        studio.record(body(linear(), gradient=False))
