"""The records of a TensorBoard event file: length, checksum, bytes, checksum; up to where a kill has torn it.

The checksums (CRC-32C, Castagnoli, masked as in TFRecord files) are computed for all records of one length at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from pytest_parity.errors import CurveError

__all__ = ["EventFile"]

_LENGTH = Struct("<Q")
_HEADER = 12
_FOOTER = 4
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_MASK_DELTA = 0xA282EAD8
_CHECKED = 1024  # bytes: a scalar is smaller by far; images and graphs are not checked
_Words = NDArray[np.uint32]


class EventFile:
    """One event file. ``torn`` after reading: its last record is not whole, as a kill leaves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False

    def records(self) -> Iterator[bytes]:
        """The records' bytes.

        Raises:
            CurveError: a record in the middle of the file is damaged.
        """
        if self.path.stat().st_size == 0:
            return
        content = np.memmap(self.path, np.uint8, mode="r")
        data = content.data
        starts, lengths, whole = self._intact(content, data)
        self.torn = whole < len(data)
        for start, length in zip(starts, lengths, strict=True):
            yield bytes(data[start : start + length])

    def _intact(self, content: NDArray[np.uint8], data: memoryview) -> tuple[list[int], list[int], int]:
        """Where the records' bytes start, how many they are, and where the last one ends: nothing but a torn one may follow."""
        starts, lengths, end = _frames(data)
        good = _checked(content, starts, lengths)
        count = len(starts) if good.all() else int(np.argmin(good))
        at = int(starts[count]) - _HEADER if count < len(starts) else end
        if _torn(content[at:]):
            return starts[:count].tolist(), lengths[:count].tolist(), at
        if at == 0:
            raise CurveError(f"{self.path}: not an event file of TensorBoard: its first record's checksum is wrong")
        raise CurveError(
            f"{self.path}: damaged at byte {at:,} of {len(data):,}: a record's checksum is wrong, and what follows "
            f"cannot be trusted; copy the file again from where it was written"
        )


def _torn(tail: NDArray[np.uint8]) -> bool:
    """Whether this is nothing, or what a kill leaves of a record: its beginning, and zeros where the disk had no time."""
    if len(tail) < _HEADER:
        return True
    if not _matches(tail, np.zeros(1, np.int64), 8)[0]:
        return not tail[_HEADER - 1 :].any()
    (length,) = _LENGTH.unpack_from(tail.data)
    return not tail[_HEADER + length + _FOOTER - 1 :].any()


def _frames(data: memoryview) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Where each whole record's bytes start, how many they are, and where the last one ends."""
    starts, lengths, position, size = [], [], 0, len(data)
    read = _LENGTH.unpack_from
    while position + _HEADER <= size:
        (length,) = read(data, position)
        end = position + _HEADER + length + _FOOTER
        if end > size or not length:
            break
        starts.append(position + _HEADER)
        lengths.append(length)
        position = end
    return np.array(starts, np.int64), np.array(lengths, np.int64), position


def _checked(content: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each record's length and bytes have their checksums."""
    good = _matches(content, starts - _HEADER, 8)
    for length in np.unique(lengths[lengths <= _CHECKED]).tolist():
        those = np.flatnonzero(lengths == length)
        good[those] &= _matches(content, starts[those], length)
    return good


def _matches(content: NDArray[np.uint8], starts: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    """Whether the bytes from each start are followed by their checksum."""
    table = _table()
    crc = np.full(len(starts), 0xFFFFFFFF, np.uint32)
    for offset in range(length):
        crc = table[(crc ^ content[starts + offset]) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    masked = ((crc >> 15) | (crc << 17)) + np.uint32(_MASK_DELTA)
    stored = np.zeros(len(starts), np.uint32)
    for offset in range(4):
        stored |= content[starts + length + offset].astype(np.uint32) << (8 * offset)
    return np.asarray(masked == stored)


@cache
def _table() -> _Words:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(_POLYNOMIAL), crc >> 1)
    return crc
