"""Gradients that are off by something that has a name: the name, and the number that proves it; else nothing is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch import nn
from training_story import Net, causes, failed, told, training

from pytest_parity.diagnose.hints.evidence import Pair
from pytest_parity.diagnose.hints.gradients import detached_hints, gradient_hints
from pytest_parity.result import Cause, Fault, Hint
from pytest_parity.settings import MarkerOptions
from pytest_parity.site import Kind, Site


class Backwards(torch.autograd.Function):
    """The value itself forward, its gradient times a factor backward."""

    @staticmethod
    def forward(context: Any, value: torch.Tensor, factor: float) -> torch.Tensor:
        context.factor = factor
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * context.factor, None


class Scaled(Net):
    """What flows back to the norm is scaled."""

    factor = 1.05

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return Backwards.apply(hidden, self.factor)


class Detached(Net):
    """Nothing flows back to the norm."""

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.detach()


def scaled_by(factor: float) -> type[Net]:
    return type("ScaledBy", (Scaled,), {"factor": factor})


def each(change: Any) -> Any:
    """A change of every gradient."""

    def after(net: nn.Module) -> None:
        for parameter in net.parameters():
            parameter.grad = change(parameter.grad)

    return after


def clip(norm: float) -> Any:
    return lambda net: nn.utils.clip_grad_norm_(net.parameters(), norm)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return recorded(tmp_path_factory)


def recorded(tmp_path_factory: pytest.TempPathFactory, **options: Any) -> Studio:
    studio = Studio(tmp_path_factory.mktemp("gradients"))
    studio.record(training(**options), draws=2)
    return studio


# end to end


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (
            0.25,
            "0.25 (1/4) times the golden's, in all of 8 gradients (to 0 floors): look at accumulation, averaging over ",
        ),
        (3.0, "3 times the golden's, in all of 8 gradients (to 0"),
        (
            1024.0,
            "1,024 times the golden's, in all of 8 gradients (to 0 floors): look at the loss's scale, 2**10, not taken",
        ),
        (-2.0, "-2 times the golden's, in all of 8 gradients (to 0 floors): look at its sign, and accumulation, "),
        (1.01, "1.01 times the golden's, in all of 8 gradients (to 0."),
    ],
)
def test_one_factor(plain: Studio, factor: float, words: str):
    cause, text = told(plain, training(after=each(lambda gradient: gradient * factor)))
    assert cause is Cause.FACTOR
    assert text.startswith(words)


def test_the_other_sign(plain: Studio):
    cause, text = told(plain, training(after=each(lambda gradient: -gradient)))
    assert (cause, text) == (Cause.SIGN, "the golden's with the other sign, in all of 8 gradients (to 0 floors)")


def test_clipped_here(plain: Studio):
    cause, text = told(plain, training(after=clip(0.5)))
    assert cause is Cause.CLIPPING
    assert text.startswith("clipped to a total norm of 0.5 here, where the golden's is 1.")


def test_not_clipped_here(tmp_path_factory: pytest.TempPathFactory):
    cause, text = told(recorded(tmp_path_factory, after=clip(0.5)), training())
    assert cause is Cause.CLIPPING
    assert text.startswith("not clipped here: the total norm is 1.")
    assert ", and the golden's was clipped to 0.5; " in text


def test_clipped_to_another_norm(tmp_path_factory: pytest.TempPathFactory):
    cause, text = told(recorded(tmp_path_factory, after=clip(0.5)), training(after=clip(0.2)))
    assert cause is Cause.CLIPPING
    assert text.startswith(
        "clipped to another norm: the total norm of all gradients is 0.2 here, 0.5 in the golden's run"
    )


def test_a_total_norm_that_nobody_types_is_a_factor(plain: Studio):
    assert told(plain, training(after=clip(0.4321)))[0] is Cause.FACTOR


@pytest.mark.parametrize("here", [True, False])
def test_each_value_is_cut(tmp_path_factory: pytest.TempPathFactory, plain: Studio, *, here: bool):
    def cut(net: nn.Module) -> None:
        nn.utils.clip_grad_value_(net.parameters(), 0.01)

    studio = plain if here else recorded(tmp_path_factory, after=cut)
    cause, text = told(studio, training(after=cut) if here else training())
    assert cause is Cause.CLIPPING
    assert text.startswith(f"each value is {'cut to 0.01 here' if here else 'not cut to 0.01 here'}, ")


def test_gradients_that_nothing_clears(plain: Studio):
    cause, text = told(plain, training(clears=False))
    assert cause is Cause.ACCUMULATION
    assert text.startswith("more than the golden's by the gradients of step 0, in all of 8 gradients (to 0.")
    assert text.endswith(" floors): nothing clears them (optimizer.zero_grad())")


def test_gradients_that_the_golden_did_not_clear(tmp_path_factory: pytest.TempPathFactory):
    cause, text = told(recorded(tmp_path_factory, clears=False), training())
    assert cause is Cause.ACCUMULATION
    assert text.startswith("less than the golden's by the gradients of step 0, ")


def test_a_factor_on_the_way_back(plain: Studio):
    cause, text = told(plain, training(model=Scaled))
    assert cause is Cause.FACTOR
    assert text.startswith("1.05 times the golden's, in all of 4 gradients, and 4 others agree (to 0.")
    assert text.endswith(": look at what scales them on their way back")


def test_another_sign_on_the_way_back(plain: Studio):
    cause, text = told(plain, training(model=scaled_by(-1.0)))
    assert cause is Cause.SIGN
    assert text == "the golden's with the other sign, in all of 4 gradients, and 4 others agree (to 0 floors)"


def test_zeros_on_the_way_back(plain: Studio):
    cause, text = told(plain, training(model=scaled_by(0.0)))
    assert cause is Cause.DETACHED
    assert text == "exactly zero in emb.weight and 3 others, 456 elements: nothing flows back to them"


def test_a_graph_that_is_cut(plain: Studio):
    comparison = failed(plain, training(model=Detached))
    assert comparison.diagnosis is not None
    assert (comparison.diagnosis.fault, comparison.diagnosis.module) == (Fault.NO_GRADIENT, "norm")
    (hint,) = comparison.diagnosis.causes
    assert hint == Hint(
        Cause.DETACHED,
        "4 parameters have no gradient, and 4 others have one: what norm returns is cut off before mid (detach, no_grad, "
        ".data)",
    )


def test_one_of_them_alone(plain: Studio):
    cause, text = told(plain, training(after=lambda net: net.mid.weight.grad.mul_(2)))
    assert cause is Cause.FACTOR
    assert text.startswith(
        "2 times the golden's, in mid.weight alone, and 7 others agree (to 0 floors): look at what scales"
    )


def test_one_that_is_transposed(plain: Studio):
    def after(net: nn.Module) -> None:
        net.mid.weight.grad = net.mid.weight.grad.t().clone()

    cause, text = told(plain, training(after=after))
    assert (cause, text) == (Cause.TRANSPOSE, "the gradient of mid.weight is the golden's transposed (to 0 floors)")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_lower_precision(plain: Studio, dtype: torch.dtype):
    cause, text = told(plain, training(after=each(lambda gradient: gradient.to(dtype).float())))
    assert cause is Cause.PRECISION
    assert text.startswith(f"every value is one of {str(dtype).removeprefix('torch.')}, in all of 8 gradients, ")


def noisy(gradient: torch.Tensor) -> torch.Tensor:
    return gradient + 1e-3 * torch.randn(gradient.shape, generator=torch.Generator().manual_seed(0))


def decayed(net: nn.Module) -> None:
    for parameter in net.parameters():
        parameter.grad.add_(parameter.detach(), alpha=1e-2)


def two_factors(net: nn.Module) -> None:
    for place, parameter in enumerate(net.parameters()):
        parameter.grad.mul_(2 + place)


def shuffled(net: nn.Module) -> None:
    net.mid.weight.grad = net.mid.weight.grad.flip(0)


@pytest.mark.parametrize("after", [each(noisy), decayed, shuffled])
def test_what_has_no_name_has_no_hint(plain: Studio, after: Any):
    assert causes(plain, training(after=after)) == ()


def test_a_factor_of_the_module_that_diverges_first(plain: Studio):
    cause, text = told(plain, training(after=two_factors))  # each parameter has one of its own
    assert cause is Cause.FACTOR
    assert text.startswith(
        "8 times the golden's, in the gradient of head.weight (to 0 floors): look at what scales them"
    )


def test_without_noise_floors(tmp_path_factory: pytest.TempPathFactory):
    studio = Studio(tmp_path_factory.mktemp("gradients"))
    studio.record(training(), draws=0)
    cause, text = told(studio, training(after=each(lambda gradient: gradient * 0.25)))
    assert cause is Cause.FACTOR
    assert text.startswith("0.25 (1/4) times the golden's, in all of 8 gradients (to 0 of the norm)")


def test_a_test_that_asserts_nothing_itself(plain: Studio):
    """What is judged at the test's end was looked at while the step was there."""
    cause, text = told(plain, training(after=clip(0.5), asserts=False), marker=MarkerOptions(ignore=("loss/*",)))
    assert cause is Cause.CLIPPING
    assert text.startswith("clipped to a total norm of 0.5 here, ")


