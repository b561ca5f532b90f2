from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judged_curves import STEPS, against_seeds, checks, curve, first, losses, seeds

from pytest_parity.curves.judge import judge
from pytest_parity.result.curve import CurveCheck, CurveComparison

TIMES = np.arange(STEPS)


@pytest.fixture(params=["fresh", "recorded"])
def values(request):
    return losses(1) if request.param == "fresh" else seeds()[0].step_losses.copy()


def finding(found, check):
    return next(one for one in found.findings if one.check is check)


@pytest.mark.parametrize("seed", range(20))
def test_other_seeds_pass(seed):
    found = against_seeds(losses(seed))
    assert found.passed, found.findings


@pytest.mark.parametrize("factor", [1.049, 0.951])
def test_a_steady_distance_of_5_percent_fails_and_the_factor_is_told(values, factor):
    found = against_seeds(values * factor)
    one = first(found)
    assert one.check is CurveCheck.DRIFT
    assert (one.step, one.last, one.count) == (1, STEPS, STEPS)
    assert not one.low <= one.value <= one.high
    assert one.low < one.expected < one.high
    told, _, rest = one.detail.partition(" ")
    assert float(told) == pytest.approx(factor, abs=0.02)
    assert rest == "times the recorded curves throughout"


def test_a_distance_from_some_step_on_fails_from_there(values):
    found = against_seeds(values * np.where(TIMES < 150, 1, 1.06))
    assert first(found).check is CurveCheck.DRIFT
    assert abs(first(found).step - 151) <= 30
    assert first(found).last == STEPS


def test_a_drift_that_grows_fails_at_the_end(values):
    found = against_seeds(values * (1 + 0.08 * TIMES / STEPS))
    assert {CurveCheck.DRIFT, CurveCheck.LEVEL} <= set(checks(found))
    assert finding(found, CurveCheck.DRIFT).step > STEPS // 4


@pytest.mark.parametrize("period", [2, 7, 40, 80])
def test_an_oscillation_fails_and_its_period_is_told(values, period):
    found = against_seeds(values * (1 + 0.05 * np.cos(2 * np.pi * TIMES / period)))
    assert first(found).check is CurveCheck.OSCILLATION
    assert first(found).detail == f"a period of {STEPS / round(STEPS / period):.3g} steps"
    assert not first(found).low <= first(found).value <= first(found).high


@pytest.mark.parametrize("size", [1e9, 3.5, 0.0, -1e9])
def test_a_spike_fails_and_is_nothing_else(values, size):
    values[120] = size
    found = against_seeds(values)
    assert checks(found) == [CurveCheck.SPIKE]
    assert (first(found).step, first(found).count, first(found).value) == (121, 1, size)


def test_the_furthest_of_several_spikes_is_told(values):
    values[[60, 120]] = 4.5, 1e6
    found = against_seeds(values)
    assert (first(found).step, first(found).count) == (61, 2)
    assert first(found).detail == "furthest at step 121: 1e+06"


def test_steps_outside_of_the_band_fail(values):
    values[120:130] *= 1.6
    found = against_seeds(values)
    one = finding(found, CurveCheck.POINTWISE)
    assert 121 <= one.step <= one.last <= 130


@pytest.mark.parametrize("window", [5, 20])
def test_a_moving_average_fails_as_too_smooth(values, window):
    padded = np.r_[np.full(window - 1, values[0]), values]
    found = against_seeds(np.convolve(padded, np.ones(window) / window, mode="valid"))
    one = first(found)
    assert one.check is CurveCheck.ROUGHNESS
    assert one.value < one.low


def test_more_noise_fails_as_too_rough(values):
    centre = np.mean([one.step_losses for one in seeds()], axis=0)
    found = against_seeds(centre + 2 * (values - centre))
    assert finding(found, CurveCheck.ROUGHNESS).value > finding(found, CurveCheck.ROUGHNESS).high


def test_a_slope_at_the_end_fails():
    values = losses(1) * np.where(TIMES < 180, 1, 1 + 0.003 * (TIMES - 180))
    found = against_seeds(values)
    one = finding(found, CurveCheck.SLOPE)
    assert one.value > one.high > one.low


