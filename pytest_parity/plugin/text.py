"""Small pieces of the plugin's messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from pytest_parity.report.words import listed

__all__ = ["nearest", "quoted", "shortened"]

_SHOWN = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"``, or nothing where no known name is near."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def quoted(names: Iterable[str]) -> str:
    """Names in one line."""
    return ", ".join(names)


def shortened(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    return listed(names, _SHOWN)
