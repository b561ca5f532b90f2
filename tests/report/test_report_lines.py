"""The line that a case gets in the terminal's summary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_parity.report import note_lines, recorded_line, summary_line
from pytest_parity.result import Comparison, Delta, Diagnosis, Fault, Recorded, Verdict

PASSED = Comparison("nest/tiny", 1236, 1236, {"close": 36, "equal": 1200}, {"loss": 3}, (), steps=(0, 1, 2))
FAILING = Delta("activation/encoder.layers.1.conv#0/out", 0, 7, Verdict.DIFFERS)


def test_a_case_that_passes():
    assert summary_line(PASSED) == "nest/tiny: 1,236 of 1,236 sites compared in steps 0-2: 1,200 equal, 36 close"


def test_a_case_without_steps():
    line = summary_line(replace(PASSED, case="nest/full", steps=(), counts={"equal": 1}, expected=1, compared=1))
    assert line == "nest/full: 1 of 1 site compared: 1 equal"


def test_a_case_that_fails_names_the_module():
    diagnosis = Diagnosis(Fault.MODULE, FAILING.site, 0, "encoder.blocks.1.conv", "encoder.layers.1.conv")
    failed = replace(PASSED, counts={"equal": 1235, "differs": 1}, deltas=(FAILING,), diagnosis=diagnosis)
    assert summary_line(failed) == (
        "nest/tiny: FAILED: 1,236 of 1,236 sites compared in steps 0-2: 1,235 equal, 1 differs; first: "
        "encoder.blocks.1.conv is the first module whose output differs while its inputs agree "
        "(reference: encoder.layers.1.conv)"
    )


def test_a_case_that_fails_without_a_diagnosis():
    failed = replace(PASSED, counts={"equal": 1235, "differs": 1}, deltas=(FAILING,))
    assert summary_line(failed).startswith("nest/tiny: FAILED: 1,236 of 1,236 sites compared in steps 0-2: ")


def test_a_case_that_compared_nothing_is_marked():
    assert summary_line(Comparison("a", 3, 0, {}, {}, ())) == "a: FAILED: 0 of 3 sites compared: nothing"


@pytest.mark.parametrize(
    ("recorded", "line"),
    [
        (
            Recorded("nest/tiny", (0, 1, 2), 1236, 12_345_678, "golden/nest/tiny"),
            "nest/tiny: recorded 1,236 sites in steps 0-2, 12.3 MB, to golden/nest/tiny",
        ),
        (Recorded("a", (), 1, 40, "golden/a"), "a: recorded 1 site, 40 B, to golden/a"),
    ],
)
def test_a_recording(recorded, line):
    assert recorded_line(recorded) == line


def test_notes_stand_below_the_line():
    assert note_lines(PASSED) == []
    assert note_lines(replace(PASSED, notes=("structure: 3 parameters", "two"))) == [
        "  structure: 3 parameters",
        "  two",
    ]
    assert note_lines(Recorded("a", (), 1, 40, "golden/a", ("history lost",))) == ["  history lost"]
