"""Values of every dtype and magnitude: a correct rewrite is within the noise floor, a factor besides is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity.golden.noise import Floor
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode

Function = Callable[[torch.Tensor], torch.Tensor]


def value(function: Function, dtype: torch.dtype = torch.float32) -> Callable[[Parity], None]:
    """A test of one function of one input."""

    def body(parity: Parity) -> None:
        with parity.watch(nn.Identity()) as _:
            x = parity.input("x", lambda: torch.randn(40, 6, dtype=dtype))
        parity.assert_close("y", function(x))

    return body


def floor(studio: Studio) -> Floor | None:
    golden = studio.golden()
    assert golden.noise is not None
    return golden.noise.of(0, next(one.order for one in golden.entries(0) if str(one.site) == "output/y"))


DTYPES = {
    torch.float64: 1e-12,
    torch.float32: 1e-4,
    torch.float16: 0.03,
    torch.bfloat16: 0.2,
    torch.complex64: 1e-4,
    torch.complex128: 1e-12,
}


def divided(x: torch.Tensor) -> torch.Tensor:
    return (x * 3.3) / 3


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_rewrite_passes_in_every_dtype(studio: Studio, dtype: torch.dtype):
    studio.record(value(lambda x: x * 1.1, dtype), draws=3)
    comparison = studio.check(value(divided, dtype))
    assert comparison.passed
    assert floor(studio) is not None


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_factor_fails_in_every_dtype(studio: Studio, dtype: torch.dtype):
    studio.record(value(lambda x: x * 1.1, dtype), draws=3)
    assert "output y" in str(studio.failure(value(lambda x: x * 1.1 * (1 + DTYPES[dtype]), dtype)))


def test_another_phase_of_complex_numbers_fails(studio: Studio):
    studio.record(value(lambda x: x * 1.1, torch.complex64), draws=3)
    turn = complex(math.cos(1e-4), math.sin(1e-4))
    assert "output y" in str(studio.failure(value(lambda x: x * 1.1 * turn, torch.complex64)))


MAGNITUDES = (1e-40, 1e-25, 1e-15, 1e15, 1e30, 1e37)


@pytest.mark.parametrize("size", MAGNITUDES)
def test_a_rewrite_passes_at_every_magnitude(studio: Studio, size: float):
    studio.record(value(lambda x: x * 1.1 * size), draws=3)
    comparison = studio.check(value(lambda x: divided(x * size)))
    assert comparison.passed
    assert floor(studio) is not None


@pytest.mark.parametrize("size", MAGNITUDES)
@pytest.mark.parametrize("factor", [0.0, 1.001])
def test_a_factor_fails_at_every_magnitude(studio: Studio, size: float, factor: float):
    studio.record(value(lambda x: x * 1.1 * size), draws=3)
    assert "output y" in str(studio.failure(value(lambda x: x * 1.1 * size * factor)))


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_where_even_float64_cannot_hold_squares_there_is_no_floor(studio: Studio, size: float):
    assert studio.record(value(lambda x: x * 1.1 * size, torch.float64), draws=3).noise is None


def tailed(size: float) -> Function:
    """A value whose last element is nothing beside the others, and may be off by rounding alone."""
    return lambda x: torch.cat([x * 1.1, x[-1:] * 1.1 * size])


@pytest.mark.parametrize("size", [1e-28, 1e-35, 1e-39])
def test_rounding_in_the_tail_alone_passes(studio: Studio, size: float):
    def rounded(x: torch.Tensor) -> torch.Tensor:
        y = tailed(size)(x)
        y[-1] = torch.nextafter(y[-1], torch.tensor(torch.inf))
        return y

    studio.record(value(tailed(size)), draws=3)
    assert studio.check(value(rounded)).passed
    assert "output y" in str(studio.failure(value(lambda x: rounded(x) * 1.0001)))


def test_what_another_implementation_flushes_to_zero_passes(studio: Studio):
    """Some kernels keep what is below the smallest normal number, others do not."""

    def nothing_or(tiny: float) -> Function:
        return lambda x: torch.where(torch.arange(6) == 0, x.sign() * tiny, 0.0)

    studio.record(value(nothing_or(0.0)), draws=3)
    assert studio.check(value(nothing_or(1e-38))).passed
    assert "output y" in str(studio.failure(value(nothing_or(1e-36))))


def test_in_float16_there_is_no_flushing(studio: Studio):
    studio.record(value(lambda x: x * 0, torch.float16), draws=3)
    assert "output y" in str(studio.failure(value(lambda x: x.sign() * 2e-6, torch.float16)))


def test_huge_against_nothing_in_float64_fails(studio: Studio):
    studio.record(value(lambda x: x * 1.1 * 1e200, torch.float64), draws=3)
    assert "output y" in str(studio.failure(value(lambda x: x * 0, torch.float64)))


def test_an_overflow_of_the_candidate_alone_fails(studio: Studio):
    studio.record(value(lambda x: x * 1.1), draws=3)
    assert "output y" in str(studio.failure(value(lambda x: x * 1.1 * 1e30)))


def masked(function: Function, fill: float) -> Function:
    """Infinities and the like, as in the scores of an attention, above the diagonal."""

    def apply(x: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.ones(40, 6).tril().bool(), function(x), torch.tensor(fill))

    return apply


FILLS = {"-inf": -math.inf, "inf": math.inf, "nan": math.nan}


@pytest.mark.parametrize("fill", FILLS)
def test_a_rewrite_with_what_is_not_finite_in_the_same_places_passes(studio: Studio, fill: str):
    studio.record(value(masked(lambda x: x * 1.1, FILLS[fill])), draws=3)
    comparison = studio.check(value(masked(divided, FILLS[fill])))
    assert comparison.passed
    assert comparison.closest is not None
    assert comparison.closest.site == "output/y"
    assert "not finite in the reference either: output/y (15 of 240) in step 0" in comparison.notes


@pytest.mark.parametrize("fill", FILLS)
def test_beside_what_is_not_finite_a_factor_fails(studio: Studio, fill: str):
    studio.record(value(masked(lambda x: x * 1.1, FILLS[fill])), draws=3)
    assert "output y" in str(studio.failure(value(masked(lambda x: x * 1.1001, FILLS[fill]))))


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("other", [*FILLS, "finite"])
def test_another_thing_in_place_of_what_is_not_finite_fails(studio: Studio, fill: str, other: str):
    if fill == other:
        return
    studio.record(value(masked(lambda x: x * 1.1, FILLS[fill])), draws=3)
    assert "output y" in str(studio.failure(value(masked(divided, FILLS.get(other, -1e4)))))


@pytest.mark.parametrize("fill", FILLS)
def test_what_only_the_candidate_has_that_is_not_finite_fails(studio: Studio, fill: str):
    studio.record(value(lambda x: x * 1.1), draws=3)
    failure = studio.failure(value(masked(divided, FILLS[fill])))
    assert failure.comparison is not None
    assert [delta.verdict.value for delta in failure.comparison.failures] == ["nonfinite"]


def test_a_value_that_moves_in_no_draw_has_a_floor_all_the_same(studio: Studio):
    studio.record(value(lambda x: (x * 3).round() * 0.1), draws=3)
    allowed = floor(studio)
    assert allowed is not None
    assert allowed.norm == pytest.approx(torch.finfo(torch.float32).eps * allowed.reference)
    assert studio.check(value(lambda x: (x * 3).round() / 10)).passed
    assert "output y" in str(studio.failure(value(lambda x: (x * 3).round() * 0.10002)))


def test_a_loss_that_moves_in_no_draw_may_be_off_by_rounding(studio: Studio):
    def body(scale: float) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            x = parity.input("x", lambda: torch.full((4,), 3.0))
            parity.assert_loss(x.mean() / 7 * scale)

        return test

    studio.record(body(1.0), draws=3)
    assert studio.check(body(1 + 2**-23)).passed
    assert "loss" in str(studio.failure(body(1.0001)))


def test_a_value_that_is_nothing_in_every_draw_may_not_be_something(studio: Studio):
    studio.record(value(lambda x: x * 0), draws=3)
    assert studio.check(value(lambda x: x * 0)).passed
    assert "output y" in str(studio.failure(value(lambda x: x * 0 + 1e-5)))


def test_counts_in_floats_are_not_moved_and_may_not_be_others(studio: Studio):
    def body(change: float) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            lengths = parity.input("lengths", lambda: torch.tensor([3.0, 5.0, 8.0]))
            seen.append(lengths.clone())
            parity.assert_close("whole", lengths + change)

        return test

    seen: list[torch.Tensor] = []
    studio.record(body(0.0), draws=3)
    assert all(torch.equal(one, seen[0]) for one in seen)
    assert "output whole" in str(studio.failure(body(1.0)))


def test_no_element_agrees_with_nothing(studio: Studio):
    studio.record(value(lambda x: x[:0]), draws=3)
    assert "no element" in str(studio.failure(value(lambda x: x[:0])))


def test_where_nothing_can_be_moved_there_is_no_floor_and_it_says_why(studio: Studio):
    def body(scale: float) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
            parity.assert_close("y", x.cumsum(0) * scale)

        return test

    parity = Parity(studio.settings(Mode.RECORD, draws=3))
    body(1.0)(parity)
    recorded = parity.finish(parity.repeating(body(1.0)))
    said = (
        "no noise floor: there is nothing to move by one unit in the last place, for no model with weights is watched, and "
        "no floating input comes from parity.input() or steps(). Checks of this golden use the dtypes' default tolerances"
    )
    assert recorded.notes == (said,)
    assert studio.golden().noise is None
    assert "output y" in str(studio.failure(body(1.0001)))