# tensors


def pair(actual: torch.Tensor, expected: torch.Tensor, name: str = "a.weight", **options: Any) -> Pair:
    return Pair(Site(Kind.GRADIENT, name), lambda: (actual.double(), expected.double()), name=name, **options)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_one_factor_and_noise_besides_is_none():
    expected = drawn(0, 64)
    assert gradient_hints([pair(expected / 4 + 1e-3 * drawn(1, 64), expected)], []) == ()


def test_numbers_of_one_element_prove_nothing():
    expected = drawn(0, 1)
    assert gradient_hints([pair(expected / 4, expected)], []) == ()


def test_what_is_noise_by_its_floor_does_not_contradict():
    expected, noise = drawn(0, 64), 1e-9 * drawn(1, 64)
    quiet = pair(noise / 3, noise, "a.bias", noise=1e-8)
    (hint,) = gradient_hints([pair(expected / 4, expected, noise=1e-8), quiet], [])
    assert hint.text.startswith("0.25 (1/4) times the golden's, in all of 1 gradient")


def test_what_is_more_than_noise_contradicts():
    expected, noise = drawn(0, 64), 1e-9 * drawn(1, 64)
    loud = pair(1e-3 * drawn(2, 64), noise, "a.bias", noise=1e-8)
    assert gradient_hints([pair(expected / 4, expected, noise=1e-8), loud], []) == ()


