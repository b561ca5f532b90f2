"""Told: what a sink logs of a run's document: each case as a run of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import cast

from pytest_parity.report.markdown import markdown
from pytest_parity.report.marks import code, row
from pytest_parity.report.model import CaseDocument, CurveRow, Document, Number, RunRow
from pytest_parity.report.sinks.logged import Line, Logged
from pytest_parity.report.words import number

__all__ = ["told_runs"]

_MODULES = 200
"""Rows of the table of modules."""
_NO_PATH = re.compile(r"[/\\]")


def told_runs(document: Document) -> list[Logged]:
    """A run for each case, in the document's order."""
    return [_case(case, document) for case in document["cases"]]


def _case(case: CaseDocument, document: Document) -> Logged:
    alone = cast("RunRow", {**document["run"], "outcomes": {case["outcome"]: 1}, "complaints": [], "lines": []})
    own: Document = {**document, "run": alone, "cases": [case]}
    return Logged(
        name=case["case"],
        passed=None if case["outcome"] == "recorded" else case["outcome"] == "passed",
        config=dict(_config(case, document["run"])),
        scalars=_scalars(case),
        lines=[*_losses(case), *_steps(case), *_modules(case), *_curves(case["curves"])],
        headline=case["headline"],
        text=markdown(own) + _module_table(case),
    )


def _config(case: CaseDocument, run: RunRow) -> Iterator[tuple[str, str]]:
    """What was run, and with what; what is not known is left out."""
    found = {
        "command": run["command"],
        "case": case["case"],
        "test": case["nodeid"],
        "outcome": case["outcome"],
        "golden": run["golden"],
        "candidate": run["candidate"],
        "device": run["device"],
        **run["dtypes"],
        **run["versions"],
    }
    if case["diagnosis"] is not None:
        found["first divergence"] = case["diagnosis"]["module"]
    return ((name, value) for name, value in found.items() if value)


def _scalars(case: CaseDocument) -> dict[str, float]:
    recorded = case["recorded"]
    if recorded is not None:
        return {"parity/recorded_sites": float(recorded["sites"]), "parity/recorded_bytes": float(recorded["size"])}
    found = {
        "parity/passed": float(case["outcome"] == "passed"),
        "parity/expected": float(case["expected"]),
        "parity/compared": float(case["compared"]),
        "parity/failing": float(sum(step["failing"] for step in case["steps"])),
    }
    found.update({f"sites/{verdict}": float(count) for verdict, count in case["counts"].items()})
    found.update({f"curve/{curve['name']}/passed": float(curve["passed"]) for curve in case["curves"]})
    return found


def _losses(case: CaseDocument) -> Iterator[Line]:
    """Those of the reference and of the candidate under one tag."""
    for name in dict.fromkeys(loss["name"] for loss in case["losses"]):
        tag = name if name == "loss" or name.startswith(("loss/", "loss#")) else f"loss/{name}"
        for side in ("reference", "candidate"):
            points = [(loss["step"], loss[side]) for loss in case["losses"] if loss["name"] == name]
            yield from _line(tag, points, side=side)


def _steps(case: CaseDocument) -> Iterator[Line]:
    yield from _line("parity/failing_by_step", [(step["step"], step["failing"]) for step in case["steps"]])
    yield from _line("parity/worst_floors_by_step", [(step["step"], step.get("floors")) for step in case["steps"]])


def _modules(case: CaseDocument) -> Iterator[Line]:
    """Errors over the modules, counted as the table of modules does."""
    for error in ("outgoing", "introduced"):
        points = [(place, module[error]) for place, module in enumerate(case["modules"])]
        yield from _line(f"modules/{error}", points, axis="module")


def _curves(curves: Iterable[CurveRow]) -> Iterator[Line]:
    """Each asserted curve with what it was held against; of a band both edges."""
    for curve in curves:
        roles = Counter(line["role"] for line in curve["lines"])
        for line in curve["lines"]:
            role = line["role"] if roles[line["role"]] == 1 else f"{line['role']} {line['label']}"
            side = _NO_PATH.sub("_", role)
            edges = [("", line["values"])] if not line["high"] else [(" low", line["values"]), (" high", line["high"])]
            for edge, values in edges:
                points = list(zip(line["steps"], values, strict=True))
                yield from _line(f"curve/{curve['name']}", points, side=side + edge)


def _line(
    tag: str, points: Iterable[tuple[int, Number | None]], *, side: str = "", axis: str = "step"
) -> Iterator[Line]:
    """The points that are known; none where there is none."""
    known = [(step, float(value)) for step, value in points if value is not None]
    if known:
        yield Line(tag, [step for step, _ in known], [value for _, value in known], side, axis)


def _module_table(case: CaseDocument) -> str:
    """The errors again, beside the modules' names; empty where none is known."""
    numbered = enumerate(case["modules"])
    known = [(i, one) for i, one in numbered if one["outgoing"] is not None or one["introduced"] is not None]
    if not known:
        return ""
    head = [row(["", "module", "introduced", "outgoing"]), row(["---"] * 4)]
    rows = [row([str(i), code(one["path"]), _floors(one["introduced"]), _floors(one["outgoing"])]) for i, one in known]
    more = [f"\n{len(rows) - _MODULES:,} more modules"] if len(rows) > _MODULES else []
    return "\n".join(["", "### Modules, in noise floors", "", *head, *rows[:_MODULES], *more, ""])


def _floors(value: Number | None) -> str:
    return "" if value is None else number(float(value))
