"""The caller's models, inputs and random generators are as they were, bit for bit, whether the two agree or not."""

from __future__ import annotations

import copy
import random
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from pair_models import Block, seeded
from torch import nn

from pytest_parity import ParityFailure, UsageError, assert_equivalent


def state(model: nn.Module) -> list[Any]:
    """Everything of a model that a step could change."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return [
        {name: (id(tensor), tensor.detach().clone(), tensor.requires_grad) for name, tensor in tensors},
        {
            name: None if parameter.grad is None else parameter.grad.clone()
            for name, parameter in model.named_parameters()
        },
        {name: module.training for name, module in model.named_modules()},
        {name: (len(module._forward_hooks), len(module._forward_pre_hooks)) for name, module in model.named_modules()},
    ]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(
            one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("fault", [{}, {"scale": 1.1}])
def test_both_models_are_as_they_were(fault: dict):
    reference, candidate = seeded(Block), Block(**fault)
    reference.drop.eval()
    candidate.up.weight.requires_grad_(True).grad = torch.ones(16, 8)
    reference(torch.randn(3, 8)).sum().backward()
    before = state(reference), state(candidate)
    with suppress(ParityFailure):
        assert_equivalent(reference, candidate, torch.randn(6, 8))
    assert same(before, (state(reference), state(candidate)))


def test_a_body_that_raises_leaves_them_too():
    class Raising(Block):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            raise RuntimeError("half way")

    reference, candidate = seeded(Block), seeded(Raising)
    before = state(reference), state(candidate)
    with pytest.raises(RuntimeError, match="half way") as caught:
        assert_equivalent(reference, candidate, torch.randn(6, 8))
    assert same(before, (state(reference), state(candidate)))
    assert getattr(caught.value, "__notes__", ["raised by the candidate, Raising"]) == [
        "raised by the candidate, Raising"
    ]


@pytest.mark.parametrize("rng", ["keyed", "global", "off"])
def test_the_generators_go_on_as_if_nothing_had_been(rng: str):
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = torch.rand(2), np.random.rand(2), random.random()
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    block = Block(p=0.0)
    torch.manual_seed(3)
    x = torch.ones(6, 8) * torch.arange(48).reshape(6, 8)
    assert_equivalent(block, block, x, rng=rng)
    assert torch.equal(expected[0], torch.rand(2))
    assert (expected[1] == np.random.rand(2)).all()
    assert expected[2] == random.random()


def test_the_inputs_are_as_they_were():
    x = torch.randn(6, 8, requires_grad=True)
    x.grad = torch.ones(6, 8)
    before = x.detach().clone()
    assert_equivalent(seeded(Block), seeded(Block), x)
    assert torch.equal(x.detach(), before)
    assert x.requires_grad
    assert torch.equal(x.grad, torch.ones(6, 8))


def test_a_caller_without_gradients_is_one_still():
    with torch.no_grad():
        assert assert_equivalent(seeded(Block), seeded(Block), torch.randn(6, 8)).kinds["gradient"]
        assert not torch.is_grad_enabled()


def test_nothing_is_left_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParityFailure):
        assert_equivalent(seeded(Block), seeded(Block, scale=1.1), torch.randn(6, 8))
    assert list(tmp_path.iterdir()) == []


class Uncopied(Block):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot pickle 'Socket' object")


def test_a_model_that_cannot_be_copied_is_given_as_a_function():
    with pytest.raises(UsageError) as caught:
        assert_equivalent(seeded(Block), seeded(Uncopied), torch.randn(6, 8))
    assert str(caught.value) == (
        "the candidate, a Uncopied, cannot be copied (TypeError: cannot pickle 'Socket' object), and both models run as "
        "copies; give a function that builds it: assert_equivalent(lambda: build(), ...)"
    )
    assert assert_equivalent(seeded(Block), lambda: seeded(Uncopied), torch.randn(6, 8)).passed


def test_a_function_that_builds_no_model():
    with pytest.raises(UsageError, match="the function given as the reference built a int, and no torch"):
        assert_equivalent(lambda: 3, seeded(Block), torch.randn(6, 8))


def test_a_function_that_gives_the_same_model_twice_is_refused():
    model = seeded(Block)
    with pytest.raises(UsageError, match="the function given as the reference gave the same Block twice"):
        assert_equivalent(lambda: model, copy.deepcopy(model), torch.randn(6, 8))


def test_gradients_that_a_built_model_comes_with_have_no_part():
    def used() -> nn.Module:
        model = seeded(Block)
        model.up.weight.grad = torch.ones(16, 8)
        return model

    comparison = assert_equivalent(seeded(Block), used, torch.randn(6, 8), draws=0)
    assert comparison.counts == {"equal": comparison.expected}


def test_with_rng_off_both_sides_draw_from_where_the_caller_is():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    comparison = assert_equivalent(seeded(Block), seeded(Block), torch.ones(6, 8), rng="off")
    assert comparison.counts == {"equal": comparison.expected}
    torch.manual_seed(5)
    assert torch.equal(before, torch.get_rng_state())