def test_near_to_one_nothing_is_said_without_a_floor():
    expected = drawn(0, 64)
    assert gradient_hints([pair(expected * 1.00001, expected)], []) == ()


def test_with_a_floor_a_small_factor_is_proved():
    expected = drawn(0, 64)
    (hint,) = gradient_hints([pair(expected * 1.0001, expected, noise=1e-8)], [])
    assert hint.text.startswith("1.0001 times the golden's, ")


def test_a_module_whose_own_have_one_factor_while_the_others_have_none():
    own = [pair(drawn(seed, 64) * 1.1, drawn(seed, 64), f"a.{seed}") for seed in (0, 1)]
    others = [pair(drawn(seed, 64) + drawn(seed + 9, 64), drawn(seed, 64), f"b.{seed}") for seed in (2, 3)]
    (hint,) = gradient_hints([*own, *others], own)
    assert hint.cause is Cause.FACTOR
    assert hint.text.startswith("1.1 times the golden's, in all of 2 gradients of this module's own (to ")


def test_a_first_step_has_none_before_it():
    expected = drawn(0, 64)
    assert gradient_hints([pair(expected + drawn(1, 64), expected)], [], before=lambda _: None) == ()


def test_a_weight_that_is_used_without_its_gradient():
    (hint,) = detached_hints("a.weight", "a.weight", ["a.weight"], ["a.bias", "b.weight"], {"a": 1, "b": 2})
    assert hint == Hint(
        Cause.DETACHED, "a.weight is used without its gradient (detach, no_grad, .data): 2 others have one"
    )


def test_where_no_gradient_is_there_nothing_is_known_of_a_cut():
    assert detached_hints("(model)", "(model)", ["a.weight"], [], {"a": 1}) == ()
