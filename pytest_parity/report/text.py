"""The text of a failed check: first the bug, then the sites that fail, then what was compared and what was not."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_parity.report.coverage import coverage_lines
from pytest_parity.report.curves import curve_lines, curves_summary
from pytest_parity.report.data import data_lines, data_sentence
from pytest_parity.report.environment import character_lines, difference_lines
from pytest_parity.report.isolated import isolation_lines
from pytest_parity.report.lines import VACUOUS, compared_of
from pytest_parity.report.sentence import data_first, headline
from pytest_parity.report.table import table
from pytest_parity.report.words import amount, counted, listed
from pytest_parity.result import Comparison, Verdict

__all__ = ["failure_text"]

_REMARKS = {
    Verdict.EXTRA: "only in the candidate",
    Verdict.VACUOUS: VACUOUS,
    Verdict.BELOW_NOISE: "below the noise floor",
    Verdict.UNOBSERVABLE: "unobservable, inside a compiled region",
}
_SITES_IN_A_REMARK = 3


def failure_text(comparison: Comparison, *, width: int = 100, limit: int = 20) -> str:
    """Several lines without a newline at the end; tables are cut to ``width`` columns, sentences are not.

    At most ``limit`` failing sites are listed, in execution order.
    """
    lines = [headline(comparison), *_hints(comparison)]
    if comparison.failures:
        lines += ["", *table(comparison.failures, width=width, limit=limit)]
    if comparison.failing_curves:
        said = comparison.failing_curves[0] if comparison.diagnosis is None and not comparison.failures else None
        lines += ["", *curve_lines(comparison, skip=said)]
    lines += [
        "",
        *_coverage(comparison),
        *comparison.notes,
        *character_lines(comparison),
        *difference_lines(comparison),
    ]
    return "\n".join(lines)


def _hints(comparison: Comparison) -> Iterator[str]:
    if comparison.data is not None:
        if not data_first(comparison):
            yield f"  and {data_sentence(comparison.data)}"
        yield from (f"  {line}" for line in data_lines(comparison.data))
    if comparison.diagnosis is not None and not data_first(comparison):
        for hint in (*comparison.diagnosis.hints, *(one.text for one in comparison.diagnosis.causes)):
            yield f"  {hint}"
        yield from (f"  {line}" for line in isolation_lines(comparison))


def _coverage(comparison: Comparison) -> Iterator[str]:
    if comparison.curves:
        yield curves_summary(comparison)
    if not comparison.expected and comparison.curves:
        return
    elements = f" ({amount(comparison.elements, 'element')})" if comparison.elements else ""
    counts = counted(comparison.counts) or "nothing"
    yield f"{compared_of(comparison)}{elements}: {counts}"
    yield from coverage_lines(comparison)
    for verdict, remark in _REMARKS.items():
        sites = [delta.site for delta in comparison.deltas if delta.verdict is verdict]
        if sites:
            yield f"{remark}: {listed(sites, _SITES_IN_A_REMARK)}"
