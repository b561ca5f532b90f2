"""Numbers: an array of numbers as JSON has it, and as numpy has it, without a Python object for each.

What is not finite has no JSON: NaN is ``null``, infinity a number that every parser reads as it, ``1e999``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_list", "from_text", "to_text"]

_CHUNK = 1 << 16
"""Numbers that are Python objects at the same time, while they are written."""
_NUMERIC = b"0123456789+-.eE, \t\r\n"
_SPELLED = re.compile(rb"(?:null|NaN|Infinity)*")
_NONFINITE = {"nan": "null", "inf": "1e999"}


def to_text(values: NDArray[Any]) -> Iterator[bytes]:
    """The inside of a JSON array, in pieces: ``1, 2, 3``. A float is written so that reading it gives the same bits."""
    for start in range(0, len(values), _CHUNK):
        piece = values[start : start + _CHUNK]
        text = repr(piece.tolist())[1:-1]
        if piece.dtype.kind == "f" and not np.isfinite(piece).all():
            for name, written in _NONFINITE.items():
                text = text.replace(name, written)
        yield ((", " if start else "") + text).encode()


def from_text(data: bytes, start: int, stop: int) -> NDArray[Any]:
    """The numbers of a JSON array whose inside lies there: ``int64`` where all are whole, else ``float64``.

    Raises ``ValueError`` where something else is among them.
    """
    pieces = []
    while start < stop:
        end = stop if stop - start <= _PIECE else data.find(b",", start + _PIECE, stop)
        end = stop if end < 0 else end
        pieces.append(_parsed(data[start:end]))
        if end == stop:
            break
        start = end + 1
        if start == stop:
            raise ValueError("it ends in a comma")
    if not pieces:
        return np.empty(0)
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


_PIECE = 1 << 22
"""Bytes that are parsed at a time: a copy of an array that is as large as the file is none to afford."""


def _parsed(text: bytes) -> NDArray[Any]:
    spelled = text.translate(None, _NUMERIC)
    if spelled:
        if not _SPELLED.fullmatch(spelled):
            raise ValueError(f"it has {spelled[:20].decode(errors='replace')!r}, which is no number")
        text = text.replace(b"null", b"nan ")
    packed = text.translate(None, b" \t\r\n")
    if not packed or b",," in packed or b"," in (packed[:1], packed[-1:]):  # an integer that is none would be 0
        raise ValueError("there is nothing between two commas")
    whole = not spelled and not any(mark in text for mark in b".eE-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what it could not read; it is counted here
        read = np.fromstring(text, np.int64 if whole else np.float64, sep=",")
    if len(read) != text.count(b",") + 1:  # what newer versions of numpy raise of themselves
        raise ValueError(f"number {len(read) + 1} of it is none")
    return read


def from_list(values: list[Any]) -> NDArray[Any]:
    """The numbers of a list, ``None`` being NaN; raises ``ValueError`` where something else is among them."""
    for index, value in enumerate(values):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"[{index}] is {value!r:.60}, which is no number")
    try:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    except OverflowError as error:
        raise ValueError(f" has an {error}") from None