def test_a_lag_is_told():
    centre = 2 + 4 * np.exp(-4 * TIMES / STEPS)
    quiet = [curve(centre * (1 + 0.004 * np.random.default_rng(seed).standard_normal(STEPS))) for seed in range(9)]
    late = np.r_[np.full(12, quiet[0].step_losses[0]), quiet[0].step_losses[:-12]] * 1.0001
    found = judge(curve(late), quiet[1:])
    assert finding(found, CurveCheck.DRIFT).detail.startswith("12 steps behind the recorded curves")


def test_a_loss_divided_by_the_accumulation_is_told_by_its_factor(values):
    found = against_seeds(values / 4)
    assert first(found).check is CurveCheck.DRIFT
    assert float(first(found).detail.split()[0]) == pytest.approx(0.25, rel=0.02)
    assert CurveCheck.ROUGHNESS not in checks(found)


def test_losses_below_and_at_zero_are_judged_too():
    rng = np.random.default_rng(0)
    sloping = [curve(-3 * TIMES / STEPS + 0.1 * rng.standard_normal(STEPS)) for _ in range(6)]
    assert judge(sloping[0], sloping[1:]).passed
    assert not judge(replace(sloping[0], step_losses=sloping[0].step_losses + 0.3), sloping[1:]).passed


@pytest.mark.parametrize("length", [1, 2, 3, 5, 10, 40])
def test_short_curves_are_judged(length):
    references = seeds(8, length)
    assert judge(curve(losses(1, length)), references).passed
    assert not judge(curve(2 * losses(1, length)), references).passed


def test_few_recorded_curves_allow_more_than_many():
    def allowed(count):
        one = finding(judge(curve(losses(1) * 1.5), seeds(count)), CurveCheck.LEVEL)
        return one.high - one.expected

    assert allowed(2) > 2 * allowed(8)


def test_a_long_curve_is_judged_and_a_stretch_of_it_found():
    length = 20_000
    references = seeds(8, length)
    values = losses(1, length)
    assert judge(curve(values), references).passed
    values[10_000:11_000] *= 1.08
    found = judge(curve(values), references)
    assert first(found).check is CurveCheck.DRIFT
    assert abs(first(found).step - 10_000) <= 200


def test_a_band_and_the_curves_are_drawn_with_few_points():
    found = against_seeds(losses(1))
    lines = {one.role: one for one in found.lines}
    assert list(lines) == ["candidate", "mean", "band"]
    band = lines["band"]
    assert all(low < high for low, high in zip(band.values, band.high, strict=True))
    assert band.steps[0] == 1
    assert band.steps[-1] == STEPS
    long = judge(curve(losses(1, 20_000)), seeds(3, 20_000))
    assert all(len(one.steps) <= 1000 for one in long.lines)


def test_what_was_recorded_is_drawn_to_its_end_where_the_curve_stops_early():
    stopped = curve(losses(1)[: STEPS // 2])
    lines = {one.role: one for one in judge(stopped, seeds(4)).lines}
    assert lines["candidate"].steps[-1] == STEPS // 2
    assert lines["mean"].steps[-1] == STEPS
    assert lines["band"].steps[-1] == STEPS // 2


def test_the_result_survives_plain_data():
    from dataclasses import asdict

    found = against_seeds(losses(1) * 1.1)
    assert CurveComparison.from_plain(asdict(found)) == found


def test_false_alarms_are_rare_where_noise_hangs_together():
    """Of 60 curves of ensembles of 3, 4 and 8, whose noise is correlated from step to step, none is refused."""
    refused = 0
    for count in (3, 4, 8):
        for trial in range(20):
            rng = np.random.default_rng((count, trial))
            noise = rng.standard_normal((count + 1, STEPS + 50))
            for step in range(1, STEPS + 50):
                noise[:, step] += 0.7 * noise[:, step - 1]
            level = 1 + 0.03 * noise[:, 50:] + 0.01 * rng.standard_normal((count + 1, 1))
            every = [curve(one) for one in (2 + 2 * np.exp(-TIMES / 40)) * level]
            refused += not judge(every[0], every[1:]).passed
    assert not refused
