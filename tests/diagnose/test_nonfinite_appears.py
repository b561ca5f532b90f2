"""Where a NaN or an infinity appears first in a recording: forward, backward, in an update; and what is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity.result import Recorded
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode

Make = Callable[[], nn.Module]


class Step(nn.Module):
    """Three modules, the middle one the caller's."""

    def __init__(self, middle: nn.Module, last: nn.Module | None = None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(4, 4), middle, last or nn.Linear(4, 2)
        self.to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.middle(self.first(x)))


class Does(nn.Module):
    """Whatever a function does."""

    def __init__(self, what: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.what(x)


def ones() -> torch.Tensor:
    return torch.ones(3, 4)


def notes(studio: Studio, body: Callable[[Parity], None]) -> list[str]:
    parity = Parity(studio.settings(Mode.RECORD))
    try:
        body(parity)
        recorded = parity.finish()
    finally:
        parity.abandon()
    assert isinstance(recorded, Recorded)
    begin = next((place for place, note in enumerate(recorded.notes) if " appears first " in note), len(recorded.notes))
    return list(recorded.notes[begin:])


def trained(
    middle: nn.Module,
    *,
    last: nn.Module | None = None,
    x: Callable[[], torch.Tensor] = ones,
    loss: Callable[[torch.Tensor], torch.Tensor] = lambda out: out.square().mean(),
    steps: int = 1,
    kinds: tuple[str, ...] | None = None,
    dtype: torch.dtype = torch.float32,
    lr: float = 0.1,
) -> Callable[[Parity], None]:
    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = Step(middle, last, dtype)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        with parity.watch(model, optimizer=optimizer, kinds=kinds) as run:
            for batch in run.steps([x().to(dtype) for _ in range(steps)]):
                out = model(batch)
                value = loss(out)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                parity.assert_outputs(out)
                parity.assert_loss(value)

    return body


def test_a_finite_recording_says_nothing(studio: Studio):
    assert not [note for note in notes(studio, trained(nn.Tanh())) if "appears" in note]


def test_the_module_that_makes_it_is_named_with_what_went_in(studio: Studio):
    line, *_ = notes(studio, trained(Does(lambda x: x / (x - x[:1]))))
    assert line.startswith(
        "step 0: an infinity appears first in the output of middle (12 of 12 elements); its inputs are finite: in.0 from "
    )
    assert ", std " in line


def test_a_nan_is_told_from_an_infinity(studio: Studio):
    line, *_ = notes(studio, trained(Does(lambda x: (x - x) / (x - x))))
    assert line.startswith("step 0: NaN appears first in the output of middle (12 of 12 elements)")


def test_what_a_parent_hands_on_is_named_between(studio: Studio):
    class Between(Step):
        def forward(self, x):
            return self.last(self.middle(self.first(x)).sub(1e9).sqrt())

    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = Between(nn.Tanh())
        with parity.watch(model):
            out = model(parity.input("x", ones))
        parity.assert_outputs(out)

    line, *_ = notes(studio, body)
    assert line.startswith("step 0: NaN appears first in what is handed to last as in.0 (12 of 12 elements)")
    assert "what was there before is finite: " in line


def test_without_inputs_the_output_is_named_all_the_same(studio: Studio):
    kinds = ("batch", "weight", "activation", "output", "loss")
    line, *_ = notes(studio, trained(Does(lambda x: x / (x - x[:1])), kinds=kinds))
    assert line.startswith("step 0: an infinity appears first in the output of middle (12 of 12 elements)")


def test_a_mask_of_infinities_is_none(studio: Studio):
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.att = nn.MultiheadAttention(4, 1, batch_first=True)
            self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))

        def forward(self, x):
            return self.att(x[None], x[None], x[None], attn_mask=self.mask, need_weights=False)[0][0]

    assert not [note for note in notes(studio, trained(Masked())) if "appears" in note]


