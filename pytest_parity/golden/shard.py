"""Shard: one file that is written as a stream, tensors first, its header last.

The bytes of small tensors gather in memory. A file that ends before they fill the staging area is written at once, its
header in front. A larger one gets space for a header at its front when its first bytes go to disk, and that space is
cut to what the header takes when the file ends, unless the file is so large that it does not matter.
"""

from __future__ import annotations

import os
from pathlib import Path

from pytest_parity.golden.digest import digest
from pytest_parity.golden.layout import render_header
from pytest_parity.golden.manifest import FileRecord
from pytest_parity.golden.room import NoRoom, is_full, plenty

__all__ = ["RESERVED", "Shard"]

RESERVED = 1 << 20
"""Bytes kept for the header of a file that grows large; no header exceeds them."""

STAGED = 1 << 20
"""Bytes of small tensors that gather before they are written."""

AHEAD = 64 << 20
"""Bytes of file space allocated at once; files below this size are compacted."""

_FIXED = 256
"""Bytes that a header takes besides its items."""


class Shard:
    """One file of a golden, open for writing: ``name`` in the directory ``root``, the ``number``-th of its kind and step."""

    __slots__ = (
        "_allocated",
        "_entries",
        "_file",
        "_room",
        "_staged",
        "_tensors",
        "name",
        "number",
        "path",
        "size",
        "step",
    )

    def __init__(self, root: Path, name: str, step: int, number: int) -> None:
        self.name = name
        self.path = root / name
        self.step = step
        self.number = number
        self.size = 0
        self._file = -1
        self._allocated = 0
        self._room = RESERVED - _FIXED
        self._staged = bytearray()
        self._tensors: list[str] = []
        self._entries: list[str] = []

    def has_room(self, needed: int) -> bool:
        """Whether ``needed`` more bytes fit into the header."""
        return needed <= self._room

    def add(self, entry: str, tensor: str = "") -> None:
        """Add an observation to the header, and a tensor if it has one of its own."""
        self._entries.append(entry)
        self._room -= 2 * len(entry) + len(tensor) + 2
        if tensor:
            self._tensors.append(tensor)

    def write(self, data: bytes | memoryview, *, small: bool) -> None:
        """Append a tensor's bytes, which may change as soon as this returns."""
        if small:
            self._staged += data
            self.size += len(data)
            if len(self._staged) >= STAGED:
                self._flush()
        else:
            self._flush()
            self._put(data, self.size)
            self.size += len(data)

    def finish(self) -> FileRecord:
        """Write the header and close; returns the file's record for the manifest."""
        compact = self.size < AHEAD
        header = render_header(self.step, self._tensors, self._entries, size=None if compact else RESERVED)
        if self._file < 0:
            self._create()
            _write_all(self._file, header + self._staged, 0)
        else:
            self._flush()
            if compact:
                _move(self._file, RESERVED, len(header), self.size)
            _write_all(self._file, header, 0)
            os.ftruncate(self._file, len(header) + self.size)
        self.close()
        return {"digest": digest(header), "size": len(header) + self.size, "step": self.step}

    def close(self) -> None:
        """Close the file as it is."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _create(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o666)

    def _flush(self) -> None:
        if self._file < 0:
            self._create()
        if self._staged:
            self._put(self._staged, self.size - len(self._staged))
            self._staged.clear()

    def _put(self, data: bytes | bytearray | memoryview, position: int) -> None:
        offset = RESERVED + position
        self._allocate(offset + len(data))
        _write_all(self._file, data, offset)

    def _allocate(self, end: int) -> None:
        """Have the file system find space ahead of time, which makes writes a third faster; it need not be able to."""
        while self._allocated < end:
            start, self._allocated = self._allocated, self._allocated + AHEAD
            try:
                if not plenty(self._file):  # what one file takes ahead would be missing to another
                    return
                os.posix_fallocate(self._file, start, AHEAD)
            except (OSError, AttributeError):
                self._allocated = 1 << 62


def _write_all(file: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    with memoryview(data) as view:
        written = 0
        try:
            while written < len(view):
                written += os.pwrite(file, view[written:], offset + written)
        except OSError as error:
            if not is_full(error):
                raise
            raise NoRoom(error, len(view) - written) from error


def _move(file: int, source: int, target: int, size: int) -> None:
    """Move ``size`` bytes of a file from ``source`` to ``target``, which comes before it."""
    buffer = memoryview(bytearray(min(size, 1 << 20)))
    done = 0
    while done < size:
        count = os.preadv(file, [buffer[: size - done]], source + done)
        if count == 0:
            raise OSError(f"{size - done} bytes that were written are gone")
        _write_all(file, buffer[:count], target + done)
        done += count
