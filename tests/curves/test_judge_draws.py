from __future__ import annotations

import numpy as np
import pytest
from judged_curves import STEPS, checks, curve, draws, first, free, losses

from pytest_parity.curves.judge import judge
from pytest_parity.result.curve import CurveCheck


def against_draws(values, count=4):
    return judge(values, draws(count), origin="draws")


@pytest.mark.parametrize("draw", range(10, 20))
def test_another_draw_passes(draw):
    found = against_draws(free(0, draw))
    assert found.passed, found.findings
    assert found.origin == "draws"


def test_a_rerun_that_parts_three_times_as_fast_passes():
    assert against_draws(free(0, 10, size=3)).passed


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_another_draw_passes_whatever_their_number(count):
    assert against_draws(free(0, 10), count).passed


def test_a_recorded_draw_is_equal():
    assert against_draws(draws()[2]).equal


def test_another_seed_fails_at_once():
    found = against_draws(curve(losses(1)))
    assert not found.passed
    assert min(one.step for one in found.findings) == 1


@pytest.mark.parametrize("of", [free(0, 10), draws()[0]])
@pytest.mark.parametrize("factor", [1.049, 1.0001])
def test_a_factor_fails(of, factor):
    found = against_draws(curve(of.step_losses * factor))
    assert first(found).check is CurveCheck.DRIFT
    assert first(found).detail == f"{factor:.6g} times the recorded curves throughout"


def test_a_curve_that_leaves_them_in_the_middle_fails_from_there():
    values = free(0, 10).step_losses.copy()
    values[120:] *= 1.2
    found = against_draws(curve(values))
    pointwise = next(one for one in found.findings if one.check is CurveCheck.POINTWISE)
    assert pointwise.step == 121


def test_a_loss_logged_one_step_late_fails_and_the_lag_is_told():
    values = free(0, 10).step_losses
    found = against_draws(curve(np.r_[values[0] * 1.01, values[:-1]]))
    assert not found.passed
    assert any("1 step behind the recorded curves" in one.detail for one in found.findings)


def test_a_moving_average_is_told_as_too_smooth():
    values = free(0, 10).step_losses
    padded = np.r_[np.full(19, values[0]), values]
    found = against_draws(curve(np.convolve(padded, np.ones(20) / 20, mode="valid")))
    assert CurveCheck.ROUGHNESS in checks(found)


def test_draws_that_never_part_leave_room_for_rounding_only():
    base = losses(0)
    near = [curve(base * (1 + 1e-7 * np.random.default_rng(draw).standard_normal(STEPS))) for draw in range(5)]
    assert judge(near[0], near[1:], origin="draws").passed
    assert not judge(curve(base * (1 + 1e-4)), near[1:], origin="draws").passed
