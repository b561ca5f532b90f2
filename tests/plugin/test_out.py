from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run, contents


@pytest.fixture
def wrong(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCALE", "2")
    return recorded.parent


def test_nothing_is_written_where_all_agrees(recorded: Path, pytester: pytest.Pytester):
    assert pytester.runpytest().ret == 0
    assert not (recorded.parent / ".parity").exists()


def test_what_is_left_is_hidden_from_git(run: Run, wrong: Path):
    run()
    assert (wrong / ".parity/.gitignore").read_text() == "*\n"
    assert len(contents(wrong / ".parity")) > 1


def test_it_goes_where_the_option_says(run: Run, wrong: Path):
    run("--parity-out", "left")
    assert not (wrong / ".parity").exists()
    assert (wrong / "left/.gitignore").read_text() == "*\n"


def test_a_directory_that_was_there_is_not_hidden(wrong: Path, pytester: pytest.Pytester):
    pytester.mkdir("left")
    pytester.runpytest("--parity-out", "left")
    assert contents(wrong / "left")
    assert not (wrong / "left/.gitignore").exists()


@pytest.mark.parametrize("out", ["golden", "golden/left", "."])
def test_it_stays_away_from_the_goldens(wrong: Path, pytester: pytest.Pytester, out: str):
    before = contents(wrong / "golden")
    result = pytester.runpytest("--parity-out", out)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*one inside the other; give it a directory of its own, as in --parity-out .parity"])
    assert contents(wrong / "golden") == before


def test_the_default_may_stand_beside_goldens_in_the_rootdir(one_test: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--parity-record", "--parity-ref", ".").ret == 0
    assert pytester.runpytest("--parity-ref", ".").ret == 0
