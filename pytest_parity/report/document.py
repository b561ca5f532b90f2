"""Document: a run's results as the one document that every report is a rendering of; see ``model``."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast, get_type_hints

from pytest_parity.report.coverage import coverage_lines
from pytest_parity.report.curve_rows import curve_rows
from pytest_parity.report.data import data_lines, data_sentence
from pytest_parity.report.environment import character_lines
from pytest_parity.report.isolated import faulty_words
from pytest_parity.report.lines import recorded_line, summary_line
from pytest_parity.report.model import (
    SCHEMA,
    CallRow,
    CaseDocument,
    CoverageRow,
    DiagnosisRow,
    Document,
    EnvironmentRow,
    FaultyRow,
    IsolationRow,
    LossRow,
    RunRow,
    SettingRow,
    StepRow,
    StructureRow,
)
from pytest_parity.report.module_rows import module_rows
from pytest_parity.report.site_rows import Owners, site_rows, told_sites
from pytest_parity.report.strict import Places, strict
from pytest_parity.result import Comparison, Diagnosis, Fault, Isolation, LossFound, Recorded
from pytest_parity.result.plain import plain_dict

__all__ = ["Told", "case_document", "document", "relative_to", "versions"]

_DTYPES = (
    "default dtype",
    "autocast",
    "float32 matmul precision",
    "TF32 in matrix products",
    "TF32 in convolutions",
    "float32 in oneDNN",
    "float16 sums",
    "bfloat16 sums",
)
"""What of the environment decides about precision."""
_ORDER = {"failed": 0}


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a case at the end of a run."""

    case: str
    outcome: str
    text: str = ""
    """What the terminal says of it: of a failure the whole message."""
    comparison: Comparison | None = None
    recorded: Recorded | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """The golden's; empty where it cannot be read, or there is none."""
    nodeid: str = ""
    file: str = ""
    line: int = 0
    losses: tuple[LossFound, ...] | None = None
    """Where they are not those of the comparison's trace."""


def document(
    cases: Sequence[Told],
    *,
    command: str,
    golden: str,
    candidate: str = "",
    versions: Mapping[str, str],
    lines: Sequence[str] = (),
    complaints: Sequence[str] = (),
    places: Sequence[Path] = (),
) -> Document:
    """The document of a run; paths below ``places`` are told from there on, the longest first."""
    told = [case_document(case) for case in sorted(cases, key=lambda case: _ORDER.get(case.outcome, 1))]
    here: Mapping[str, str] = next((case["environment"]["here"] for case in told if case["environment"]["here"]), {})
    run = RunRow(
        command=command,
        passed=not complaints and all(case["outcome"] != "failed" for case in told),
        outcomes=dict(Counter(case["outcome"] for case in told)),
        golden=golden,
        candidate=candidate,
        versions=dict(versions),
        device=here.get("device", ""),
        dtypes={name: here[name] for name in _DTYPES if name in here},
        lines=list(lines),
        complaints=list(complaints),
    )
    found = Document(schema=SCHEMA, written_by="pytest-parity", run=run, cases=told)
    return cast("Document", strict(found, Places(places)))


def case_document(told: Told) -> CaseDocument:
    """One case, not yet as strict JSON has it."""
    comparison, manifest = told.comparison, told.manifest
    diagnosis = comparison.diagnosis if comparison else None
    structure = manifest.get("structure", {})
    owners = Owners(structure.get("modules", {}))
    step, traced = told_sites(comparison)
    trace = comparison.trace if comparison else None
    losses = told.losses if told.losses is not None else trace.losses if trace else _recorded_losses(told)
    return CaseDocument(
        case=told.case,
        nodeid=told.nodeid,
        file=told.file,
        line=told.line,
        outcome=told.outcome,
        headline=_headline(told),
        message=told.text,
        expected=comparison.expected if comparison else 0,
        compared=comparison.compared if comparison else 0,
        counts=dict(comparison.counts) if comparison else {},
        kinds=dict(comparison.kinds) if comparison else {},
        coverage=_coverage(comparison) if comparison else None,
        steps=_steps(comparison) if comparison else [],
        environment=_environment(told),
        settings=[_chosen(SettingRow, asdict(one)) for one in comparison.differences] if comparison else [],
        remarks=_remarks(comparison) if comparison else [],
        notes=list(comparison.notes if comparison else told.recorded.notes if told.recorded else ()),
        diagnosis=None if diagnosis is None else _chosen(DiagnosisRow, asdict(diagnosis, dict_factory=plain_dict)),
        isolation=_isolation(comparison.isolation) if comparison and comparison.isolation else None,
        structure=_structure(comparison, diagnosis),
        losses=[_chosen(LossRow, asdict(one)) for one in losses],
        curves=curve_rows(comparison.curves) if comparison else [],
        modules=module_rows(comparison, traced, structure, owners),
        step=step,
        sites=site_rows(traced, owners),
        history=list(manifest.get("history", ())),
        recorded=_recorded(told.recorded),
    )


