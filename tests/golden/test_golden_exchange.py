"""A new golden takes the old one's place whole; what interrupted recordings left is recognised."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from pytest_parity.errors import GoldenError
from pytest_parity.golden import Golden, GoldenWriter, cases, exchange, staging
from pytest_parity.site import Kind, Site


def scale_of(path: Path) -> float:
    """The loss that ``start`` recorded."""
    with Golden.open(path) as golden:
        golden.verify()
        return float(golden.tensor(golden.entries(0)[0]).item())


def start(root: Path, value: float) -> GoldenWriter:
    writer = GoldenWriter(root, "nest/tiny")
    writer.write(0, 0, Site(Kind.LOSS, "loss"), torch.tensor(value))
    writer.finish_step(0, {})
    return writer


def commit(writer: GoldenWriter) -> Path:
    return writer.commit(provenance={}, settings={}, structure={}, history=[])


def names(root: Path) -> list[str]:
    return sorted(child.name for child in (root / "nest").iterdir())


@pytest.fixture(params=["one operation", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two renames":
        monkeypatch.setattr(exchange, "swap", lambda _one, _other: False)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_recording_replaces_the_golden_and_leaves_nothing_else(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 3.0):
        path = commit(start(tmp_path, value))
        assert path == tmp_path / "nest/tiny"
        assert scale_of(path) == value
        assert names(tmp_path) == ["tiny"]


@pytest.mark.usefixtures("way")
def test_until_the_commit_the_old_golden_is_there(tmp_path: Path) -> None:
    path = commit(start(tmp_path, 1.0))
    writer = start(tmp_path, 2.0)
    assert scale_of(path) == 1.0
    commit(writer)
    assert scale_of(path) == 2.0


@pytest.mark.usefixtures("way")
def test_a_commit_that_fails_leaves_the_old_golden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = commit(start(tmp_path, 1.0))
    writer = start(tmp_path, 2.0)

    def full(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(staging, "sync", full)
    with pytest.raises(GoldenError, match=r"No space left on device .* the golden that was there is untouched"):
        commit(writer)
    assert scale_of(path) == 1.0
    assert names(tmp_path) == ["tiny"]


def test_a_second_rename_that_fails_puts_the_old_golden_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = commit(start(tmp_path, 1.0))
    writer = start(tmp_path, 2.0)
    monkeypatch.setattr(exchange, "swap", lambda _one, _other: False)
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if ".recording-" in self.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(GoldenError, match="Input/output error"):
        commit(writer)
    assert scale_of(path) == 1.0
    assert names(tmp_path) == ["tiny"]


def killed_between_renames(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state that a kill between the two renames leaves."""
    commit(start(root, 1.0))
    writer = start(root, 2.0)

    def killed(_new: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "swap", lambda _one, _other: False)
        patch.setattr(exchange, "_complete", killed)
        patch.setattr(staging.shutil, "rmtree", lambda *_args, **_options: None)
        with pytest.raises(KeyboardInterrupt):
            commit(writer)
    assert len(names(root)) == 2
    assert not (root / "nest/tiny").exists()


def test_the_reader_finishes_an_exchange_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_renames(tmp_path, monkeypatch)
    assert cases(tmp_path) == ("nest/tiny",)
    assert scale_of(tmp_path / "nest/tiny") == 2.0
    commit(start(tmp_path, 3.0))
    assert names(tmp_path) == ["tiny"]


def test_find_finishes_an_exchange_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_renames(tmp_path, monkeypatch)
    Golden.find(tmp_path, "nest/tiny").verify()


def test_the_writer_finishes_an_exchange_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_renames(tmp_path, monkeypatch)
    writer = start(tmp_path, 3.0)
    assert scale_of(tmp_path / "nest/tiny") == 2.0
    commit(writer)
    assert scale_of(tmp_path / "nest/tiny") == 3.0
    assert names(tmp_path) == ["tiny"]


