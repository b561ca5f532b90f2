"""A strategy of inputs: tried until one fails, which shrinks to the smallest on which the two disagree."""

from __future__ import annotations

from itertools import takewhile

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from pair_models import FUSED_NAMES, Eager, Fused, ManualNorm, seeded
from torch import nn

from pytest_parity import ParityFailure, UsageError, assert_equivalent
from pytest_parity.strategies import batches, lengths, magnitudes, shapes, size, tensors

FEW = hypothesis.settings(max_examples=25, derandomize=True, database=None)


class Odd(nn.Linear):
    """Scales its output by 1.01 for inputs of a kind."""

    def __init__(self, length: int = 1 << 30, above: float = float("inf")) -> None:
        super().__init__(4, 4)
        self.length, self.above = length, above

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = super().forward(x)
        odd = x.shape[1] >= self.length or bool(x.abs().max() > self.above)
        return out * 1.01 if odd else out


def smallest(failure: ParityFailure) -> list[str]:
    lines = str(failure).splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("the smallest input found"))
    return [line.strip() for line in takewhile(lambda line: line.startswith("  "), lines[place + 1 :])]


def test_a_correct_rewrite_passes_on_everything_drawn():
    inputs = tensors((size("batch", 1, 3), size("time"), 16), magnitude=magnitudes(1e-2, 10))
    comparison = assert_equivalent(seeded(Eager), seeded(Fused), inputs, names=FUSED_NAMES, settings=FEW)
    assert comparison.passed
    assert comparison.compared == comparison.expected > 25 * 20


@pytest.mark.parametrize("length", [2, 3, 7])
def test_a_fault_from_a_length_on_shrinks_to_that_length(length: int):
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Odd), seeded(Odd, length=length), tensors((size("batch"), size("time"), 4)))
    assert smallest(caught.value) == [f"x: float32 (1, {length}, 4) [0, 0, 0, 0, 0, 0, 0, 0{', ...' * (length > 2)}]"]
    assert str(caught.value).startswith("Odd against Odd step 0: (model) is the first module whose output differs")


@pytest.mark.parametrize("above", [0.5, 20, 2000])
def test_a_fault_above_a_magnitude_shrinks_to_the_smallest_such(above: float):
    inputs = tensors((size("batch"), size("time"), 4), magnitude=magnitudes(1e-3, 1e4))
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Odd), seeded(Odd, above=above), inputs)
    shown = {0.5: "3.33333", 20: "33.3333", 2000: "3333.33"}[above]
    assert smallest(caught.value) == [f"x: float32 (1, 1, 4) [{', '.join([shown] * 4)}]"]


def test_a_fault_of_the_forward_pass_does_not_shrink_to_one_of_the_gradients_alone():
    class Both(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[1] == 2:
                return super().forward(x.detach())
            return super().forward(x) * (1.01 if x.shape[1] >= 3 else 1.0)

    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(nn.Linear, 4, 4), Both(4, 4), tensors((size("batch"), size("time", 1, 40), 4)))
    assert smallest(caught.value) == ["input: float32 (1, 3, 4) [0, 0, 0, 0, 0, 0, 0, 0, ...]"]
    assert "(model) is the first module whose output differs" in str(caught.value)


@pytest.mark.parametrize("tree", [dict, tuple])
def test_strategies_in_a_dict_or_a_tuple_are_drawn_together(tree: type):
    given = tensors((size("batch"), size("time"), 4))
    inputs = {"x": given} if tree is dict else (given,)
    assert assert_equivalent(seeded(Odd), seeded(Odd), inputs, settings=FEW).passed
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Odd), seeded(Odd, length=2), inputs)
    assert smallest(caught.value) == ["x: float32 (1, 2, 4) [0, 0, 0, 0, 0, 0, 0, 0]"]


def test_inputs_of_which_none_has_an_element():
    with pytest.raises(UsageError, match="the reference computes nothing from any of these inputs"):
        assert_equivalent(seeded(nn.Linear, 4, 4), nn.Linear(4, 4), tensors((0, 4)), settings=FEW)
    inputs = tensors((size("batch", 0, 2), 4))
    assert assert_equivalent(seeded(nn.Linear, 4, 4), nn.Linear(4, 4), inputs, settings=FEW).passed


