"""Gradients that are zero but for rounding: the bias of the keys of an attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from noise_models import Attention, tower, training
from parity_studio import Studio

from pytest_parity.report.lines import summary_line
from pytest_parity.session.parity import Parity

BIAS = "gradient/blocks.0.attention.key.bias"
SQUARES = "optimizer/blocks.0.attention.key.bias/exp_avg_sq"


def changed(change: Callable[[torch.Tensor], torch.Tensor | None], steps: int = 1) -> Callable[[Parity], None]:
    """Training of the rewrite, the gradient of a key's bias changed."""

    def make() -> torch.nn.Module:
        model = tower(rewritten=True)
        attention = model.get_submodule("blocks.0.attention")
        assert isinstance(attention, Attention)
        attention.key.bias.register_hook(change)
        return model

    return training(make, steps=steps)


def test_a_rewrite_passes_though_nothing_but_rounding_is_left(studio: Studio):
    studio.record(training(tower, steps=1), draws=3)
    comparison = studio.check(training(lambda: tower(rewritten=True), steps=1))
    assert comparison.passed
    below = [delta for delta in comparison.deltas if delta.verdict.value == "below_noise"]
    assert BIAS in [delta.site for delta in below]
    assert "below noise" in summary_line(comparison)


def test_by_rounding_alone_the_two_do_not_agree(studio: Studio):
    studio.record(training(tower, steps=1), draws=3)
    strict = training(lambda: tower(rewritten=True), steps=1, watch={"tolerances": {BIAS: (1e-3, 0.0)}})
    assert BIAS in str(studio.failure(strict))


def test_a_gradient_of_zero_is_below_noise(studio: Studio):
    studio.record(training(tower, steps=1), draws=3)
    assert studio.check(changed(torch.zeros_like)).passed


def test_more_than_the_floor_allows_fails(studio: Studio):
    golden = studio.record(training(tower, steps=1), draws=3)
    assert golden.noise is not None
    floor = golden.noise.of(0, next(one.order for one in golden.entries(0) if str(one.site) == BIAS))
    assert floor is not None
    size = floor.norm * 20 / 32**0.5
    assert size < 1e-6
    failure = studio.failure(changed(lambda gradient: gradient + size))
    assert failure.comparison is not None
    assert [delta.site for delta in failure.comparison.failures] == [BIAS]


def test_noise_a_few_times_as_large_may_be_squared_by_the_optimizer(studio: Studio):
    studio.record(training(tower, steps=2), draws=3)
    comparison = studio.check(changed(lambda gradient: 5 * gradient, steps=2), collect=True)
    squares = next(delta for delta in comparison.deltas if delta.site == SQUARES and delta.step == 1)
    assert squares.noise is not None
    assert 10 < squares.noise.norm_ratio < squares.noise.factor == 100


def test_a_gradient_that_is_absent_fails(studio: Studio):
    def make() -> torch.nn.Module:
        model = tower(rewritten=True)
        for block in model.blocks:
            block.attention.key.register_forward_hook(
                lambda module, _args, out: out - module.bias + module.bias.detach()
            )
            block.attention.key.register_forward_hook(
                lambda module, args, _out: args[0] @ module.weight.T + module.bias.detach()
            )
        return model

    studio.record(training(tower, steps=1), draws=3)
    failure = studio.failure(training(make, steps=1))
    assert BIAS in str(failure)
    assert "got None" in str(failure)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_that_happens_to_fit_a_narrower_dtype_is_not_rounded_to_it(studio: Studio, dtype: torch.dtype):
    """Each element of a mean's gradient is 1/16, which bfloat16 holds too: a factor of 1.0001 is no rounding."""

    def body(scale: float) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            layer = parity.load(torch.nn.Linear(8, 16).to(dtype))
            layer.bias.register_hook(lambda gradient: gradient * scale)
            with parity.watch(layer):
                layer(parity.input("x", lambda: torch.randn(4, 8).to(dtype))).mean().backward()

        return test

    studio.record(body(1.0), draws=3)
    assert "gradient/bias" in str(studio.failure(body(1.0001 if dtype is torch.float32 else 1 + 1e-7)))
