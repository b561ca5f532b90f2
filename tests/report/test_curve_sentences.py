"""Training curves in words: each check's sentence, the first line, the table, and what a case's line says."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan

import pytest

from pytest_parity.report import failure_text, recorded_line, summary_line
from pytest_parity.report.curves import ANOTHER, UNASSERTED, curve_headline, curve_lines, curve_table, finding_sentence
from pytest_parity.report.moved import moved_lines
from pytest_parity.result import Comparison, CurveCheck, CurveComparison, CurveFinding, Moved, Recorded

PASSED = CurveComparison("loss", 300, 300, 5, "seeds", nearest="level", share=0.412)
FINDING = CurveFinding(CurveCheck.POINTWISE, 212, 260, 38, 2.41, 2.3, 2.25, 2.34, 1.9)
LEVEL = CurveFinding(CurveCheck.LEVEL, 271, 300, 30, 2.4123, 2.3, 2.25, 2.34, 1.4)


def finding(check: CurveCheck, **changes: object) -> CurveFinding:
    return replace(FINDING, check=check, **changes)  # type: ignore[arg-type]


def failed(*findings: CurveFinding, **changes: object) -> CurveComparison:
    return replace(PASSED, findings=findings or (FINDING,), nearest="", **changes)  # type: ignore[arg-type]


def case(*curves: CurveComparison) -> Comparison:
    return Comparison("nest/tiny", 0, 0, {}, {}, (), curves=curves)


MISSING = {"value": 212, "expected": 300, "low": 300, "high": 300, "share": inf}


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            finding(CurveCheck.MISSING, step=213, last=300, count=88, detail="it ends at step 212", **MISSING),
            "loss stops early: it ends at step 212, and what was recorded goes on to step 300 (88 of 300 steps are missing)",
        ),
        (
            finding(CurveCheck.MISSING, step=1, last=88, count=88, detail="it begins at step 89", **MISSING),
            "loss begins late: it begins at step 89, and what was recorded at step 1 (88 of 300 steps are missing)",
        ),
        (
            finding(CurveCheck.MISSING, step=41, last=41, count=1, **MISSING),
            "loss has no step 41 (1 of 300 steps is missing)",
        ),
        (
            finding(CurveCheck.MISSING, step=41, last=90, count=10, **MISSING),
            "loss has gaps between step 41 and 90: 10 of 300 steps are missing",
        ),
        (
            finding(CurveCheck.MISSING, detail=UNASSERTED, **MISSING),
            "loss was never asserted: the golden has 300 steps of it; call parity.assert_curve(losses, name='loss')",
        ),
        (
            finding(CurveCheck.MISSING, detail=ANOTHER, **MISSING),
            "loss is missing: what was recorded has 300 steps of it, and the other has no such curve",
        ),
        (
            finding(CurveCheck.EXTRA, step=301, last=320, count=20),
            "loss has 20 steps that the golden has not: steps 301 to 320",
        ),
        (
            finding(CurveCheck.ORDER, step=41, last=41, count=1, detail="after step 60"),
            "loss has its steps out of order: step 41 comes twice, or before one that it follows (after step 60)",
        ),
        (
            finding(CurveCheck.NONFINITE, value=nan, count=4, last=217, detail="4 NaN"),
            "loss is nan at step 212, where what was recorded is finite, and at 3 further steps up to 217 (4 NaN)",
        ),
        (
            finding(CurveCheck.REPEATED, step=201, last=220, detail="as from step 181"),
            (
                "loss repeats itself at steps 201 to 220: the losses of earlier steps, bit for bit (as from step 181); "
                "a resume that trained on the same batches again looks like this"
            ),
        ),
        (
            finding(CurveCheck.PRECISION, detail="every value is a bfloat16, of 8 significant bits"),
            "loss has lost precision that what was recorded has: every value is a bfloat16, of 8 significant bits",
        ),
        (
            finding(CurveCheck.SPIKE, count=1, last=212, value=1e9),
            "loss jumps at step 212: 1e+09 where the 5 recorded runs allow 2.25 to 2.34",
        ),
        (
            FINDING,
            (
                "loss leaves the band at step 212: 2.41 where the 5 recorded runs allow 2.25 to 2.34, "
                "and at 37 further steps up to 260"
            ),
        ),
        (
            LEVEL,
            "loss ends 4.9 % too high: the mean of its last 30 steps is 2.41 where the 5 recorded runs allow 2.25 to 2.34",
        ),
        (
            finding(CurveCheck.DRIFT, value=2.2),
            "loss stays below what was recorded from step 212 to 260: 2.2 where the 5 recorded runs allow 2.25 to 2.34",
        ),
        (
            finding(CurveCheck.OSCILLATION, detail="a period of 20 steps"),
            (
                "loss swings around what was recorded, from step 212 to 260: 2.41 where the 5 recorded runs allow 2.25 to 2.34 "
                "(a period of 20 steps)"
            ),
        ),
        (
            finding(CurveCheck.ROUGHNESS, value=0.01, expected=0.03, low=0.02, high=0.04),
            "loss is smoother from step to step than what was recorded: 0.01 where the 5 recorded runs allow 0.02 to 0.04",
        ),
        (
            finding(CurveCheck.SLOPE, value=-0.01, expected=-0.03, low=-0.04, high=-0.02),
            "loss falls more slowly at its end than what was recorded: -0.01 where the 5 recorded runs allow -0.04 to -0.02",
        ),
    ],
    ids=lambda one: one.check.value if isinstance(one, CurveFinding) else "",
)
def test_each_check_has_a_sentence(found: CurveFinding, sentence: str) -> None:
    assert finding_sentence(found, failed(found)) == sentence


def test_every_check_is_in_this_table() -> None:
    for check in CurveCheck:
        assert finding_sentence(finding(check), PASSED)


def test_numbers_have_as_many_digits_as_it_takes_to_see_what_is_outside() -> None:
    close = replace(FINDING, value=2.34004, high=2.34, count=1, last=212)
    assert "2.34004 where the 5 recorded runs allow 2.25 to 2.34" in finding_sentence(close, failed(close))


def test_one_recorded_run_is_no_band() -> None:
    found = replace(PASSED, references=1, origin="tolerance")
    one = replace(FINDING, count=1, last=212)
    assert finding_sentence(one, found) == "loss is off at step 212: 2.41 where the recorded 2.3 allows 2.25 to 2.34"
    exact = replace(one, low=2.3, high=2.3, expected=2.3)
    assert finding_sentence(exact, found) == "loss is off at step 212: 2.41 where 2.3 was recorded"
    assert curve_headline(found).startswith("loss: 300 steps within the tolerance around the recorded run, nearest: ")


def test_the_first_line_says_where_it_leaves_the_band_and_where_it_ends() -> None:
    assert failure_text(case(failed(FINDING, LEVEL))).splitlines()[0] == (
        "nest/tiny: loss leaves the band at step 212: 2.41 where the 5 recorded runs allow 2.25 to 2.34, "
        "and at 37 further steps up to 260; its last 30 steps are 4.9 % too high on average"
    )


def test_a_wave_leads_only_where_most_of_the_distance_is_one() -> None:
    wave = finding(CurveCheck.OSCILLATION, share=10.0)
    assert "swings" in curve_headline(failed(wave, FINDING))
    assert "leaves the band" in curve_headline(failed(wave, replace(FINDING, share=6.0)))


def test_a_drift_does_not_hide_the_step_at_which_the_band_is_left() -> None:
    drift = finding(CurveCheck.DRIFT, share=100.0)
    headline = curve_headline(failed(drift, LEVEL, FINDING))
    assert headline.startswith("loss leaves the band at step 212")
    assert headline.endswith("its last 30 steps are 4.9 % too high on average")
    assert curve_headline(failed(drift, LEVEL)).startswith("loss stays above what was recorded from step 212")


def test_the_table_has_a_row_for_each_finding() -> None:
    assert curve_table(failed(FINDING, LEVEL)) == [
        "check      steps                 value  allowed       of what is allowed",
        "pointwise  212-260 (38 of them)  2.41   2.25 to 2.34  1.9 times",
        "level      271-300               2.41   2.25 to 2.34  1.4 times",
    ]


def test_what_passes_says_how_near_it_came() -> None:
    assert summary_line(case(PASSED)) == (
        "nest/tiny: 1 of 1 curve compared: 300 steps within the band of 5 recorded runs, "
        "nearest: level at 0.412 of what is allowed"
    )
    equal = replace(PASSED, equal=True, nearest="", share=0.0)
    assert curve_headline(equal) == "loss: 300 steps, bit for bit those of one of the 5 recorded runs"


def test_of_several_curves_the_nearest_is_told() -> None:
    assert summary_line(case(replace(PASSED, share=0.1), replace(PASSED, name="validation"))) == (
        "nest/tiny: 2 of 2 curves compared; nearest to its bound is validation: 300 steps within the band of 5 recorded runs, "
        "nearest: level at 0.412 of what is allowed"
    )


def test_every_curve_that_fails_is_told_below() -> None:
    text = failure_text(case(failed(), PASSED, failed(LEVEL, name="validation")))
    assert "\nvalidation ends 4.9 % too high" in text
    assert "3 of 3 curves compared: 2 fail" in text
    assert "sites compared" not in text


def test_the_notes_of_a_curve_that_fails_are_told() -> None:
    found = failed(notes=("one recorded curve has no band",))
    assert "  one recorded curve has no band" in list(curve_lines(case(found)))


def test_what_became_of_a_recorded_curve_is_told() -> None:
    equal = replace(PASSED, equal=True)
    gone = failed(finding(CurveCheck.MISSING, detail=ANOTHER, **MISSING), name="old", compared=0)
    lines = moved_lines(Moved({}, curves=(equal, gone, failed(name="validation"))))
    assert lines[:2] == ["  curve loss: equal", "  curve old: gone"]
    assert lines[2].startswith("  curve validation leaves the band at step 212")


def test_equal_sites_do_not_say_that_nothing_moved_where_a_curve_did() -> None:
    sites = "4 sites equal to the golden that was there"
    assert moved_lines(Moved({"equal": 4}, curves=(failed(),)))[0] == f"  {sites}"
    assert moved_lines(Moved({"equal": 4}, curves=(replace(PASSED, equal=True),)))[0] == f"  nothing moved: {sites}"


def test_a_recording_counts_its_curves() -> None:
    recorded = Recorded("nest/tiny", (), 0, 3200, "golden/nest/tiny", curves=("loss",))
    assert recorded_line(recorded) == "nest/tiny: recorded 1 curve, 3.2 kB, to golden/nest/tiny"
    both = replace(recorded, steps=(0,), sites=4)
    assert recorded_line(both) == "nest/tiny: recorded 4 sites in step 0 and 1 curve, 3.2 kB, to golden/nest/tiny"


def test_a_comparison_of_curves_survives_json() -> None:
    found = case(failed(FINDING, LEVEL), PASSED)
    assert Comparison.from_plain(json.loads(json.dumps(found.to_plain()))) == found


def test_nothing_compared_is_never_green() -> None:
    assert case(PASSED).passed
    assert not case().passed
    assert not case(replace(PASSED, compared=0)).passed
    assert not case(PASSED, failed()).passed