def versions(*further: str) -> dict[str, str]:
    """Of pytest-parity, python and torch, and of ``further`` packages; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in ("pytest-parity", "torch", *further):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return dict(sorted(found.items()))


def relative_to(path: Path, base: Path) -> str:
    """A path as seen from ``base``; of one that is elsewhere the last part alone, which tells no user."""
    path, base = Path(os.path.abspath(path)), Path(os.path.abspath(base))  # noqa: PTH100  a link stays as it is named
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name


def _headline(told: Told) -> str:
    if told.outcome == "failed" or (told.comparison is None and told.recorded is None):
        return told.text.partition("\n")[0]
    if told.recorded is not None:
        return recorded_line(told.recorded)
    assert told.comparison is not None
    return summary_line(told.comparison)


def _remarks(comparison: Comparison) -> list[str]:
    data = [] if comparison.data is None else [data_sentence(comparison.data), *data_lines(comparison.data)]
    return [line.strip() for line in (*data, *coverage_lines(comparison), *character_lines(comparison))]


def _coverage(comparison: Comparison) -> CoverageRow:
    return CoverageRow(**{**asdict(comparison.coverage), "elements": comparison.elements})  # type: ignore[typeddict-item]


def _steps(comparison: Comparison) -> list[StepRow]:
    failing = Counter(delta.step for delta in comparison.failures)
    floors = dict(comparison.trace.floors) if comparison.trace else {}
    rows = [StepRow(step=step, failing=failing[step]) for step in sorted({*comparison.steps, *failing})]
    for row in rows:
        if row["step"] in floors:
            row["floors"] = floors[row["step"]]
    return rows


def _environment(told: Told) -> EnvironmentRow:
    known: Mapping[str, str] = told.manifest.get("provenance", {}).get("environment") or {}
    comparison = told.comparison
    if comparison is None:
        return EnvironmentRow(golden={}, here=dict(known) if told.recorded else {}, differences=[])
    here = comparison.trace.environment if comparison.trace else {}
    pairs = comparison.environment.items()
    rows: Any = [{"name": name, "golden": golden, "here": own} for name, (golden, own) in pairs]
    return EnvironmentRow(golden=dict(known), here=dict(here), differences=rows)


def _isolation(isolation: Isolation) -> IsolationRow:
    faulty = [
        _chosen(FaultyRow, {**asdict(one, dict_factory=plain_dict), "text": faulty_words(one)})
        for one in isolation.faulty
    ]
    errors = [_chosen(CallRow, asdict(one)) for one in isolation.errors]
    return IsolationRow(
        step=isolation.step, calls=isolation.calls, faulty=faulty, errors=errors, refused=isolation.refused
    )


def _chosen(of: Any, plain: Mapping[str, Any]) -> Any:
    """What a row has a place for; results have more that is their own business."""
    return {name: plain[name] for name in get_type_hints(of)}


def _recorded_losses(told: Told) -> list[LossFound]:
    """Of a recording, those of its steps that are one number."""
    if told.recorded is None:
        return []
    steps = sorted((int(step), held.get("loss", {})) for step, held in told.manifest.get("steps", {}).items())
    return [LossFound(step, name, value, None, "") for step, losses in steps for name, value in losses.items()]


def _structure(comparison: Comparison | None, diagnosis: Diagnosis | None) -> list[StructureRow]:
    if comparison is None or diagnosis is None or diagnosis.fault is not Fault.STRUCTURE:
        return []
    return [
        StructureRow(site=one.site, candidate=one.candidate, verdict=one.verdict.value, detail=one.detail)
        for one in comparison.failures
    ]


def _recorded(recorded: Recorded | None) -> dict[str, Any] | None:
    if recorded is None:
        return None
    moved = None if recorded.moved is None else asdict(recorded.moved)
    return {
        "steps": list(recorded.steps),
        "sites": recorded.sites,
        "curves": list(recorded.curves),
        "size": recorded.size,
        "moved": moved,
    }
