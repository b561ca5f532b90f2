"""What was not as in the golden's run, in words."""

from __future__ import annotations

from dataclasses import replace

from pytest_parity.report import failure_text, note_lines
from pytest_parity.report.environment import character_lines, difference_lines, difference_words, passing_words
from pytest_parity.result import Character, Comparison, Diagnosis, Difference, Fault

NOTHING = Comparison("case", 1, 1, {"differs": 1}, {}, ())
DRIFT = Character(drift=True, moved=12, sites=15, before=1e-7, here=3e-6)
JUMP = Character(drift=False, moved=9, sites=15, before=0.0, here=0.01, site="activation/encoder.norm#0")


def eps(where: str, **options) -> Difference:
    return Difference("constant", "eps", "1e-05", "0.001", where, **options)


def test_nothing_is_said_of_nothing():
    assert [*character_lines(NOTHING), *difference_lines(NOTHING), *difference_words(NOTHING)] == []


def test_drift():
    (line,) = character_lines(replace(NOTHING, character=DRIFT, environment={"threads": ("1", "2")}))
    assert line == (
        "this looks like drift: 12 of 15 sites moved a little, none by much more than those before it (by 1e-07 to 3e-06 of "
        "its norm), and the environment is not the golden's"
    )


def test_drift_of_one_size_and_in_floors():
    (line,) = character_lines(replace(NOTHING, character=replace(DRIFT, before=12.0, here=12.0, floors=True)))
    assert "(by 12 times the noise floor)" in line


def test_a_regression():
    (line,) = character_lines(replace(NOTHING, character=JUMP))
    assert line == (
        "this looks like a regression: sites before encoder.norm agree, and it moves by 0.01 of its norm, and the "
        "environment is the golden's"
    )


def test_a_regression_in_another_environment():
    found = replace(
        NOTHING,
        character=replace(JUMP, before=1.2, here=850.0, floors=True),
        environment={"threads": ("1", "2")},
    )
    (line,) = character_lines(found)
    assert line == (
        "this looks like a regression: sites before encoder.norm move by at most 1.2, and it moves by 850 times the noise "
        "floor, which is more than the environment here explains"
    )


def test_settings_of_the_culprit_then_the_environment_then_all_else():
    found = replace(
        NOTHING,
        environment={"threads": ("1", "2")},
        differences=(
            Difference("config", "model.p", "0.1", "0.2", likely=True),
            eps("norm", likely=True),
            Difference("optimizer", "lr", "0.1", "0.2", "SGD"),
            eps("other"),
        ),
    )
    assert list(difference_lines(found)) == [
        "not as in the golden's run, the likeliest explanation first:",
        "  model.p in the configuration: 0.2 here, 0.1 in the golden",
        "  eps of norm, other: 0.001 here, 1e-05 in the golden",
        "  threads: 2 here, 1 in the golden",
        "  lr of SGD: 0.2 here, 0.1 in the golden",
    ]
    assert difference_words(found) == [
        "model.p in the configuration 0.2 (golden: 0.1)",
        "eps of norm, other 0.001 (golden: 1e-05)",
        "threads 2 (golden: 1)",
        "lr of SGD 0.2 (golden: 0.1)",
    ]


def test_many_modules_and_many_differences_stay_short():
    found = replace(NOTHING, differences=tuple(eps(f"norm{place}") for place in range(40)))
    assert list(difference_lines(found))[1:] == [
        "  eps of norm0, norm1, norm2 and 37 more: 0.001 here, 1e-05 in the golden"
    ]
    found = replace(NOTHING, environment={f"switch {place}": ("off", "on") for place in range(15)})
    lines = list(difference_lines(found))
    assert len(lines) == 14
    assert lines[-1] == "  and 3 more"


def test_what_a_hint_has_said_is_not_said_again():
    found = replace(
        NOTHING,
        differences=(Difference("optimizer", "lr", "0.1", "0.2", "SGD", likely=True),),
        diagnosis=Diagnosis(
            Fault.UPDATE, "updated_weight/w", 0, "SGD", "SGD", hints=("lr is 0.2, the golden's run had 0.1",)
        ),
    )
    assert list(difference_lines(found)) == []
    assert difference_words(found) == ["lr of SGD 0.2 (golden: 0.1)"]


def test_they_end_the_text_of_a_failure():
    found = replace(NOTHING, character=JUMP, differences=(eps("norm"),))
    assert failure_text(found).split("\n")[-3:] == [
        *character_lines(found),
        "not as in the golden's run:",  # none of it belongs to what diverges
        "  eps of norm: 0.001 here, 1e-05 in the golden",
    ]


def test_all_of_it_survives_the_way_to_the_controller():
    found = replace(NOTHING, character=JUMP, differences=(eps("norm", likely=True),))
    assert Comparison.from_plain(found.to_plain()) == found


def test_an_optimizer_set_otherwise_is_said_where_nothing_fails():
    passed = replace(
        NOTHING, differences=(Difference("optimizer", "weight_decay", "0.001", "0.0", "AdamW"), eps("norm"))
    )
    assert passing_words(passed) == (
        "set otherwise than in the golden's run, and no site shows it: weight_decay of AdamW 0.0 (golden: 0.001)"
    )
    assert f"  {passing_words(passed)}" in note_lines(passed)
    assert passing_words(replace(NOTHING, differences=(eps("norm"),))) == ""
