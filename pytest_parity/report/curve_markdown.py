"""Training curves in Markdown: a table of what is wrong with each that fails, a line for those that pass."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_parity.report.curve_model import CurveRow, FindingRow
from pytest_parity.report.curves import CURVE_HEAD, finding_cells
from pytest_parity.report.marks import plain, row
from pytest_parity.report.model import CaseDocument
from pytest_parity.report.words import amount, listed
from pytest_parity.result import CurveCheck, CurveFinding

__all__ = ["curve_blocks", "told_by_curves"]

_ROWS = 12
_NAMES = 5


def told_by_curves(case: CaseDocument) -> bool:
    """Whether a curve that fails is what the case's first line tells, so that its table says what the message says."""
    return any(not curve["passed"] and curve["headline"] in case["headline"] for curve in case["curves"])


def curve_blocks(case: CaseDocument) -> Iterator[str]:
    """Each is whole by itself."""
    for curve in case["curves"]:
        if not curve["passed"]:
            yield from _failed(curve, said=curve["headline"] in case["headline"])
    passed = [curve for curve in case["curves"] if curve["passed"]]
    if len(passed) == 1:
        yield plain(passed[0]["headline"])
    elif passed:
        names = listed([curve["name"] for curve in passed], _NAMES)
        yield plain(f"{amount(len(passed), 'curve')} within what was recorded: {names}")


def _failed(curve: CurveRow, *, said: bool) -> Iterator[str]:
    if not said:
        yield plain(curve["headline"])
    if curve["findings"] and curve["compared"]:
        head = [f"curve {plain(curve['name'])}", *CURVE_HEAD[1:]]
        rows = [_cells(finding) for finding in curve["findings"]]
        table = "\n".join([row(head), row(["---"] * len(head)), *map(row, rows[:_ROWS])])
        more = len(rows) - _ROWS
        yield f"{table}\n\nand {more:,} more" if more > 0 else table
    if curve["notes"]:
        yield "\n".join(f"- {plain(note)}" for note in curve["notes"])


def _cells(row_: FindingRow) -> list[str]:
    finding = CurveFinding(
        check=CurveCheck(row_["check"]),
        step=row_["step"],
        last=row_["last"],
        count=row_["count"],
        value=float(row_["value"]),
        expected=float(row_["expected"]),
        low=float(row_["low"]),
        high=float(row_["high"]),
        share=float(row_["share"]),
    )
    check, *cells = finding_cells(finding)
    return [plain(f"{check} ({row_['detail']})" if row_["detail"] else check), *map(plain, cells)]
