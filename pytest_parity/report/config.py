"""Two configurations as text: what differs, what changes numbers first, and what could not be told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_parity.report.words import amount, elided, listed

if TYPE_CHECKING:
    from pytest_parity.contract.config import ConfigComparison, KeyCompared

__all__ = ["EFFECT_WORDS", "config_headline", "config_lines", "config_notes", "value_words"]

EFFECT_WORDS = {"numbers": "changes numbers", "may": "may change numbers", "unlikely": "hardly changes numbers"}
"""By ``Effect``."""

_LONGEST = 48
_KEYS = 4


def config_lines(found: ConfigComparison) -> list[str]:
    """The headline, a paragraph for each effect, and the remarks."""
    lines = [config_headline(found)]
    for effect, words in EFFECT_WORDS.items():
        rows = [row for row in found.differences if row.effect == effect]
        if rows:
            lines += ["", f"{words}: {len(rows):,}", *_rows(rows)]
    notes = config_notes(found)
    return [*lines, *([""] if notes else []), *notes]


def config_headline(found: ConfigComparison) -> str:
    """``3 of 152 keys differ; the reference is a.yaml, the candidate b.yaml``."""
    who = f"the reference is {found.reference}, the candidate {found.candidate}"
    count, differing = amount(len(found.keys), "key"), len(found.differences)
    if not differing:
        return f"{count} compared, all the same; {who}"
    return f"{differing:,} of {count} {'differs' if differing == 1 else 'differ'}; {who}"


def config_notes(found: ConfigComparison) -> list[str]:
    """What was left out, and what is compared as it is written."""
    notes = [f"--ignore {pattern} left out {amount(count, 'key')}" for pattern, count in found.ignored.items()]
    reasons: dict[str, list[str]] = {}
    for key, why in found.unresolved.items():
        reasons.setdefault(why, []).append(key)
    notes += [f"compared as written, {why}: {listed(keys, _KEYS)}" for why, keys in reasons.items()]
    return notes


def value_words(value: Any) -> str:
    """A value as JSON has it, so that ``true`` and ``"true"`` are told apart; what is not there as ``absent``."""
    return "absent" if value is ... else elided(json.dumps(value, ensure_ascii=False, default=str), _LONGEST)


def _rows(rows: list[KeyCompared]) -> Iterator[str]:
    cells = [
        (row.key, str(row.change), f"{value_words(row.reference)} -> {value_words(row.candidate)}") for row in rows
    ]
    widths = [max(len(cell[place]) for cell in cells) for place in range(3)]
    for row, cell in zip(rows, cells, strict=True):
        text = "  ".join(part.ljust(width) for part, width in zip(cell, widths, strict=True))
        yield f"  {text}  {row.reason}"
