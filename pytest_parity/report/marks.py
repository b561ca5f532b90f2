"""Marks: text as GitHub's Markdown shows it, whatever is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["cell", "code", "fenced", "plain", "row"]

_MARKS = re.compile(r"([\\`*{}\[\]<>|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_LIST = re.compile(r"^(\d*)([-+.)])(?=\s)")
_LINKED = re.compile(r"(?<!\S)([\"'(]?)(\S*[#@]\S*?)([\"'):;,.]*)(?!\S)")
"""Words that would become a link to an issue, or call somebody."""


def plain(text: str) -> str:
    """Text in a line; a word with ``#`` or ``@`` in it is set as code, as it would become a link."""
    text = " ".join(text.split())
    parts: list[str] = []
    at = 0
    for found in _LINKED.finditer(text):
        before, word, behind = found.groups()
        parts += [_escaped(text[at : found.start()]), _escaped(before), code(word), _escaped(behind)]
        at = found.end()
    return _LIST.sub(r"\1\\\2", "".join([*parts, _escaped(text[at:])]))


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", text)


def code(text: str) -> str:
    """Text as code in a line, between as many backticks as it takes."""
    text = " ".join(text.split())
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    ticks = "`" * (longest + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{room}{text}{room}{ticks}" if text else ""


def fenced(lines: Sequence[str]) -> str:
    """Lines as they are."""
    longest = max((len(found) for line in lines for found in re.findall(r"`{3,}", line)), default=2)
    fence = "`" * (longest + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def cell(text: str) -> str:
    """Text that may stand between two bars: a bar in code is escaped there too."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def row(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(map(cell, cells))} |"
