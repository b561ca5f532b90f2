"""Student's t, against the tables that are printed in textbooks and against closed forms."""

from __future__ import annotations

import math

import pytest

from pytest_parity.curves.student import critical, quantile, tail
from pytest_parity.errors import UsageError

TABLE = {  # degrees of freedom: t at 0.90, 0.95, 0.975, 0.99, 0.995, 0.9995
    1: (3.078, 6.314, 12.706, 31.821, 63.657, 636.619),
    2: (1.886, 2.920, 4.303, 6.965, 9.925, 31.599),
    3: (1.638, 2.353, 3.182, 4.541, 5.841, 12.924),
    4: (1.533, 2.132, 2.776, 3.747, 4.604, 8.610),
    5: (1.476, 2.015, 2.571, 3.365, 4.032, 6.869),
    10: (1.372, 1.812, 2.228, 2.764, 3.169, 4.587),
    30: (1.310, 1.697, 2.042, 2.457, 2.750, 3.646),
    120: (1.289, 1.658, 1.980, 2.358, 2.617, 3.373),
    math.inf: (1.282, 1.645, 1.960, 2.326, 2.576, 3.291),
}


@pytest.mark.parametrize("dof", TABLE)
def test_it_is_as_printed(dof: float):
    shown = tuple(quantile(p, dof) for p in (0.90, 0.95, 0.975, 0.99, 0.995, 0.9995))
    assert shown == pytest.approx(TABLE[dof], abs=6e-4)


@pytest.mark.parametrize("t", [1e-8, 0.1, 1.0, 2.5, 40.0, 1e6])
def test_small_numbers_of_degrees_of_freedom_have_closed_forms(t: float):
    assert tail(t, 1) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-12)
    root = math.sqrt(2 + t * t)
    assert tail(t, 2) == pytest.approx(2 / (root * (root + t)), rel=1e-12)
    angle = math.atan(t / 2)
    if t < 40:  # where the closed form itself has digits
        assert tail(t, 4) == pytest.approx(1 - math.sin(angle) * (1 + math.cos(angle) ** 2 / 2), rel=1e-9)


@pytest.mark.parametrize("dof", [0.4, 1.5, 2.5, 17.3])
@pytest.mark.parametrize("t", [0.3, 2.0])
def test_degrees_of_freedom_need_not_be_whole(dof: float, t: float):
    density = math.exp(math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2)) / math.sqrt(math.pi * dof)
    pieces = 2000  # Simpson's rule
    heights = [density * (1 + (t * i / pieces) ** 2 / dof) ** (-(dof + 1) / 2) for i in range(pieces + 1)]
    inside = (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])) * t / pieces / 3
    assert tail(t, dof) == pytest.approx(1 - 2 * inside, abs=1e-10)


@pytest.mark.parametrize("dof", [999.9, 1e8])
def test_no_seam_is_seen_where_the_method_changes(dof: float):
    assert tail(2.0, dof * 0.9999) == pytest.approx(tail(2.0, dof * 1.0003), rel=1e-5)


@pytest.mark.parametrize("dof", [0.5, 1, 2.7, 40, 1e5, 1e12])
@pytest.mark.parametrize("alpha", [1.0, 0.5, 0.05, 1e-9])
def test_the_tail_behind_a_critical_value_is_what_was_asked_for(alpha: float, dof: float):
    assert tail(critical(alpha, dof), dof) == pytest.approx(alpha, rel=1e-9)


def test_it_is_symmetric_and_has_ends():
    assert quantile(0.2, 3) == -quantile(0.8, 3)
    assert quantile(0.5, 3) == 0
    assert tail(-2, 3) == tail(2, 3)
    assert (tail(0, 3), tail(math.inf, 3), tail(1e200, 3)) == (1, 0, 0)
    assert math.isnan(tail(math.nan, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tail(1, 0), "degrees of freedom are above 0, and these are 0"),
        (lambda: quantile(1.0, 3), "a probability is between 0 and 1, and this one is 1"),
        (lambda: critical(0.0, 3), "a share of a distribution is above 0 and at most 1, and this one is 0"),
        (lambda: tail(1, math.nan), "degrees of freedom are above 0, and these are nan"),
    ],
)
def test_what_makes_no_sense_is_said(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
