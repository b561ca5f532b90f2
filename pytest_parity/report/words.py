"""Numbers, steps, names and counts as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite

from pytest_parity.result import Verdict

__all__ = ["amount", "counted", "elided", "listed", "number", "pair", "size", "steps_words", "verdict_word"]

_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000
_DIGITS = 3
_ENOUGH = 17
"""Significant digits that tell any two float64 apart."""


def number(value: float) -> str:
    """Three significant digits."""
    return f"{value:.{_DIGITS}g}"


def pair(ours: float, theirs: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to see that they are not the same, at least three."""
    for digits in range(_DIGITS, _ENOUGH + 1):
        texts = f"{ours:.{digits}g}", f"{theirs:.{digits}g}"
        if texts[0] != texts[1] or not (isfinite(ours) and isfinite(theirs)):
            break
    return texts


def size(count: int) -> str:
    """Bytes in decimal units."""
    value, units = float(count), iter(_UNITS)
    unit = next(units)
    for larger in units:
        if value < _THOUSAND:
            break
        value, unit = value / _THOUSAND, larger
    return f"{count} B" if unit == _UNITS[0] else f"{value:.3g} {unit}"


def amount(count: int, noun: str) -> str:
    """``1 site``, ``12,000 sites``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def elided(text: str, width: int) -> str:
    """The text in at most ``width`` columns, its middle left out; of a site's name the end tells most."""
    if len(text) <= width:
        return text
    room = max(width - 3, 2)
    tail = (2 * room + 2) // 3
    return f"{text[: room - tail]}...{text[-tail:]}"


def listed(names: Sequence[str], limit: int) -> str:
    """Names in a line, ``and 3 more`` behind the first few."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more:,} more" if more > 0 else "")


def verdict_word(verdict: Verdict | str) -> str:
    """A verdict as a word that stands behind a count."""
    return str(verdict).replace("_", " ")


def counted(counts: Mapping[str, int]) -> str:
    """``1200 equal, 36 close``, in the order in which the verdicts are defined; what is no verdict comes after."""
    order = dict.fromkeys([*map(str, Verdict), *counts])
    return ", ".join(f"{counts[key]:,} {verdict_word(key)}" for key in order if counts.get(key))


def steps_words(steps: Sequence[int]) -> str:
    """``step 3``, ``steps 0-2``, ``steps 0-2, 10``; empty where there are none."""
    if not steps:
        return ""
    ordered = sorted(set(steps))
    starts = [ordered[0], *(b for a, b in pairwise(ordered) if b != a + 1)]
    ends = [*(a for a, b in pairwise(ordered) if b != a + 1), ordered[-1]]
    ranges = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return f"{'step' if len(ordered) == 1 else 'steps'} {', '.join(ranges)}"
