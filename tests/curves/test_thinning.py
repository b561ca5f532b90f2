"""A curve of few points shows what that of all points showed."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_parity.curves.gaps import gaps, stride
from pytest_parity.curves.thinning import thinned


def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(1, count + 1), np.random.default_rng(0).normal(3, 0.1, count)


@pytest.mark.parametrize("count", [0, 1, 2, 1999, 2000])
def test_few_points_are_left_as_they_are(count: int):
    steps, values = noise(count)
    for kept, given in zip(thinned(steps, values), (steps, values), strict=True):
        np.testing.assert_array_equal(kept, given)


@pytest.mark.parametrize("count", [2001, 3999, 4001, 123_457])
def test_many_become_few_and_no_spike_goes(count: int):
    steps, values = noise(count)
    up, down = count // 3, count - 2
    values[up], values[down] = 1e9, -5
    kept, found = thinned(steps, values)
    assert 900 < len(kept) <= 2002
    assert (kept[0], kept[-1]) == (1, count)
    assert found[kept == up + 1].tolist() == [1e9]
    assert found[kept == down + 1].tolist() == [-5]
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(values[kept - 1], found)


def test_the_outline_stays():
    steps, values = noise(100_000)
    kept, found = thinned(steps, values, 200)
    for first in range(1, 100_001, 1000):
        inside = (kept >= first) & (kept < first + 1000)
        whole = values[first - 1 : first + 999]
        assert (found[inside].min(), found[inside].max()) == (whole.min(), whole.max())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_with_its_neighbours_and_the_spike_beside_it(bad: float):
    steps, values = noise(100_000)
    values[50_000], values[50_020] = bad, 7.0
    kept, found = thinned(steps, values)
    assert {50_000, 50_001, 50_002, 50_021} <= set(kept.tolist())
    np.testing.assert_array_equal(found[kept == 50_001], [bad])


def test_a_curve_of_nan_has_few_points_too():
    steps, values = noise(100_000)
    values[::3] = np.nan
    assert 2000 < len(thinned(steps, values)[0]) <= 16_000
    values[:] = np.nan
    kept, found = thinned(steps, values)
    assert len(kept) <= 16_000
    assert np.isnan(found).all()


def test_both_sides_of_a_gap_stay():
    steps, values = noise(100_000)
    steps[30_005:] += 40_000
    kept, _ = thinned(steps, values)
    assert {30_005, 70_006} <= set(kept.tolist())


def test_an_order_that_goes_back_is_kept():
    steps = np.concatenate([np.arange(5000), np.arange(4000, 9000)])
    kept, _ = thinned(steps, np.zeros(10_000), 100)
    assert (np.diff(kept) < 0).sum() == 1


@pytest.mark.parametrize(
    ("steps", "apart", "places"),
    [
        ([1, 2, 3, 5, 6, 7, 8, 9], 1, [2]),
        ([10, 20, 30, 60, 70, 80, 90], 10, [2]),
        ([10, 20, 30, 31, 41, 51, 61, 71], 10, []),
        ([1, 2, 4, 8, 16, 32, 64], 0, []),
        ([1, 2, 3, 2, 3, 4, 5, 6, 7], 1, []),
        ([5, 5, 5, 5], 0, []),
        ([1], 0, []),
        ([], 0, []),
    ],
)
def test_steps_are_missing_only_where_there_is_a_rule(steps: list[int], apart: int, places: list[int]):
    assert stride(steps) == apart
    assert gaps(steps).tolist() == places
