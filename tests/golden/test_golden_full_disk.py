"""A disk without room: the error says which, how much is missing and what to type, and the old golden stays."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
import torch

from pytest_parity.errors import GoldenError, UsageError
from pytest_parity.golden import Golden, GoldenWriter, noise, room, shard
from pytest_parity.golden.noise import NoiseFloors
from pytest_parity.site import Kind, Site

LEFT = {"provenance": {}, "settings": {}, "structure": {}, "history": []}


class Disk:
    """Takes so many bytes, and no more."""

    def __init__(self, room: int, number: int) -> None:
        self.room, self.number = room, number
        self.pwrite = os.pwrite

    def write(self, file: int, data: memoryview, offset: int) -> int:
        if not self.room:
            raise OSError(self.number, os.strerror(self.number))
        count = min(self.room, len(data))
        self.room -= count
        return self.pwrite(file, data[:count], offset)


def full(monkeypatch: pytest.MonkeyPatch, *, after: int, number: int = errno.ENOSPC) -> None:
    monkeypatch.setattr(os, "pwrite", Disk(after, number).write)


def refused(root: Path, size: int = 1 << 20) -> str:
    writer = GoldenWriter(root, "nest/tiny")
    with pytest.raises(GoldenError) as caught:
        recorded(writer, size)
    return str(caught.value)


def recorded(writer: GoldenWriter, size: int) -> None:
    for step in range(3):
        writer.write(step, 0, Site(Kind.LOSS, "loss"), torch.randn(()))
        writer.write(step, 1, Site(Kind.ACTIVATION, "layer", 0), torch.randn(size // 4))
        writer.write(step, 2, Site(Kind.GRADIENT, "weight"), torch.randn(size // 8))
        writer.finish_step(step, {})
    writer.commit(**LEFT)


def test_the_error_says_which_disk_how_much_is_missing_and_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    full(monkeypatch, after=2_000_000)
    message = refused(tmp_path)
    assert message.startswith(
        f"the golden of 'nest/tiny' cannot be written to {tmp_path}/nest/tiny: No space left on device"
    )
    told = re.search(
        r"; (/\S*) \((\w+)\) has ([\d,]+) of ([\d,]+) bytes free, and ([\d,]+) more were to be written next\)", message
    )
    assert told is not None, message
    assert os.path.ismount(told[1])
    free, total, missing = (int(told[place].replace(",", "")) for place in (3, 4, 5))
    assert 0 < free < total
    assert 0 < missing < 1 << 20
    assert "make room, or choose another place with --parity-ref" in message
    assert "run.steps(loader, keep=[0]) or --steps 0" in message
    assert "or kinds= without activation, which took " in message


@pytest.mark.parametrize("after", [0, 1_000_000, 2_000_000, 4_000_000])
def test_the_old_golden_stays_and_nothing_else_is_left(
    record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
):
    path = record()
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    full(monkeypatch, after=after)
    assert (
        f"the golden that was there is untouched, and its {size:,} bytes stay until the new one is whole; "
        in refused(tmp_path)
    )
    assert [child.name for child in path.parent.iterdir()] == ["tiny"]
    monkeypatch.undo()
    Golden.open(path).verify()


def test_what_fits_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full(monkeypatch, after=20_000_000)
    recorded(GoldenWriter(tmp_path, "nest/tiny"), 1 << 20)
    Golden.open(tmp_path / "nest/tiny").verify()


def test_a_quota_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full(monkeypatch, after=0, number=errno.EDQUOT)
    message = refused(tmp_path)
    assert "quota exceeded" in message
    assert " bytes free, and " in message


def test_another_error_has_no_advice_on_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full(monkeypatch, after=0, number=errno.EIO)
    message = refused(tmp_path)
    assert "Input/output error (after " in message
    assert "free" not in message
    assert "kinds=" not in message


def test_noise_floors_without_room_are_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(_directory: Path, _floors: NoiseFloors) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = GoldenWriter(tmp_path, "case")
    monkeypatch.setattr("pytest_parity.golden.writer.write_floors", refuse)
    with pytest.raises(GoldenError, match=r"No space left on device \(after 0 observations, 0 bytes; /.* bytes free\)"):
        writer.put_noise(noise.NoiseFloors(1, {}))


@pytest.mark.parametrize("free", [0, 1 << 40])
def test_space_is_taken_ahead_only_where_there_is_plenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int):
    taken: list[int] = []
    monkeypatch.setattr(os, "posix_fallocate", lambda _file, _start, size: taken.append(size))
    monkeypatch.setattr(room, "_PLENTY", 1 << 50 if free == 0 else 0)
    recorded(GoldenWriter(tmp_path, "case"), 4 << 20)
    assert bool(taken) is bool(free)
    assert set(taken) <= {shard.AHEAD}


def test_a_check_that_finds_no_room_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from pytest_parity.compare.spool import Spool

    spool = Spool(budget=100)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: open("/dev/full", "w+b"))  # noqa: PTH123, SIM115
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(UsageError) as caught:
        spool.put(Site(Kind.WEIGHT, "weight"), torch.randn(1000))
    assert f"later in {tmp_path} where it is over parity_memory (100 bytes): No space left on device; /" in str(
        caught.value
    )
    assert "and 4,000 were to be written. Raise the ini option parity_memory, set TMPDIR" in str(caught.value)
    spool.close()
