"""Source: one file of a golden, open for reading, its header verified."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pytest_parity.errors import GoldenError
from pytest_parity.golden.digest import digest
from pytest_parity.golden.layout import Header, parse_header
from pytest_parity.golden.manifest import AGAIN, FileRecord, check_not_pointer

__all__ = ["Source"]

_LONGEST = 100_000_000
"""The longest header that safetensors allows."""


class Source:
    """A file of a golden. Raises ``GoldenError`` if it is missing, not what the manifest says, or malformed."""

    __slots__ = ("_handle", "header", "name", "path")

    def __init__(self, root: Path, name: str, record: FileRecord) -> None:
        self.name = name
        self.path = root / name
        self._handle = _open(root, self.path)
        try:
            self.header = self._verified(record)
        except BaseException:
            self.close()
            raise

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill ``view`` with the file's bytes from ``offset`` on."""
        try:
            count = os.preadv(self._handle, [view], offset)
            while 0 < count < len(view):
                more = os.preadv(self._handle, [view[count:]], offset + count)
                count = count + more if more else 0
        except OSError as error:
            raise GoldenError(f"{self.path} cannot be read: {error.strerror}; {AGAIN}") from error
        if count != len(view):
            raise GoldenError(f"{self.path} is truncated: it ends before byte {offset + len(view)}; {AGAIN}")

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _verified(self, record: FileRecord) -> Header:
        size = os.fstat(self._handle).st_size
        start = self._head(0, min(size, 64))
        check_not_pointer(start, self.path)
        if size != record["size"]:
            what = "truncated" if size < record["size"] else "not the file that was recorded"
            raise GoldenError(f"{self.path} is {what}: {size} bytes, and the manifest says {record['size']}; {AGAIN}")
        length = int.from_bytes(start[:8], "little")
        if size < 8 or length > min(_LONGEST, size - 8):  # noqa: PLR2004 - the length itself
            raise GoldenError(f"{self.path} states a header of {length} bytes, in a file of {size}; {AGAIN}")
        head = self._head(0, 8 + length)
        found = digest(head)
        if found != record["digest"]:
            raise GoldenError(
                f"the header of {self.path} is damaged: its digest is {found}, and the manifest says "
                f"{record['digest']}; {AGAIN}"
            )
        return self._parsed(head[8:], size)

    def _parsed(self, header: bytes, size: int) -> Header:
        try:
            return parse_header(header, size)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise malformed(self.path, error) from error

    def _head(self, offset: int, size: int) -> bytes:
        data = bytearray(size)
        if size:
            self.read_into(memoryview(data), offset)
        return bytes(data)


def malformed(path: Path, error: Any) -> GoldenError:
    """The error for a header that its own digest vouches for and that makes no sense."""
    return GoldenError(f"the header of {path} is malformed: {error!r}; {AGAIN}")


def _open(root: Path, path: Path) -> int:
    inside = os.path.realpath(root) + os.sep
    if not os.path.realpath(path).startswith(inside):
        raise GoldenError(f"{path} leads out of the golden, to {os.path.realpath(path)}; it is refused, {AGAIN}")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise GoldenError(f"{path} is missing, and the manifest names it; {AGAIN}") from error
    except OSError as error:
        raise GoldenError(f"{path} cannot be opened: {error.strerror}; {AGAIN}") from error
    return handle
