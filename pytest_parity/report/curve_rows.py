"""Curve rows: what was found of training curves as rows of a document."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_parity.report.curve_model import CurveRow, FindingRow, LineRow
from pytest_parity.report.curves import curve_headline, finding_sentence
from pytest_parity.result import CurveComparison, CurveFinding, CurveLine

__all__ = ["curve_row", "curve_rows"]


def curve_rows(curves: Sequence[CurveComparison]) -> list[CurveRow]:
    """Those that fail first, else in the order in which they were asserted."""
    return [curve_row(one) for one in sorted(curves, key=lambda one: one.passed)]


def curve_row(found: CurveComparison) -> CurveRow:
    """One curve's verdict, what is wrong in words, and the lines to draw."""
    return CurveRow(
        name=found.name,
        unit=found.unit,
        passed=found.passed,
        headline=curve_headline(found),
        expected=found.expected,
        compared=found.compared,
        references=found.references,
        origin=found.origin,
        equal=found.equal,
        nearest=found.nearest,
        share=found.share,
        findings=[_finding(one, found) for one in found.findings],
        lines=[_line(one) for one in found.lines],
        notes=list(found.notes),
    )


def _finding(finding: CurveFinding, found: CurveComparison) -> FindingRow:
    return FindingRow(
        check=finding.check.value,
        text=finding_sentence(finding, found),
        step=finding.step,
        last=finding.last,
        count=finding.count,
        value=finding.value,
        expected=finding.expected,
        low=finding.low,
        high=finding.high,
        share=finding.share,
        detail=finding.detail,
    )


def _line(line: CurveLine) -> LineRow:
    return LineRow(
        label=line.label, role=line.role, steps=list(line.steps), values=list(line.values), high=list(line.high)
    )
