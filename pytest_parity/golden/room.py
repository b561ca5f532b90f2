"""Room: what is to be said and done when a file system has none left for a golden."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

__all__ = ["NoRoom", "is_full", "less_words", "plenty", "room_words", "stays_words"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PLENTY = 2 << 30
"""Free bytes from which on a golden's files may take space ahead of time: more than all of them together would."""
_MOUNTS = Path("/proc/self/mounts")


class NoRoom(OSError):
    """A write that found no room; ``needed`` bytes of it could not be written."""

    def __init__(self, error: OSError, needed: int) -> None:
        super().__init__(error.errno, error.strerror)
        self.needed = needed


def is_full(error: OSError) -> bool:
    """Whether there is no room left, or none that this user may take."""
    return error.errno in _FULL


def plenty(file: int) -> bool:
    """Whether the file system of an open file has so much room that some may be taken ahead of time."""
    try:
        found = os.fstatvfs(file)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize >= _PLENTY


def room_words(error: OSError, place: Path) -> str:
    """Which file system is full, how full, and what was to be written; what was written to ``place`` is still there."""
    usage = shutil.disk_usage(place)
    words = f"{_file_system(place)} has {usage.free:,} of {usage.total:,} bytes free"
    return words + (f", and {error.needed:,} more were to be written next" if isinstance(error, NoRoom) else "")


def stays_words(there: Path) -> str:
    """How much room the golden that is to be replaced takes until then; empty where there is none."""
    kept = sum(path.stat().st_size for path in there.rglob("*") if path.is_file())
    return f", and its {kept:,} bytes stay until the new one is whole" if kept else ""


def less_words(kinds: Mapping[str, int]) -> str:
    """How to record less; ``kinds`` has the bytes of each kind so far."""
    largest = max(kinds, key=lambda kind: kinds[kind], default="")
    of = f", or kinds= without {largest}, which took {kinds[largest]:,} bytes" if largest else ""
    return f"or record less: fewer steps, run.steps(loader, keep=[0]) or --steps 0{of}"


def _file_system(place: Path) -> str:
    """The mount point, and the type where the system tells it: ``/data (ext4)``."""
    path = Path(os.path.realpath(place))
    mount = next(one for one in (path, *path.parents) if os.path.ismount(one))
    try:
        lines = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        lines = []
    kinds = [line[2] for line in lines if line[1] == str(mount)]
    return f"{mount} ({kinds[-1]})" if kinds else str(mount)
