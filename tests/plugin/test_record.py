from __future__ import annotations

import json
from pathlib import Path

import pytest

from .project import Run, contents


def test_a_recording_is_an_outcome_of_its_own(run: Run, one_test: Path):
    result = run("--parity-record")
    result.stdout.re_match_lines([r"=+ 1 recorded in .*"])
    assert result.ret == 0


def test_its_letter_is_r(one_test: Path, pytester: pytest.Pytester):
    pytester.runpytest("--parity-record").stdout.re_match_lines([r"test_one\.py r +\[100%\]"])


def test_its_verbose_word_is_recorded(one_test: Path, pytester: pytest.Pytester):
    pytester.runpytest("--parity-record", "-v").stdout.re_match_lines(
        [r".*test_one\.py::test_value.*RECORDED|.*RECORDED.*test_one\.py::test_value"]
    )


def test_the_golden_is_where_the_case_says(one_test: Path, pytester: pytest.Pytester):
    pytester.runpytest("--parity-record")
    assert (one_test.parent / "golden/test_one/test_value/golden.json").is_file()


def test_the_summary_has_a_line_per_case(run: Run, pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import pytest
        import torch

        @pytest.mark.parametrize("size", [1, 2, 3])
        def test_sizes(parity, size):
            parity.assert_close("x", torch.ones(size))
        """
    )
    result = run("--parity-record")
    result.stdout.fnmatch_lines(["*= parity =*"])
    for size in (1, 2, 3):
        result.stdout.fnmatch_lines([f"*/test_sizes[[]{size}[]]*recorded*"])
    result.stdout.re_match_lines([r"=+ 3 recorded in .*"])


def test_a_recording_and_a_plain_test_are_counted_apart(one_test: Path, pytester: pytest.Pytester):
    pytester.makepyfile(test_two="def test_plain(): pass")
    pytester.runpytest("--parity-record").stdout.re_match_lines([r"=+ 1 passed, 1 recorded in .*"])


def test_the_header_says_where_it_goes(one_test: Path, pytester: pytest.Pytester):
    result = pytester.runpytest("--parity-record")
    result.stdout.fnmatch_lines([f"parity: recording to {one_test.parent / 'golden'}"])


def test_a_body_that_fails_leaves_the_old_golden(run: Run, recorded: Path):
    before = contents(recorded.parent / "golden")
    recorded.write_text(recorded.read_text() + "\n    assert False, 'after the value'\n")
    result = run("--parity-record")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["test_one/test_value: not recorded: *after the value*"])
    assert contents(recorded.parent / "golden") == before


def test_a_body_that_fails_leaves_no_golden_where_there_was_none(pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import torch

        def test_value(parity):
            parity.assert_close("x", torch.ones(3))
            raise RuntimeError("too late")
        """
    )
    assert pytester.runpytest("--parity-record").ret == 1
    assert not list(pytester.path.rglob("golden.json"))


def test_recording_deletes_no_other_case(recorded: Path, pytester: pytest.Pytester):
    before = contents(recorded.parent / "golden")
    recorded.unlink()
    pytester.makepyfile(test_two="import torch\ndef test_other(parity): parity.assert_close('x', torch.ones(2))")
    pytester.runpytest("--parity-record")
    after = contents(recorded.parent / "golden")
    assert before.items() <= after.items()
    assert len(after) > len(before)


def test_recording_into_a_directory_of_another_name(one_test: Path, pytester: pytest.Pytester):
    pytester.runpytest("--parity-record", "--parity-ref", "elsewhere/deep")
    assert (one_test.parent / "elsewhere/deep/test_one/test_value/golden.json").is_file()
    assert not (one_test.parent / "golden").exists()


def test_recording_every_test_in_every_worker_is_refused(one_test: Path, pytester: pytest.Pytester):
    result = pytester.runpytest("--parity-record", "--dist", "each", "--tx", "2*popen")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*record with --dist load*"])


def test_a_test_that_is_run_again_is_recorded_as_before(recorded: Path, pytester: pytest.Pytester):
    before = json.loads((recorded.parent / "golden/test_one/test_value/golden.json").read_text())
    assert pytester.runpytest("--parity-record").ret == 0
    after = json.loads((recorded.parent / "golden/test_one/test_value/golden.json").read_text())
    assert before.keys() == after.keys()


def test_a_golden_that_is_damaged_is_recorded_over(run: Run, recorded: Path, pytester: pytest.Pytester):
    golden = recorded.parent / "golden/test_one/test_value/golden.json"
    golden.write_bytes(golden.read_bytes()[:-20])
    result = run("--parity-record")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "test_one/test_value: recorded 1 site*",
            "  the history of the golden that was there is lost: *golden.json is not JSON*",
        ],
        consecutive=True,
    )
    assert pytester.runpytest().ret == 0
