"""Journal: beside a metrics file, what was logged since it was last written whole.

A line tells what has come since the line before it, and at which place of each array, so that what the metrics file has
already is known, and passed over. It is only ever added to, and a line that a kill has cut off has no end: a reader that
takes the journal first and the metrics file after it finds the two agreeing, whatever the writer does between.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_parity.curves.log import Log
from pytest_parity.errors import CurveError

try:
    import fcntl
except ImportError:  # a system without locks: nobody can tell whether another process writes
    fcntl = None  # type: ignore[assignment]

__all__ = ["Journal", "journal_of", "journalled", "replay"]


def journal_of(path: Path) -> Path:
    """The journal of a metrics file."""
    return path.with_name(f"{path.name}.journal")


class Journal:
    """The journal of a run that goes on; it is empty, and locked, while the metrics file has everything."""

    def __init__(self, path: Path) -> None:
        """Raises ``CurveError`` where another process has it, ``OSError`` where it cannot be written."""
        self.path = journal_of(path)
        self._file = self._opened()
        if self._file < 0:
            raise CurveError(
                f"{path} is being written, by another process or by a MetricsWriter that was not closed; log on one rank "
                "alone, give each run a name of its own, or wait until the other one has ended"
            )
        self.size = 0
        self.left = os.fstat(self._file).st_size
        """Bytes of a run that was killed; to be cleared before anything is added."""

    def append(self, run: str, added: Mapping[str, Any]) -> None:
        """Add a line; raises ``OSError``, and what is there of it then is the beginning of the line that comes next."""
        line = json.dumps({"run": run, "added": added}, separators=(",", ":")).encode() + b"\n"
        os.lseek(self._file, self.size, os.SEEK_SET)
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self.size += len(line)

    def clear(self) -> None:
        """Forget all lines: the metrics file has what they say. Raises ``OSError``."""
        os.ftruncate(self._file, 0)
        self.size = self.left = 0

    def close(self) -> None:
        """Let it go; where it is empty nothing of it stays."""
        with contextlib.suppress(OSError):
            if not os.fstat(self._file).st_size:
                self.path.unlink()
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)  # also for the handles that worker processes inherited
        os.close(self._file)

    def _opened(self) -> int:
        """A handle that holds the lock; -1 where someone else has it."""
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return -1
            except OSError:  # a file system without locks
                return file
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), self.path.stat()):
                    return file
            os.close(file)  # its run has ended meanwhile, and removed it


def journalled(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file's journal; none where there is no journal. Raises ``ValueError``, ``OSError``."""
    try:
        *lines, _ = journal_of(path).read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def replay(log: Log, lines: list[dict[str, Any]]) -> None:
    """Add what the lines of this run say. Raises ``ValueError`` where they are no such lines, or some are missing."""
    try:
        for line in lines:
            if line["run"] == log.head.start_time:
                log.add(line["added"])
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"a line of it is none: {type(error).__name__}: {error}") from None
