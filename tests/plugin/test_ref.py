from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run


def places(root: Path) -> set[str]:
    return {path.parent.parent.parent.name for path in root.rglob("golden.json")}


def test_by_default_golden_under_the_rootdir(one_test: Path, pytester: pytest.Pytester):
    pytester.runpytest("--parity-record")
    assert places(one_test.parent) == {"golden"}


def test_the_environment_is_before_the_default(
    one_test: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
):
    monkeypatch.setenv("PARITY_REF", "from_environment")
    pytester.runpytest("--parity-record")
    assert places(one_test.parent) == {"from_environment"}


def test_the_ini_file_is_before_the_environment(
    one_test: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PARITY_REF", "from_environment")
    pytester.makeini("[pytest]\nparity_ref = from_ini")
    pytester.runpytest("--parity-record")
    assert places(one_test.parent) == {"from_ini"}


def test_the_command_line_is_before_all(
    run: Run, one_test: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PARITY_REF", "from_environment")
    pytester.makeini("[pytest]\nparity_ref = from_ini")
    run("--parity-record", "--parity-ref", "from_line")
    assert places(one_test.parent) == {"from_line"}


def test_the_ini_file_means_its_own_directory(
    one_test: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    pytester.makeini("[pytest]\nparity_ref = from_ini")
    monkeypatch.chdir(pytester.mkdir("inside"))
    pytester.runpytest("--parity-record", "..")
    assert (one_test.parent / "from_ini").is_dir()


def test_the_command_line_means_the_current_directory(
    one_test: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    pytester.makeini("[pytest]")
    monkeypatch.chdir(pytester.mkdir("inside"))
    pytester.runpytest("--parity-record", "--parity-ref", "../beside", "..")
    assert (one_test.parent / "beside").is_dir()


def test_a_test_path_behind_the_option_is_a_test_path(recorded: Path, pytester: pytest.Pytester):
    pytester.makepyfile(test_two="def test_plain(): pass")
    pytester.runpytest("--parity-record", "test_two.py").assert_outcomes(passed=1)


def test_a_named_directory_that_is_absent_is_a_usage_error(run: Run, one_test: Path):
    result = run("--parity-ref", "nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    expected = f"*--parity-ref nowhere: there is no directory {one_test.parent / 'nowhere'}; record it with: pytest *"
    result.stderr.fnmatch_lines([expected])


def test_a_default_directory_that_is_absent_is_no_usage_error(pytester: pytest.Pytester):
    pytester.makepyfile("def test_plain(): pass")
    assert pytester.runpytest().ret == 0


def test_a_named_directory_that_exists_is_checked(recorded: Path, pytester: pytest.Pytester):
    (recorded.parent / "golden").rename(recorded.parent / "moved")
    assert pytester.runpytest("--parity-ref", "moved").ret == 0
