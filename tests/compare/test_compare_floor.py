"""How floors are put together from what the draws moved, and what is allowed of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_parity.compare.floor import Measured, assembled, of_squares
from pytest_parity.golden.noise import Floor
from pytest_parity.result import Tolerance
from pytest_parity.site import Kind, Site

EPS = 2.0**-23


def site(
    norms: Sequence[float] = (3e-4, 5e-4, 4e-4),
    gains: Sequence[float] = (2e-5, 1e-5, 4e-5),
    *,
    reference: float = 100.0,
    elements: int = 10_000,
    exact: bool = False,
) -> list[Measured]:
    gradient = Site(Kind.GRADIENT, "weight")
    return [
        Measured(gradient, exact, norm, gain, reference, rounding=EPS * reference, elements=elements, sums=EPS)
        for norm, gain in zip(norms, gains, strict=True)
    ]


def floors(*sites: list[Measured]) -> list[Floor]:
    return list(assembled(sites))


def many(count: int = 9, **changes: object) -> list[list[Measured]]:
    return [site(**changes) for _ in range(count)]  # type: ignore[arg-type]


def test_the_norm_is_the_largest_of_the_draws():
    assert floors(*many())[0].norm == 5e-4


def test_the_norm_is_not_below_rounding():
    assert floors(*many(norms=(0.0, 1e-9, 0.0)))[0].norm == EPS * 100


@pytest.mark.parametrize(("draws", "times"), [(1, 1e5), (2, 100.0), (3, 10.0), (6, 1.0), (9, 1.0)])
def test_the_norm_of_a_few_elements_is_widened_for_the_number_of_draws(draws: int, times: float):
    few, more = (site([5e-4] * draws, [0.0] * draws, elements=count) for count in (16, 17))
    assert floors(few)[0].norm == pytest.approx(5e-4 * times)
    assert floors(more)[0].norm == 5e-4


def test_the_gain_is_the_largest_of_the_draws():
    assert floors(*many())[0].gain == 4e-5


def test_a_gain_that_is_near_zero_in_all_draws_takes_the_median_of_its_kind():
    assert floors(*many(8), site(gains=(1e-9, 1e-8, 1e-9)))[-1].gain == 4e-5


def test_where_the_norm_moves_more_than_elsewhere_the_gain_is_expected_to():
    lucky = site(norms=[5e-3] * 3, gains=[1e-9] * 3)
    assert floors(*many(8), lucky)[-1].gain == pytest.approx(4e-4)


def test_a_median_of_few_sites_says_nothing_and_the_gain_is_widened():
    found = floors(*many(6), site(gains=(1e-9, 1e-8, 1e-9)))
    assert found[0].gain == pytest.approx(4e-4)
    assert found[-1].gain == EPS


def test_the_gain_is_not_below_what_independent_rounding_gives():
    assert floors(*many(gains=(0.0, 0.0, 0.0)))[0].gain == EPS
    assert floors(*many(gains=(0.0, 0.0, 0.0), elements=100))[0].gain == pytest.approx(5e-4 / 100 / 10)


def test_zero_in_all_draws_takes_the_rounding_of_a_typical_value():
    zero = site((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), reference=0.0, elements=400)
    assert floors(*many(), zero)[-1].norm == pytest.approx(EPS * 100 / 100 * 20)
    assert floors(zero)[0].norm == 0.0


def test_integers_have_the_largest_share_of_the_draws():
    assert floors(site((0.0, 0.25, 0.125), (0.0,) * 3, exact=True)) == [Floor(0.25, 0.0, 100.0)]


def test_of_a_state_that_is_all_noise_the_square_of_the_factor_is_allowed():
    ten = Tolerance(0.0, 0.0, "noise floor", 10.0)
    assert of_squares(ten, Floor(0.5, 0.0, 1.0)).factor == 100.0
    assert of_squares(ten, Floor(0.49, 0.0, 1.0)) == ten
    half, absolute = Tolerance(0.0, 0.0, "noise floor", 0.5), Tolerance(1e-3, 1e-6)
    assert of_squares(half, Floor(1.0, 0.0, 1.0)) == half
    assert of_squares(absolute, Floor(1.0, 0.0, 1.0)) == absolute