@pytest.mark.parametrize("inputs", [st.nothing(), tensors((2, 4)).filter(lambda _: False)], ids=["nothing", "filtered"])
def test_a_strategy_that_draws_nothing_is_an_error(inputs: object):
    with pytest.raises(hypothesis.errors.Unsatisfiable):
        assert_equivalent(seeded(nn.Linear, 4, 4), nn.Linear(4, 4), inputs)


def test_elements_drawn_one_by_one_shrink_exactly():
    inputs = tensors(shapes(1, 1, 4), elements=st.integers(-1000, 1000))
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Odd), seeded(Odd, above=123), inputs)
    assert smallest(caught.value) in (["x: float32 (1, 1, 4) [0, 0, 0, 124]"], ["x: float32 (1, 1, 4) [124, 0, 0, 0]"])


def test_a_batch_of_several_fields_is_shown_by_name():
    class Padded(nn.Linear):
        def __init__(self, fault: float = 1.0) -> None:
            super().__init__(4, 4)
            self.fault = fault

        def forward(self, x: torch.Tensor, length: torch.Tensor, training: bool) -> torch.Tensor:
            keep = torch.arange(x.shape[1]) < length[:, None]
            short = bool((length < x.shape[1]).any())
            return super().forward(x) * keep[..., None] * (self.fault if short else 1.0)

    inputs = batches(
        {
            "x": tensors((size("batch", 1, 4), size("time"), 4)),
            "length": lengths(size("batch", 1, 4), size("time")),
            "training": True,
        }
    )
    assert assert_equivalent(seeded(Padded), seeded(Padded), inputs, settings=FEW).passed
    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Padded), seeded(Padded, 1.01), inputs)
    assert smallest(caught.value)[0].startswith("x: float32 (2, 2, 4)")
    assert sorted(smallest(caught.value)[1:]) == ["length: int64 (2) [2, 1]", "training: True"]


def test_each_example_begins_with_the_same_weights_and_seeds():
    starts = []

    class Watched(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            starts.append((float(self.weight.detach().sum()), float(torch.rand(()))))
            return super().forward(x)

    assert_equivalent(seeded(Watched, 4, 4), seeded(Watched, 4, 4), tensors((2, 4)), draws=0, settings=FEW)
    assert len(starts) >= 25
    assert len(set(starts)) == 1


def test_the_same_inputs_are_tried_every_time_unless_settings_say_otherwise():
    def tried(**options: object) -> list[float]:
        seen: list[float] = []

        class Watched(nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                seen.append(float(x.detach().sum()))
                return super().forward(x)

        assert_equivalent(seeded(Watched, 4, 4), seeded(Watched, 4, 4), tensors((2, 4)), draws=0, **options)
        return seen

    assert tried() == tried()
    assert len(tried(settings=hypothesis.settings(max_examples=7))) <= 2 * 7


def test_a_candidate_that_fails_once_and_then_agrees_is_said_to_be_flaky():
    class Once(nn.Linear):
        failed = False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            if Once.failed or x.shape[0] < 3:
                return out
            Once.failed = True
            return out * 2

    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(nn.Linear, 4, 4), Once(4, 4), tensors((size("batch"), 4)))
    assert "on one input the two disagreed at one time and agreed at another" in str(caught.value)
    assert "Once against Linear step 0: (model) is the first module" in str(caught.value)


def test_a_model_that_raises_says_on_which_input():
    class Raising(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[0] > 2:
                raise ValueError("too many")
            return super().forward(x)

    with pytest.raises(ValueError, match="too many") as caught:
        assert_equivalent(seeded(nn.Linear, 4, 4), Raising(4, 4), tensors((size("batch"), 4)))
    notes = getattr(caught.value, "__notes__", None)
    assert notes is None or "on this input: input: float32 (3, 4) [0, 0, 0, 0, 0, 0, 0, 0, ...]" in notes


def test_inside_a_test_of_hypothesis_own():
    model = seeded(nn.LayerNorm, 4)

    @hypothesis.settings(max_examples=5, deadline=None, derandomize=True, database=None)
    @hypothesis.given(x=tensors((size("rows"), 4)))
    def agree(x: torch.Tensor) -> None:
        assert_equivalent(model, ManualNorm(4), x)

    agree()


def test_settings_are_those_of_hypothesis():
    with pytest.raises(UsageError, match=r"takes hypothesis\.settings\(max_examples=\.\.\.\), and was given 5"):
        assert_equivalent(seeded(Odd), seeded(Odd), tensors((1, 1, 4)), settings=5)
