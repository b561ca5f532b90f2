"""The failing sites as a table: aligned, cut to a width, the numbers beside what was allowed."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_parity.report.words import elided, number, pair, verdict_word
from pytest_parity.result import Delta

__all__ = ["table"]

_HEAD = ("site", "verdict", "max abs", "max rel", "allowed", "worst element: here, reference")
_NUMBERS = 3
"""The columns before the last, aligned to the right."""
_GAP = "  "
_SITE_AT_LEAST = 24


def table(deltas: Sequence[Delta], *, width: int, limit: int) -> list[str]:
    """A line per delta under a heading, and a last one that says how many are left out."""
    several = len({delta.step for delta in deltas}) > 1
    rows = [_row(delta, several) for delta in deltas[:limit]]
    columns = list(zip(_HEAD, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    widths[0] = min(widths[0], max(_SITE_AT_LEAST, width - sum(widths[1:]) - len(_GAP) * (len(_HEAD) - 1)))
    lines = [_line(row, widths) for row in (_HEAD, *rows)]
    if len(deltas) > limit:
        lines.append(f"... and {len(deltas) - limit:,} more")
    return lines


def _row(delta: Delta, several: bool) -> tuple[str, ...]:
    site = f"step {delta.step}: {delta.site}" if several else delta.site
    verdict, metrics = verdict_word(delta.verdict), delta.metrics
    if metrics is None:
        return (site, verdict, "", "", "", delta.detail)
    ours, theirs = pair(metrics.worst_actual, metrics.worst_expected)
    index = f"[{', '.join(map(str, metrics.worst_index))}] " if metrics.worst_index else ""
    worst = f"{index}{ours}, {theirs}"
    return (
        site,
        verdict,
        number(metrics.max_abs),
        number(metrics.max_rel),
        number(metrics.worst_allowed),
        f"{worst} ({delta.detail})" if delta.detail else worst,
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    last = len(row) - 1
    cells = [elided(row[0], widths[0]).ljust(widths[0]), row[1].ljust(widths[1])]
    cells += [row[place].rjust(widths[place]) for place in range(last - _NUMBERS, last)]
    return _GAP.join([*cells, row[last]]).rstrip()
