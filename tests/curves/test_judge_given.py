from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judged_curves import STEPS, against_seeds, checks, curve, first, losses, seeds

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.judge import judge
from pytest_parity.errors import UsageError
from pytest_parity.result.curve import CurveCheck


def epochs(seed, length=6, **fields) -> Curve:
    rng = np.random.default_rng(seed)
    values = (2 + 2 * np.exp(-np.arange(length) / 2)) * (1 + 0.005 * rng.standard_normal(length))
    return Curve("run", epochs=np.arange(1, length + 1), epoch_losses=values, **fields)


def test_one_recorded_curve_has_no_band_and_nothing_but_its_bits_passes():
    recorded = seeds(1)
    assert judge(recorded[0], recorded).equal
    found = judge(curve(losses(1)), recorded)
    assert not found.passed
    assert checks(found) == [CurveCheck.POINTWISE]
    (note,) = found.notes
    assert note == (
        "one recorded curve has no band: how far another run may be off is not known, and only its own bits pass; "
        "record several seeds, or give rtol="
    )


def test_one_recorded_curve_and_a_step_missing_says_both():
    values = losses(1)
    part = replace(curve(values), steps=np.arange(1, STEPS), step_losses=values[:-1])
    assert checks(judge(part, seeds(1))) == [CurveCheck.MISSING, CurveCheck.POINTWISE]


def test_rtol_allows_so_much_at_each_step():
    recorded = seeds(1)
    near = recorded[0].step_losses * 1.04
    found = judge(curve(near), recorded, rtol=0.05)
    assert found.passed
    assert found.origin == "tolerance"
    assert found.share == pytest.approx(0.8)
    near[70] *= 1.03
    found = judge(curve(near), recorded, rtol=0.05)
    assert (first(found).check, first(found).step, first(found).count) == (CurveCheck.POINTWISE, 71, 1)
    assert first(found).high == pytest.approx(recorded[0].step_losses[70] * 1.05)


@pytest.mark.parametrize("count", [1, 3])
def test_rtol_does_not_excuse_nan_or_a_missing_end(count):
    recorded = seeds(count)
    values = recorded[0].step_losses.copy()
    values[5] = np.nan
    part = replace(recorded[0], steps=recorded[0].steps[:-1], step_losses=values[:-1])
    assert checks(judge(part, recorded, rtol=10.0)) == [CurveCheck.NONFINITE, CurveCheck.MISSING]


def test_rtol_does_not_excuse_a_wave_or_a_spike():
    recorded, times = seeds(1), np.arange(STEPS)
    waved = losses(1) * (1 + 0.05 * np.cos(2 * np.pi * times / 6))
    assert first(judge(curve(waved), recorded, rtol=0.9)).check is CurveCheck.OSCILLATION
    spiked = losses(1)
    spiked[100] *= 1.8
    assert checks(judge(curve(spiked), recorded, rtol=0.9)) == [CurveCheck.SPIKE]


def test_rtol_does_not_excuse_a_moving_average():
    values = losses(1)
    smooth = np.convolve(np.r_[np.full(9, values[0]), values], np.ones(10) / 10, mode="valid")
    assert CurveCheck.ROUGHNESS in checks(judge(curve(smooth), seeds(1), rtol=0.9))


@pytest.mark.parametrize("seed", range(10))
def test_other_seeds_pass_a_wide_rtol(seed):
    found = judge(curve(losses(seed)), seeds(1), rtol=0.4)
    assert found.passed, found.findings


@pytest.mark.parametrize("rtol", [0.0, -1.0, float("nan"), float("inf")])
def test_an_rtol_that_is_none_is_refused(rtol):
    with pytest.raises(UsageError, match="loss: rtol is a number above 0"):
        judge(curve(losses(1)), seeds(2), rtol=rtol)


def test_identical_recorded_curves_allow_rounding_only_and_say_so():
    recorded = [curve(losses(5))] * 3
    near = judge(curve(losses(5) * (1 + 3e-8)), recorded)
    assert near.passed
    assert "all 3 recorded curves have the same step losses, bit for bit" in near.notes[0]
    assert not judge(curve(losses(5) * 1.001), recorded).passed
    assert not judge(curve(losses(6)), recorded).passed


def test_no_recorded_curve_is_refused():
    with pytest.raises(UsageError, match="loss: no recorded curve to judge run by; record one first"):
        judge(curve(losses(1)), [])


def test_an_unknown_origin_is_refused():
    with pytest.raises(UsageError, match="origin is one of seeds, draws, not 'runs'"):
        judge(curve(losses(1)), seeds(), origin="runs")


def test_recorded_curves_of_different_lengths_are_refused():
    short = curve(losses(3)[:-10])
    with pytest.raises(
        UsageError, match=r"run 240 from 1 to 240, run 230 from 1 to 230; record them again, all to the end"
    ):
        judge(curve(losses(1)), [*seeds(2), short])


def test_a_recorded_curve_out_of_order_is_refused():
    double = replace(seeds()[0], steps=np.r_[np.arange(1, STEPS), STEPS - 1])
    with pytest.raises(UsageError, match="run has step 239 after 239; a golden has every step once"):
        judge(curve(losses(1)), [double])


def test_recorded_curves_without_a_finite_step_are_refused():
    with pytest.raises(UsageError, match="no step at which all are finite"):
        judge(curve(losses(1)), [curve(np.full(STEPS, np.nan))] * 2)


def test_recorded_curves_without_losses_are_refused():
    with pytest.raises(UsageError, match="the recorded curves have no losses"):
        judge(curve(losses(1)), [Curve("empty")])


def test_losses_of_another_unit_are_refused():
    nats = [replace(one, unit="nats/token") for one in seeds()]
    with pytest.raises(UsageError, match="the loss of run is in 'bits/token', the recorded one in 'nats/token'"):
        judge(curve(losses(1), unit="bits/token"), nats)
    with pytest.raises(UsageError, match="of 2 units, 'nats/token', 'bits/token'"):
        judge(curve(losses(1)), [*nats, replace(nats[0], unit="bits/token")])
    assert judge(curve(losses(1), unit="nats/token"), nats).unit == "nats/token"
    assert judge(curve(losses(1)), nats).passed


def test_a_curve_of_epochs_alone_is_judged_by_them():
    recorded = [epochs(seed) for seed in range(6)]
    found = judge(epochs(9), recorded)
    assert found.passed
    assert (found.compared, found.expected) == (6, 6)
    worse = replace(epochs(9), epoch_losses=epochs(9).epoch_losses * 1.2)
    assert "of the epoch losses" in first(judge(worse, recorded)).detail
    short = replace(epochs(9), epochs=np.arange(1, 6), epoch_losses=epochs(9).epoch_losses[:5])
    assert checks(judge(short, recorded)) == [CurveCheck.MISSING]


def test_epoch_losses_are_judged_besides_the_steps():
    def both(seed, factor=1.0):
        one = epochs(seed)
        return replace(curve(losses(seed)), epochs=one.epochs, epoch_losses=one.epoch_losses * factor)

    recorded = [both(seed) for seed in range(10, 18)]
    assert judge(both(1), recorded).passed
    found = judge(both(1, 1.2), recorded)
    assert all(one.detail.startswith("of the epoch losses") for one in found.findings)
    assert not found.passed


def test_steps_that_were_recorded_are_demanded_of_a_curve_of_epochs():
    found = against_seeds(epochs(1))
    assert first(found).check is CurveCheck.MISSING
    assert not found.passed
