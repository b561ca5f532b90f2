"""The records of a ``run-*.wandb`` file: LevelDB's log format, behind a header of W&B's own.

Blocks of 32,768 bytes; in them pieces of 7 bytes (checksum of type and data, length, type) and the data; a record is one piece or
several. W&B's own library has no reader of it in Python since 0.19, only the messages that are in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from zlib import crc32

from pytest_parity.errors import CurveError

__all__ = ["MAGIC", "WandbLog"]

MAGIC = b":W&B"
_HEAD = MAGIC + b"\xe1\xbe\x00"
_BLOCK = 32768
_PIECE = Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CRC = {kind: crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}


class WandbLog:
    """One file; its records up to where a kill has torn it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        if self.data[: len(_HEAD)] != _HEAD:
            said = "it is empty" if not self.data else f"it starts with {self.data[:8]!r}"
            raise CurveError(f"{path}: not the file of a W&B run: {said}, not with {_HEAD!r}")

    def records(self) -> Iterator[bytes]:
        """The records' bytes.

        Raises:
            CurveError: a record in the middle of the file is damaged.
        """
        whole = bytearray()
        for kind, piece in self._pieces():
            if kind == _FULL:
                yield piece
            elif kind == _FIRST:
                whole = bytearray(piece)
            else:
                whole += piece
                if kind == _LAST:
                    yield bytes(whole)

    def _pieces(self) -> Iterator[tuple[int, bytes]]:
        data, position, size = self.data, len(_HEAD), len(self.data)
        while position + _PIECE.size <= size:
            left = _BLOCK - position % _BLOCK
            if left < _PIECE.size:
                position += left
                continue
            checksum, length, kind = _PIECE.unpack_from(data, position)
            start = position + _PIECE.size
            piece = data[start : start + length]
            if kind not in _CRC or (len(piece) == length and crc32(piece, _CRC[kind]) != checksum):
                self._check_torn(position, start + length)
                return
            if len(piece) < length:
                return
            yield kind, piece
            position = start + length

    def _check_torn(self, position: int, end: int) -> None:
        """Zeros from within the piece up to the file's end are what a kill leaves; anything else is damage."""
        if self.data[end - 1 :].strip(b"\0"):
            raise CurveError(
                f"{self.path}: damaged at byte {position:,} of {len(self.data):,}: a record's checksum is wrong, and what "
                f"follows cannot be trusted; copy the file again from where it was written"
            )