def test_the_old_golden_comes_back_where_the_new_one_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_renames(tmp_path, monkeypatch)
    (new,) = (tmp_path / "nest").glob(".tiny.recording-*")
    new.rename(tmp_path / "lost")
    assert scale_of(tmp_path / "nest/tiny") == 1.0


def test_an_exchange_that_cannot_be_finished_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_renames(tmp_path, monkeypatch)

    def refuse(_self: Path, _target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(GoldenError, match=r"interrupted .* Permission denied; make .* writable, and run this again"):
        Golden.find(tmp_path, "nest/tiny")


def test_a_recording_never_removes_a_live_one(tmp_path: Path) -> None:
    one, other = start(tmp_path, 1.0), start(tmp_path, 2.0)
    assert len(names(tmp_path)) == 2
    commit(one)
    assert scale_of(commit(other)) == 2.0
    assert names(tmp_path) == ["tiny"]


def test_a_recording_removes_dead_ones_of_its_own_case_only(tmp_path: Path) -> None:
    for name in (
        ".tiny.recording-00000000",
        ".tiny.replaced-00000000",
        ".tinier.recording-00000000",
        ".tiny.recording-x",
    ):
        (tmp_path / "nest" / name / "step_0").mkdir(parents=True)
    commit(start(tmp_path, 1.0))
    Golden.find(tmp_path, "nest/tiny").verify()
    commit(start(tmp_path, 2.0))
    assert names(tmp_path) == [".tinier.recording-00000000", ".tiny.recording-x", "tiny"]


def test_the_golden_has_the_permissions_of_any_directory(tmp_path: Path) -> None:
    path = commit(start(tmp_path, 1.0))
    (tmp_path / "plain").mkdir()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    mask = os.umask(0)
    os.umask(mask)
    assert (path / "golden.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_no_handle_stays_open(tmp_path: Path) -> None:
    handles = Path("/dev/fd")
    before = len(list(handles.iterdir()))
    commit(start(tmp_path, 1.0))
    start(tmp_path, 2.0).discard()
    scale_of(tmp_path / "nest/tiny")
    assert len(list(handles.iterdir())) == before


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_not_the_goldens_own_is_carried_over(tmp_path: Path, *, damaged: bool) -> None:
    path = commit(start(tmp_path, 1.0))
    (path / "README.md").write_text("how it was recorded")
    (path / ".gitattributes").write_text("*.safetensors -text")
    (path / "plots/deep").mkdir(parents=True)
    (path / "plots/deep/loss.svg").write_text("<svg/>")
    (path / "latest").symlink_to("plots/nowhere")
    (path / "step_7").mkdir()
    (path / "step_7/gradients.safetensors").write_bytes(b"old")
    (path / "stray.safetensors").write_bytes(b"old")
    if damaged:
        (path / "golden.json").write_text("{")
    writer = start(tmp_path, 2.0)
    (path / "NOTES").write_text("while it was recorded")
    commit(writer)
    assert scale_of(path) == 2.0
    assert sorted(child.name for child in path.iterdir()) == [
        ".gitattributes",
        "NOTES",
        "README.md",
        "golden.json",
        "latest",
        "plots",
        "step_0",
    ]
    assert (path / "README.md").read_text() == "how it was recorded"
    assert (path / "plots/deep/loss.svg").read_text() == "<svg/>"
    assert (path / "latest").readlink() == Path("plots/nowhere")
    assert names(tmp_path) == ["tiny"]


def test_where_it_cannot_be_carried_over_the_old_golden_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = commit(start(tmp_path, 1.0))
    (path / "README.md").write_text("how it was recorded")
    writer = start(tmp_path, 2.0)

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(staging.shutil, "copy2", refuse)
    with pytest.raises(GoldenError, match=r"Permission denied .* the golden that was there is untouched"):
        commit(writer)
    assert scale_of(path) == 1.0
    assert (path / "README.md").exists()
    assert names(tmp_path) == ["tiny"]
