"""The names nearest to one that was not found."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["nearest"]

_CUTOFF = 0.5
_TRIED = 4000
"""Comparing strings is quadratic in their length; an error message need not be complete."""


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """A clause for the end of an error message; prefixes of the known names count as names too."""
    depth = name.count(".") + 1
    cut = dict.fromkeys(".".join(path.split(".")[:depth]) for path in known)
    found = get_close_matches(name, list(cut)[:_TRIED], n=limit, cutoff=_CUTOFF)
    return f"; nearest: {', '.join(map(repr, found))}" if found else ""
