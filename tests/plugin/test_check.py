from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run, contents


@pytest.fixture
def wrong(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCALE", "2")
    return recorded


def test_what_agrees_passes(run: Run, recorded: Path):
    result = run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*= parity =*", "*test_one/test_value*1 of 1*"])
    result.stdout.re_match_lines([r"=+ 1 passed in .*"])


def test_what_differs_is_a_failure_and_no_error(run: Run, wrong: Path):
    result = run()
    assert result.ret == 1
    result.stdout.re_match_lines([r"=+ 1 failed in .*"])
    result.stdout.fnmatch_lines(["*= parity =*", "*test_one/test_value*"])


def test_the_failure_begins_with_the_diagnosis(run: Run, wrong: Path):
    lines = run().outlines
    title = next(index for index, line in enumerate(lines) if line.strip("_ ") == "test_value")
    # xdist puts the worker's name between the title and the failure.
    section = [line for line in lines[title + 1 :] if not line.startswith("[gw")]
    assert "test_one/test_value" in section[0]


def test_the_failure_shows_none_of_our_own_lines(wrong: Path, pytester: pytest.Pytester):
    text = pytester.runpytest().stdout.str()
    assert "pytest_parity" not in text
    assert "Traceback" not in text


def test_the_failure_says_where_in_the_test(wrong: Path, pytester: pytest.Pytester):
    pytester.runpytest().stdout.fnmatch_lines(["test_one.py:5: ParityFailure"])


def test_the_short_summary_leads_with_the_diagnosis(run: Run, wrong: Path):
    run().stdout.re_match_lines([r"FAILED test_one\.py::test_value - .*test_one/test_value.*"])


def test_tb_line_is_one_line(wrong: Path, pytester: pytest.Pytester):
    pytester.runpytest("--tb=line").stdout.re_match_lines([r".*test_one\.py:5: .*test_one/test_value.*"])


def test_full_trace_shows_everything(wrong: Path, pytester: pytest.Pytester):
    pytester.runpytest("--full-trace").stdout.fnmatch_lines(["*parity.assert_close*"])


def test_tb_no_leaves_the_line_of_the_case(wrong: Path, pytester: pytest.Pytester):
    result = pytester.runpytest("--tb=no")
    result.stdout.no_fnmatch_line("*= FAILURES =*")
    result.stdout.fnmatch_lines(["*= parity =*", "*test_one/test_value*"])


def test_quiet_shows_only_what_failed(wrong: Path, pytester: pytest.Pytester):
    pytester.makepyfile(test_two="def test_plain(): pass")
    result = pytester.runpytest("-q", "--tb=no")
    result.stdout.fnmatch_lines(["*= parity =*", "*test_one/test_value*"])


def test_quiet_is_silent_where_nothing_failed(recorded: Path, pytester: pytest.Pytester):
    result = pytester.runpytest("-q")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*parity*")


def test_no_summary_is_respected(recorded: Path, pytester: pytest.Pytester):
    pytester.runpytest("--no-summary").stdout.no_fnmatch_line("*= parity =*")


def test_the_controller_renders_without_a_terminal_reporter(recorded: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("-p", "no:terminal").ret == 0


def test_no_golden_is_a_failure_that_says_what_to_type(run: Run, one_test: Path):
    result = run()
    assert result.ret == 1
    result.stdout.re_match_lines([r"=+ 1 failed in .*"])
    result.stdout.re_match_lines([r"FAILED test_one\.py::test_value - .*test_one/test_value.*"])
    result.stdout.fnmatch_lines(["*--parity-record*"])


def test_comparing_nothing_is_a_failure(pytester: pytest.Pytester):
    pytester.makepyfile("def test_nothing(parity): pass")
    assert pytester.runpytest("--parity-record").ret == 1
    assert pytester.runpytest().ret == 1


def test_a_broken_golden_is_a_failure_that_says_so(recorded: Path, pytester: pytest.Pytester):
    (recorded.parent / "golden/test_one/test_value/golden.json").write_text("{")
    result = pytester.runpytest()
    assert result.ret == 1
    result.stdout.re_match_lines([r".*: GoldenError"])


def test_checking_writes_nothing_under_the_goldens(run: Run, wrong: Path):
    before = contents(wrong.parent / "golden")
    run()
    assert contents(wrong.parent / "golden") == before


def test_the_header_says_where_the_goldens_are(recorded: Path, pytester: pytest.Pytester):
    pytester.runpytest().stdout.fnmatch_lines([f"parity: checking against {recorded.parent / 'golden'}"])


def test_a_project_without_goldens_has_no_header(pytester: pytest.Pytester):
    pytester.makepyfile("def test_plain(): pass")
    pytester.runpytest().stdout.no_fnmatch_line("*parity:*")


STRUCTURE = """
    import os
    import torch

    def test_layer(parity):
        parity.assert_structure(torch.nn.Linear(2, int(os.environ.get("SCALE", "1"))))
"""


def test_notes_of_a_case_stand_below_its_line(run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    pytester.makepyfile(test_layer=STRUCTURE)
    assert pytester.runpytest("--parity-record").ret == 0
    run().stdout.fnmatch_lines(["*= parity =*", "test_layer/test_layer: 2 of 2 *", "  structure: *"], consecutive=True)
    run("-q").stdout.no_fnmatch_line("  structure: *")
    monkeypatch.setenv("SCALE", "3")
    result = run("--tb=no")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["test_layer/test_layer: FAILED: *", "  *parameters*"], consecutive=True)