def test_beside_a_mask_the_nan_is_still_found(studio: Studio):
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.soft = nn.Dropout(0.0), nn.Softmax(dim=-1)

        def forward(self, x):
            scores = x @ x.T
            scores = scores.masked_fill(torch.tensor([[0, 1, 1], [0, 0, 1], [1, 1, 1]]).bool(), -torch.inf)
            return self.soft(self.drop(scores)) @ x

    line, advice, *_ = notes(studio, trained(Masked(), x=lambda: torch.randn(3, 4)))
    assert line.startswith("step 0: NaN appears first in the output of middle.soft (3 of 9 elements)")
    assert "and 6 -inf" in line
    assert advice.startswith("in.0[2] is -inf throughout: a sequence of nothing but padding leaves a softmax nothing")


def test_backward_alone(studio: Studio):
    line, *_ = notes(studio, trained(Does(lambda x: (x - x).sqrt() + x)))
    assert line.startswith("step 0: NaN appears first in backward, in the gradient of first.weight (16 of 16 elements)")


def test_activation_gradients_tell_it_nearer_and_why(studio: Studio):
    kinds = ("batch", "weight", "input", "activation", "activation_gradient", "gradient")
    line, advice, *_ = notes(studio, trained(Does(lambda x: x * 0), last=Does(torch.sqrt), kinds=kinds))
    assert line.startswith("step 0: NaN appears first in backward, in the gradient of the output of middle (12 of 12")
    assert "what went through forward is finite: activation/middle#0 from " in line
    assert advice.startswith("activation/middle#0 holds 12 zeros (of 12): ")
    assert "no logarithm, quotient or root of what can be zero without an eps" in advice


def test_an_overflow_in_half_precision_names_the_range(studio: Studio):
    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = Step(Does(lambda x: x + x), dtype=torch.float16)
        with torch.no_grad():
            model.first.bias.fill_(5e4)
        with parity.watch(model):
            out = model(parity.input("x", lambda: ones().half()))
        parity.assert_outputs(out)

    line, advice, *_ = notes(studio, body)
    assert "the output of middle (12 of 12 elements); its inputs are finite: in.0 from 5e+04 to 5e+04" in line
    assert advice == "float16 ends at 65,504, and in.0 reaches 5e+04: compute this module in float32 or bfloat16"


def test_the_loss_of_zeros(studio: Studio):
    found = notes(studio, trained(nn.Tanh(), last=nn.ReLU(), loss=lambda out: out.log().mean()))
    assert "appears first in the loss (1 of 1 element); the outputs are finite: output/outputs from 0 to " in found[0]
    assert found[1].startswith("output/outputs holds ")
    assert "zeros (of 12): no logarithm, quotient or root of what can be zero without an eps" in found[1]


def test_a_step_that_is_too_long(studio: Studio):
    found = notes(studio, trained(nn.Identity(), lr=1e30, steps=3))
    line, advice = found[0], found[1]
    assert line.startswith("step 1: NaN appears first in the output of last (6 of 6 elements); its inputs are finite: ")
    assert advice.startswith("weights have up to ")
    assert "a lower learning rate, or gradients clipped before the optimizer steps" in advice


def test_a_batch_that_has_it(studio: Studio):
    line, advice, *_ = notes(studio, trained(nn.Tanh(), x=lambda: torch.full((3, 4), torch.nan)))
    assert line == "step 0: NaN appears first in the batch's loader (12 of 12 elements)"
    assert advice == "it is in the data: look at what the loader gave"


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_were_given_so(studio: Studio, value: float):
    def body(parity: Parity) -> None:
        model = Step(nn.Identity())
        with torch.no_grad():
            model.first.weight[0, 0] = value
        with parity.watch(model):
            out = model(parity.input("x", ones))
        parity.assert_outputs(out)

    line, advice, *_ = notes(studio, body)
    assert "appears first in the weight first.weight, before the step (1 of 16 elements)" in line
    assert advice == "the weights were like this before the first step"
