"""Parsing: a metrics file's bytes as plain data, in which each long array of numbers is numpy's."""

from __future__ import annotations

import json
import re
from typing import Any

from numpy.typing import NDArray

from pytest_parity.curves.numbers import from_text

__all__ = ["NotJson", "parsed"]

_LONG = 512
"""Bytes from which an array is worth numpy's parser."""
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|\[[^\[\]{}"]*\]', re.DOTALL)
"""A string, or an array that has nothing but numbers in it."""
_MARK = "\x00array"


class NotJson(ValueError):
    """The bytes are no JSON; the message says where."""


def parsed(data: bytes) -> Any:
    """What ``json.loads`` gives, with an array in the place of a long list of numbers. Raises ``NotJson``."""
    arrays: list[NDArray[Any]] = []
    pieces: list[bytes] = []
    spans: list[tuple[int, int]] = []
    done = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    first = done
    for match in _TOKEN.finditer(data, done):
        start, stop = match.span()
        if stop - start < _LONG or data[start] != ord("["):
            continue
        try:
            arrays.append(from_text(data, start + 1, stop - 1))
        except ValueError:
            continue  # json says what is wrong with it
        pieces += [data[done:start], b'{"\\u0000array": %d}' % (len(arrays) - 1)]
        spans.append((start, stop))
        done = stop
    skeleton = b"".join([*pieces, data[done:]])
    try:
        return json.loads(skeleton.decode(), object_pairs_hook=lambda pairs: _table(pairs, arrays))
    except UnicodeDecodeError as error:
        raise NotJson(f"byte {error.start} is no UTF-8") from None
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = _place(skeleton[: len(error.doc[: error.pos].encode())], pieces, spans, first)
        raise NotJson(f"{error.msg} at byte {place} of {len(data)}") from None


def _table(pairs: list[tuple[str, Any]], arrays: list[NDArray[Any]]) -> Any:
    table = dict(pairs)
    number = table.get(_MARK)
    return arrays[number] if isinstance(number, int) and number < len(arrays) else table


def _place(before: bytes, pieces: list[bytes], spans: list[tuple[int, int]], first: int) -> int:
    """Where in the data the end of a piece of the skeleton is."""
    place, length = len(before) + first, 0
    for number, (start, stop) in enumerate(spans):
        text, mark = pieces[2 * number : 2 * number + 2]
        length += len(text) + len(mark)
        if length <= len(before):
            place += stop - start - len(mark)
    return place
