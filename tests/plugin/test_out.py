from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pytest_parity.golden import GoldenWriter
from pytest_parity.session.leftovers import Leftovers
from pytest_parity.site import Kind, Site

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


def test_it_stays_away_from_the_goldens_behind_a_link(wrong: Path, pytester: pytest.Pytester):
    (wrong / ".parity").symlink_to("golden", target_is_directory=True)
    before = contents(wrong / "golden")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*one inside the other; give it a directory of its own, as in --parity-out .parity"])
    assert contents(wrong / "golden") == before


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


NOT_LEFT = "what failed could not be left in "


@pytest.mark.parametrize("place", ["left", "left/test_one"])
def test_where_nothing_can_be_left_the_check_fails_as_ever(run: Run, wrong: Path, place: str):
    (wrong / place).parent.mkdir(exist_ok=True)
    (wrong / place).write_text("a file")
    result = run("--parity-out", "left")
    result.stdout.fnmatch_lines(
        ["*test_one.py:5: ParityFailure", "test_one/test_value: FAILED: 1 of 1 *", f"  {NOT_LEFT}*"]
    )
    assert result.parseoutcomes() == {"failed": 1}
    assert (wrong / place).read_text() == "a file"


@pytest.mark.parametrize("scale", ["1", "2"])
def test_a_golden_that_no_check_left_is_not_touched(
    wrong: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, scale: str
):
    monkeypatch.setenv("SCALE", "1")
    assert pytester.runpytest("--parity-record", "--parity-ref", "other").ret == 0
    before = contents(wrong / "other")
    monkeypatch.setenv("SCALE", scale)
    assert pytester.runpytest("--parity-out", "other").ret == (scale == "2")
    assert contents(wrong / "other") == before


SITE = Site(Kind.OUTPUT, "x")


def leave(out: Path, value: torch.Tensor, *, failed: bool = True) -> str:
    """Leave a tensor in ``out``, as a check does; returns the note."""
    leftovers = Leftovers(out, "nest/tiny")
    leftovers.add(0, 0, SITE, value)
    leftovers.add(0, 1, Site(Kind.OUTPUT, "y"), torch.ones(2))
    leftovers.end_step()
    leftovers.conclude(failed=failed)
    return leftovers.note


def test_what_is_left_is_cleared_by_a_check_that_passes(tmp_path: Path):
    assert leave(tmp_path / "out", torch.ones(3)) == ""
    assert leave(tmp_path / "out", torch.zeros(3)) == ""
    assert (tmp_path / "out/nest/tiny/golden.json").exists()
    assert leave(tmp_path / "out", torch.ones(3), failed=False) == ""
    assert contents(tmp_path / "out").keys() == {".gitignore"}


def test_a_tensor_that_cannot_be_left_is_noted(tmp_path: Path):
    note = leave(tmp_path / "out", torch.ones(3, device="meta"))
    assert note.startswith(f"what failed could not be left in {tmp_path / 'out'}: output/x cannot be copied to the CPU")
    assert contents(tmp_path / "out").keys() == {".gitignore"}


def test_what_an_earlier_check_left_is_not_taken_for_that_of_one_that_could_leave_nothing(tmp_path: Path):
    assert leave(tmp_path / "out", torch.ones(3)) == ""
    assert "cannot be copied to the CPU" in leave(tmp_path / "out", torch.ones(3, device="meta"))
    assert contents(tmp_path / "out").keys() == {".gitignore"}


def test_a_case_inside_another_is_noted(tmp_path: Path):
    GoldenWriter(tmp_path, "nest").commit(provenance={}, settings={"failing": True}, structure={}, history=[])
    assert "one is a path prefix of the other" in leave(tmp_path, torch.ones(3))


def test_a_disk_that_is_full_at_the_end_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_parity.golden.staging.sync", full)
    assert leave(tmp_path, torch.ones(3)) == f"what failed could not be left in {tmp_path}: No space left on device"
    assert not contents(tmp_path)


@pytest.mark.parametrize("failed", [True, False])
def test_a_golden_that_was_recorded_is_noted_and_stays(tmp_path: Path, *, failed: bool):
    GoldenWriter(tmp_path, "nest/tiny").commit(provenance={}, settings={}, structure={}, history=[])
    before = contents(tmp_path)
    assert "is a golden that no check left; give --parity-out another directory" in leave(
        tmp_path, torch.ones(3), failed=failed
    )
    assert contents(tmp_path) == before


def test_what_cannot_be_removed_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    leave(tmp_path, torch.ones(3))

    def refuse(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pytest_parity.session.leftovers.shutil.rmtree", refuse)
    leftovers = Leftovers(tmp_path, "nest/tiny")
    leftovers.conclude(failed=False)
    assert leftovers.note == f"what an earlier check left could not be removed from {tmp_path}: Permission denied"
