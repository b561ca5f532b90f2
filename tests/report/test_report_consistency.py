"""What a consistency report may claim: a mark stands where a comparison could have failed, and nowhere else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from pytest_parity.contract.config import Change, ConfigComparison, KeyCompared
from pytest_parity.contract.effects import Effect
from pytest_parity.report.consistency import (
    DIFFERS,
    KINDS,
    NOT_MEASURED,
    SAME,
    Consistency,
    Evidence,
    findings,
    status_of,
)
from pytest_parity.report.consistency_text import consistency_lines, consistency_markdown, verdict_words
from pytest_parity.report.survey import KindFound, Survey
from pytest_parity.result import Comparison, Delta, Difference, Verdict


def comparison(kinds: dict[str, int], *deltas: Delta, expected: int | None = None, close: int = 0) -> Comparison:
    missing = sum(delta.verdict is Verdict.MISSING for delta in deltas)
    compared = sum(kinds.values())
    counts = Counter(str(delta.verdict) for delta in deltas)
    counts["close"] += close
    counts["equal"] += compared - sum(counts.values()) + missing
    return Comparison(
        "case",
        compared + missing if expected is None else expected,
        compared,
        {verdict: count for verdict, count in counts.items() if count},
        kinds,
        tuple(deltas),
        steps=(0, 1),
    )


def delta(site: str, verdict: Verdict) -> Delta:
    return Delta(site, 0, 0, verdict)


def marks(*comparisons: Comparison) -> dict[str, str]:
    all_of = Consistency(evidence=tuple(Evidence("check", one) for one in comparisons))
    return {one.title: one.mark for one in findings(all_of)}


def said(*comparisons: Comparison) -> dict[str, tuple[str, str]]:
    all_of = Consistency(evidence=tuple(Evidence("check", one) for one in comparisons))
    return {one.title: (one.measured, one.found) for one in findings(all_of)}


def test_nothing_asked_for_is_nothing_measured_and_status_2():
    found = findings(Consistency())
    assert {one.mark for one in found} == {NOT_MEASURED}
    assert [one.title for one in found] == ["configuration", "structure", *KINDS, "all that was asked for"]
    assert status_of(found) == 2


def test_only_the_kinds_that_were_compared_have_a_mark():
    assert marks(comparison({"loss": 2, "activation": 3})) == {
        "configuration": NOT_MEASURED,
        "structure": NOT_MEASURED,
        "data": NOT_MEASURED,
        "weights at a step's start": NOT_MEASURED,
        "forward": SAME,
        "loss": SAME,
        "gradients": NOT_MEASURED,
        "update": NOT_MEASURED,
        "all that was asked for": SAME,
    }


@pytest.mark.parametrize(
    "verdict", [Verdict.DIFFERS, Verdict.SHAPE, Verdict.DTYPE, Verdict.NONFINITE, Verdict.EXTRA, Verdict.EMPTY]
)
def test_one_site_that_fails_marks_its_section(verdict: Verdict):
    found = marks(comparison({"loss": 2, "gradient": 300}, delta("gradient/a.weight", verdict)))
    assert (found["gradients"], found["loss"]) == (DIFFERS, SAME)


def test_what_is_missing_differs_even_where_nothing_of_the_kind_was_compared():
    found = comparison({"loss": 1}, delta("updated_weight/a.weight", Verdict.MISSING))
    assert marks(found)["update"] == DIFFERS
    assert said(found)["update"] == ("", "1 missing; updated_weight/a.weight in step 0 is one")
    assert said(found)["all that was asked for"] == (
        "1 of 2 sites compared",
        "check: 1 site of the reference not compared",
    )
    assert marks(found)["all that was asked for"] == DIFFERS


@pytest.mark.parametrize("verdict", [Verdict.VACUOUS, Verdict.BELOW_NOISE])
def test_what_could_hardly_have_failed_earns_no_mark(verdict: Verdict):
    weak = delta("gradient/a.weight", verdict)
    alone = comparison({"gradient": 1, "loss": 1}, weak)
    assert marks(alone)["gradients"] == NOT_MEASURED
    assert said(alone)["gradients"] == ("", "1 site vacuous or below the noise floor")
    beside = said(comparison({"gradient": 2, "loss": 1}, weak))["gradients"]
    assert beside == ("1 gradient in steps 0-1", "within what is allowed; 1 site vacuous or below the noise floor")


def test_what_a_check_gives_the_candidate_earns_no_mark():
    found = comparison({"weight": 9, "optimizer": 4, "updated_weight": 9})
    assert marks(found)["weights at a step's start"] == NOT_MEASURED
    assert said(found)["weights at a step's start"] == ("", "9 weights given by the check")
    assert said(found)["update"] == (
        "9 updated weights in steps 0-1",
        "equal bit for bit; 4 optimizer states given by the check",
    )
    failing = comparison({"weight": 9}, delta("weight/a", Verdict.DIFFERS))
    assert marks(failing)["weights at a step's start"] == DIFFERS
    survey = Survey("a", "b", (0,), (0,), found, kinds=(KindFound("weight", 9, {"equal": 9}),))
    recordings = findings(Consistency(evidence=(Evidence("recordings", found, survey),)))
    assert {one.title: one.mark for one in recordings}["weights at a step's start"] == SAME


def test_an_optimizer_that_is_set_differently_is_not_the_same_because_a_step_hides_it():
    decay = Difference("optimizer", "weight_decay", "0.001", "0", "AdamW")
    close = replace(comparison({"updated_weight": 9}, close=1), differences=(decay,))
    assert close.passed
    assert marks(close)["update"] == DIFFERS
    assert said(close)["update"][1] == (
        "within what is allowed, but set differently: weight_decay 0, 0.001 in the reference"
    )
    equal = replace(comparison({"updated_weight": 9}), differences=(decay,))
    assert marks(equal)["update"] == SAME  # another name for what computes the same
    constant = replace(decay, about="constant")
    assert marks(replace(close, differences=(constant,)))["update"] == SAME


def test_bit_for_bit_is_said_only_where_it_is_known():
    assert said(comparison({"loss": 2}))["loss"] == ("2 losses in steps 0-1", "equal bit for bit")
    assert said(comparison({"loss": 2, "gradient": 2}, close=1))["loss"][1] == "within what is allowed"


def test_a_comparison_that_is_not_complete_is_never_all_the_same():
    """More was recorded than compared, and no site says why: it did not pass."""
    short = comparison({"loss": 2}, expected=5)
    assert not short.passed
    assert marks(short)["all that was asked for"] == DIFFERS
    assert status_of(findings(Consistency(evidence=(Evidence("check", short),)))) == 1


@pytest.mark.parametrize("excepted", ["ignored", "uncovered", "unobservable"])
def test_what_is_excepted_by_name_was_not_all_compared(excepted: str):
    found = comparison({"loss": 2}, expected=46)
    found = replace(found, counts={**found.counts, excepted: 44})
    assert found.passed
    assert marks(found)["all that was asked for"] == NOT_MEASURED
    assert said(found)["all that was asked for"] == ("", f"2 of 46 sites compared: 44 {excepted}")
    assert status_of(findings(Consistency(evidence=(Evidence("check", found),)))) == 0


def test_keys_that_are_compared_as_written_are_counted_beside_the_mark():
    keys = (KeyCompared("a", Change.SAME, "???", "???", Effect.MAY, ""),)
    told = findings(Consistency(ConfigComparison("a.yaml", "b.yaml", keys, {}, {"a": "it has to be given"})))[0]
    assert (told.mark, told.found) == (SAME, "all the same, 1 as written: the files alone do not tell their values")
    assert findings(Consistency(ConfigComparison("a.yaml", "b.yaml", keys)))[0].found == "all the same"


def test_a_failing_check_marks_the_section_whatever_another_one_says():
    good, bad = comparison({"loss": 1}), comparison({"loss": 1}, delta("loss/loss", Verdict.DIFFERS))
    assert marks(good, bad)["loss"] == marks(bad, good)["loss"] == DIFFERS


def test_an_empty_comparison_measures_nothing():
    empty = Comparison("case", 0, 0, {}, {}, ())
    assert set(marks(empty).values()) == {NOT_MEASURED}


def test_markdown_ticks_exactly_what_is_the_same():
    all_of = Consistency(
        evidence=(Evidence("check", comparison({"loss": 1, "gradient": 2}, delta("gradient/a", Verdict.DIFFERS))),)
    )
    text = consistency_markdown(all_of, preface="By hand.\n", command="parity consistency --check a.json")
    rows = [line for line in text.splitlines() if line.endswith(("✅ same |", "❌ differs |", "not measured |"))]
    assert [row.split("|")[1].strip() for row in rows if "✅" in row] == ["loss", "all that was asked for"]
    assert [row.split("|")[1].strip() for row in rows if "❌" in row] == ["gradients"]
    assert text.count("✅") == 2
    assert "\nBy hand.\n" in text
    assert "$ parity consistency --check a.json\n" in text
    assert text.count("\nNot measured.\n") == 2  # configuration, structure


def test_the_terminal_says_it_in_a_line_first():
    all_of = Consistency(evidence=(Evidence("check", comparison({"loss": 1})),))
    lines = list(consistency_lines(all_of))
    assert lines[0] == verdict_words(findings(all_of))
    assert lines[0].startswith("the same: loss, all that was asked for; not measured: configuration, structure, data")
