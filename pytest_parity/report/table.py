"""The failing sites as a table: aligned, cut to a width, the numbers beside what was allowed."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_parity.report.words import elided, number, pair, verdict_word
from pytest_parity.result import Delta, Metrics

__all__ = ["table"]

_HEAD = ("site", "verdict", "max abs", "max rel", "allowed", "worst: here, reference")
_NOISE = 2
"""Where the column of the noise floor stands, where one of the sites was judged by it."""
_GAP = "  "
_SITE_AT_LEAST = 24


def table(deltas: Sequence[Delta], *, width: int, limit: int) -> list[str]:
    """A line per delta under a heading, and a last one that says how many are left out.

    A delta without numbers has its detail in place of them. Only sites are shortened to fit, and not without end.
    """
    several = len({delta.step for delta in deltas}) > 1
    by_floor = any(delta.noise is not None and delta.metrics is not None for delta in deltas[:limit])
    head = (*_HEAD[:_NOISE], "floors: norm, gain", *_HEAD[_NOISE:]) if by_floor else _HEAD
    rows = [head, *(_row(delta, several, by_floor) for delta in deltas[:limit])]
    widths = [max(len(row[place]) for row in rows if place < len(row) - 1) for place in range(len(head) - 1)]
    rest = sum(widths[1:]) + max(len(row[-1]) for row in rows if len(row) == len(head)) + len(_GAP) * len(widths)
    widths[0] = min(widths[0], max(_SITE_AT_LEAST, width - rest))
    lines = [_line(row, widths) for row in rows]
    if len(deltas) > limit:
        lines.append(f"... and {len(deltas) - limit:,} more")
    return lines


def _row(delta: Delta, several: bool, by_floor: bool) -> tuple[str, ...]:
    site = f"step {delta.step}: {delta.site}" if several else delta.site
    verdict, metrics, noise = verdict_word(delta.verdict), delta.metrics, delta.noise
    if metrics is None:
        return (site, verdict, delta.detail)
    ours, theirs = pair(metrics.worst_actual, metrics.worst_expected)
    index = f"[{', '.join(map(str, metrics.worst_index))}] " if metrics.worst_index else ""
    worst = f"{index}{ours}, {theirs}"
    floors = (f"{number(noise.norm_ratio)}, {number(noise.gain_ratio)}" if noise else "",) if by_floor else ()
    return (
        site,
        verdict,
        *floors,
        *_far(metrics),
        f"{noise.factor:g} floors" if noise else number(metrics.worst_allowed) if metrics.finite else "-",
        f"{worst} ({delta.detail})" if delta.detail else worst,
    )


def _far(metrics: Metrics) -> tuple[str, str]:
    """Of a tensor in which nothing is finite no distance is known."""
    return (number(metrics.max_abs), number(metrics.max_rel)) if metrics.finite else ("-", "-")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [elided(row[0], widths[0]).ljust(widths[0]), row[1].ljust(widths[1])]
    cells += [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:], strict=False)]
    return _GAP.join([*cells, row[-1]]).rstrip()
