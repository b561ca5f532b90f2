from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judged_curves import STEPS, against_seeds, checks, curve, first, losses, seeds, without

from pytest_parity.curves.judge import judge
from pytest_parity.result.curve import CurveCheck


@pytest.fixture
def fresh():
    return curve(losses(1))


def test_another_seed_passes(fresh):
    found = against_seeds(fresh)
    assert found.passed
    assert (found.compared, found.expected, found.references, found.origin) == (STEPS, STEPS, 8, "seeds")
    assert 0 < found.share < 1
    assert found.nearest


def test_a_recorded_curve_itself_is_equal():
    found = against_seeds(seeds()[3])
    assert found.passed
    assert found.equal


def test_a_recorded_curve_with_one_bit_changed_is_not_equal():
    values = seeds()[3].step_losses.copy()
    values[7] = np.nextafter(values[7], 0)
    found = against_seeds(values)
    assert found.passed
    assert not found.equal


@pytest.mark.parametrize("recorded", [True, False])
def test_nan_at_one_step_fails_and_says_where(recorded):
    values = (seeds()[0].step_losses if recorded else losses(1)).copy()
    values[139] = np.nan
    found = against_seeds(values)
    assert checks(found) == [CurveCheck.NONFINITE]
    assert (first(found).step, first(found).count, first(found).detail) == (140, 1, "1 NaN")
    assert found.compared == STEPS - 1


def test_an_infinite_loss_fails(fresh):
    fresh.step_losses[3] = np.inf
    assert first(against_seeds(fresh)).detail == "1 infinite"


def test_what_was_not_finite_in_the_recorded_curves_is_not_judged_and_said(fresh):
    references = seeds()
    references[2].step_losses[10] = np.nan
    found = judge(fresh, references)
    assert found.passed
    assert found.compared == STEPS - 1
    assert found.notes == ("1 step is not judged, the first 11: not every recorded curve is finite there",)


@pytest.mark.parametrize(
    ("kept", "step", "detail"),
    [
        (slice(0, 216), 217, "it ends at step 216"),
        (slice(0, -1), 240, "it ends at step 239"),
        (slice(1, None), 1, "it begins at step 2"),
    ],
)
def test_a_part_that_is_missing_fails_and_says_what(fresh, kept, step, detail):
    part = replace(fresh, steps=fresh.steps[kept], step_losses=fresh.step_losses[kept])
    found = against_seeds(part)
    assert checks(found) == [CurveCheck.MISSING]
    assert (first(found).step, first(found).detail) == (step, detail)
    assert first(found).value == found.compared


def test_one_step_missing_in_the_middle_fails(fresh):
    found = against_seeds(without(fresh, 99))
    assert checks(found) == [CurveCheck.MISSING]
    assert (first(found).step, first(found).count) == (100, 1)


def test_no_steps_at_all_fail(fresh):
    found = against_seeds(replace(fresh, steps=fresh.steps[:0], step_losses=fresh.step_losses[:0]))
    assert not found.passed
    assert found.compared == 0
    assert first(found).detail == "all of them"


def test_steps_that_nobody_recorded_fail(fresh):
    longer = curve(np.append(fresh.step_losses, 2.0123))
    found = against_seeds(longer)
    assert checks(found) == [CurveCheck.EXTRA]
    assert first(found).step == STEPS + 1


def test_numbering_from_zero_fails(fresh):
    found = against_seeds(replace(fresh, steps=fresh.steps - 1))
    assert checks(found) == [CurveCheck.MISSING, CurveCheck.EXTRA]


def test_steps_out_of_order_fail(fresh):
    places = np.arange(STEPS)
    places[[50, 51]] = 51, 50
    found = against_seeds(replace(fresh, steps=fresh.steps[places], step_losses=fresh.step_losses[places]))
    assert checks(found) == [CurveCheck.ORDER]
    assert (first(found).step, first(found).count) == (51, 1)


def test_steps_that_come_again_after_a_resume_fail_and_the_later_ones_are_judged(fresh):
    steps, values = (np.r_[one[:160], one[150:]] for one in (fresh.steps, fresh.step_losses))
    values[155] = 1e9
    found = against_seeds(replace(fresh, steps=steps, step_losses=values))
    assert first(found).check is CurveCheck.ORDER
    assert (first(found).step, first(found).last, first(found).count) == (151, 160, 10)
    assert first(found).detail == "after step 160; 10 of them a second time, 9 with the value of the first"
    assert CurveCheck.SPIKE not in checks(found)


def test_batches_that_come_again_under_new_numbers_fail(fresh):
    values = np.r_[fresh.step_losses[:160], fresh.step_losses[150:]][:STEPS]
    found = against_seeds(values)
    assert checks(found) == [CurveCheck.REPEATED]
    assert (first(found).step, first(found).count, first(found).detail) == (161, 10, "as from step 151 on")


def test_a_loss_that_stands_still_fails(fresh):
    fresh.step_losses[100:110] = fresh.step_losses[99]
    found = against_seeds(fresh)
    assert checks(found) == [CurveCheck.REPEATED]
    assert first(found).detail == "the same value again and again"


def test_two_equal_losses_are_chance(fresh):
    fresh.step_losses[100] = fresh.step_losses[99]
    assert against_seeds(fresh).passed


def test_repetitions_that_rounded_curves_have_are_no_failure():
    references = [curve(one.step_losses.round(1)) for one in seeds()]
    assert judge(curve(losses(1).round(1)), references).passed


def test_losses_in_half_precision_fail_where_the_golden_has_more(fresh):
    half = fresh.step_losses.astype(np.float16)
    found = against_seeds(half)
    assert checks(found) == [CurveCheck.PRECISION]
    assert first(found).detail == "every value is a float16, of 11 significant bits"


def test_losses_in_half_precision_pass_where_the_golden_has_them_too(fresh):
    references = [curve(one.step_losses.astype(np.float16)) for one in seeds()]
    assert judge(curve(fresh.step_losses.astype(np.float16)), references).passed
