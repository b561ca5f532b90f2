"""The moving average: of the last values, of fewer at the start, of what is finite."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_parity.curves import smoothing
from pytest_parity.curves.smoothing import moving_average
from pytest_parity.errors import UsageError


def plainly(values: np.ndarray, window: int) -> np.ndarray:
    windows = [values[max(0, place - window + 1) : place + 1] for place in range(len(values))]
    kept = [window[np.isfinite(window)] for window in windows]
    return np.array([window.mean() if len(window) else np.nan for window in kept])


@pytest.mark.parametrize("window", [1, 2, 7, 99, 100, 101, 250, 1000])
@pytest.mark.parametrize("length", [1, 2, 99, 250])
def test_it_is_the_mean_of_the_last_values(window: int, length: int):
    values = np.random.default_rng(0).normal(3, 1, length)
    np.testing.assert_allclose(moving_average(values, window), plainly(values, window), rtol=1e-13)


def test_it_trails_and_begins_with_what_there_is():
    assert moving_average([4, 2, 0, 2], 3).tolist() == [4, 3, 2, 4 / 3]


def test_what_is_not_finite_is_left_out():
    values = np.array([np.nan, 1.0, np.nan, 3.0, np.inf, -np.inf, np.nan, np.nan, 5.0])
    np.testing.assert_array_equal(moving_average(values, 3), [np.nan, 1, 1, 2, 3, 3, np.nan, np.nan, 5])
    assert np.isnan(moving_average([np.nan] * 5)).all()


@pytest.mark.parametrize("spike", [1e9, 1e300, -1.7e308, np.nan, np.inf])
def test_nothing_is_felt_beyond_the_window(spike: float):
    values = np.random.default_rng(0).normal(3, 1, 1000)
    calm = moving_average(values, 100)
    values[500] = spike
    found = moving_average(values, 100)
    np.testing.assert_array_equal(found[600:], calm[600:])
    np.testing.assert_array_equal(found[:500], calm[:500])
    assert np.isfinite(found).all()


def test_a_long_curve_is_taken_in_pieces_that_do_not_show(monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(0).normal(3, 1, 1000)
    values[[3, 63, 64, 500]] = np.nan
    monkeypatch.setattr(smoothing, "_PIECE", 64)
    np.testing.assert_allclose(moving_average(values, 100), plainly(values, 100), rtol=1e-13)


def test_of_nothing_there_is_none():
    assert moving_average([]).tolist() == []


def test_a_window_of_nothing_is_refused():
    with pytest.raises(UsageError, match="over 1 value or more, and this window is 0"):
        moving_average([1.0], 0)
