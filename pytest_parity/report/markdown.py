"""Markdown: the document as a job's summary or a comment on a pull request: each failing case's first line first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_parity.report.curve_markdown import curve_blocks, told_by_curves
from pytest_parity.report.marks import code, fenced, plain, row
from pytest_parity.report.model import CaseDocument, Document, SettingRow, SiteRow
from pytest_parity.report.words import amount, counted, number, verdict_word
from pytest_parity.result import Verdict

__all__ = ["COMMENT", "SUMMARY", "brief", "markdown"]

COMMENT = 65_536
"""Characters that a comment on GitHub may have."""
SUMMARY = 1 << 20
"""Bytes that the summary of one step may have."""
_OURS = "<!-- pytest-parity -->"
_SITES, _FURTHER = 10, 90
"""Failing sites that are shown, and those that can be unfolded."""
_CASES = 20
_LINES = 40
_DIFFERENCES = 12
_NOTES = 3
_FLOORS, _WORST = ("floors: norm, gain",), "worst: here, reference"
_FAILING = frozenset(verdict.value for verdict in Verdict if verdict.fails)
_SPARE = 300
"""Bytes for the line that says what was left out."""


def markdown(document: Document, *, limit: int = COMMENT) -> str:
    """The document in at most ``limit`` bytes; what does not fit is left out, block by block from the end, and said."""
    blocks = list(_blocks(document))
    whole = "\n\n".join(blocks) + "\n"
    if len(whole.encode()) <= limit:
        return whole
    kept, used = 0, _SPARE
    for block in blocks:
        used += len(block.encode()) + 2
        if used > limit:
            break
        kept += 1
    left = f"**{amount(len(blocks) - kept, 'block')} left out**: GitHub takes {limit:,} bytes; the whole is in --parity-report FILE.json or FILE.html"
    cut = "\n\n".join([*blocks[:kept], left]) + "\n"
    return cut if len(cut.encode()) <= limit else ""


def _blocks(document: Document) -> Iterator[str]:
    """Each is whole by itself: a list, a table, a folded part."""
    run, cases = document["run"], document["cases"]
    failed = [case for case in cases if case["outcome"] == "failed"]
    yield f"{_OURS}\n## pytest-parity: {brief(document)}"
    if run["complaints"]:
        yield "\n".join(f"- **{plain(line)}**" for line in run["complaints"])
    yield from _listed([f"- **{plain(case['headline'])}**" for case in failed], "more failing cases")
    for case in failed:
        yield from _failed(case)
    for outcome, what in (("passed", "passed"), ("recorded", "recorded")):
        lines = [f"- {plain(case['headline'])}" for case in cases if case["outcome"] == outcome]
        if lines:
            yield f"### {amount(len(lines), 'case')} {what}"
            yield from _listed(lines, "more")
    if run["lines"]:
        yield "\n".join(f"- {plain(line)}" for line in run["lines"])
    yield _footer(document)


def brief(document: Document) -> str:
    """``1 of 3 cases failed``."""
    outcomes = document["run"]["outcomes"]
    total = sum(outcomes.values())
    if not total:
        return "no case was run"
    if outcomes.get("failed"):
        return f"{outcomes['failed']:,} of {amount(total, 'case')} failed"
    several = len(outcomes) > 1
    told = ", ".join(f"{count:,} {outcome}" if several else outcome for outcome, count in sorted(outcomes.items()))
    line = f"{amount(total, 'case')}{':' if several else ''} {told}"
    return line if document["run"]["passed"] else f"{line}, and the run fails"


def _footer(document: Document) -> str:
    run = document["run"]
    against = f", candidate {code(run['candidate'])}" if run["candidate"] else ""
    versions = ", ".join(f"{name} {found}" for name, found in run["versions"].items())
    device = f", on {run['device']}" if run["device"] else ""
    return f"<sub>golden {code(run['golden'])}{against}; {plain(versions + device)}</sub>"


def _listed(lines: Sequence[str], what: str) -> Iterator[str]:
    """A list, its end folded."""
    if lines:
        yield "\n".join(lines[:_CASES])
    if len(lines) > _CASES:
        yield _folded(f"{len(lines) - _CASES:,} {what}", "\n".join(lines[_CASES:]))


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _failed(case: CaseDocument) -> Iterator[str]:
    yield f"### {code(case['case'])}"
    if case["file"]:
        yield code(f"{case['file']}:{case['line']}")
    hints = _hints(case)
    if hints:
        yield "\n".join(f"- {plain(hint)}" for hint in hints)
    if case["diagnosis"] is None and case["message"].count("\n") and not told_by_curves(case):
        lines = case["message"].splitlines()
        yield fenced([*lines[:_LINES], *([f"... {len(lines) - _LINES} more lines"] if len(lines) > _LINES else [])])
    yield from _isolated(case, hints)
    yield from curve_blocks(case)
    if case["expected"]:
        counts = counted(case["counts"]) or "nothing"
        yield f"{case['compared']:,} of {amount(case['expected'], 'site')} compared: {plain(counts)}"
    yield from _structure(case)
    yield from _table(case)
    yield from _around(case)
    told = [*case["remarks"], *case["notes"]]
    if told:
        notes = "\n".join(f"- {plain(note)}" for note in told)
        yield notes if len(told) <= _NOTES else _folded(amount(len(told), "note"), notes)


def _hints(case: CaseDocument) -> list[str]:
    diagnosis = case["diagnosis"]
    if diagnosis is None:
        return []
    return list(dict.fromkeys([*diagnosis["hints"], *(cause["text"] for cause in diagnosis["causes"])]))


def _isolated(case: CaseDocument, said: Sequence[str]) -> Iterator[str]:
    """The faulty modules, with their hints where these were not said."""
    isolation = case["isolation"]
    if isolation is None or not isolation["faulty"]:
        return
    lines = ["Alone, fed the golden's values, these differ:", ""]
    for one in isolation["faulty"]:
        lines.append(f"- {plain(one['text'])}")
        lines += [f"  - {plain(hint['text'])}" for hint in one["hints"] if hint["text"] not in said]
    yield "\n".join(lines)


def _structure(case: CaseDocument) -> Iterator[str]:
    if case["structure"]:
        rows = [[code(one["site"]), verdict_word(one["verdict"]), plain(one["detail"])] for one in case["structure"]]
        yield from _cut(["built differently", "", ""], rows)


def _table(case: CaseDocument) -> Iterator[str]:
    """The failing sites of the step that is told, in execution order."""
    failing = [site for site in case["sites"] if site["verdict"] in _FAILING]
    if failing and not case["structure"]:
        floors = any("floors" in site for site in failing)
        head = [f"step {case['step']}", "verdict", *_FLOORS[:floors], "max abs", "relative", "allowed", _WORST]
        yield from _cut(head, [_cells(site, floors) for site in failing])
    others = [step for step in case["steps"] if step["failing"] and step["step"] != case["step"]]
    if others:
        told = [f"step {step['step']} {amount(step['failing'], 'site')}" for step in others[:_DIFFERENCES]]
        yield f"Other steps fail too: {', '.join(told)}{', ...' if len(others) > _DIFFERENCES else ''}"


def _cut(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of the first few, and one of further ones that unfolds."""
    yield _of(head, rows[:_SITES])
    further = rows[_SITES : _SITES + _FURTHER]
    if further:
        left = len(rows) - _SITES - len(further)
        more = f"\n\nand {left:,} more" if left else ""
        yield _folded(f"{amount(len(rows) - _SITES, 'further site')}", _of(head, further) + more)


def _of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([row(head), row(["---"] * len(head)), *map(row, rows)])


def _cells(site: SiteRow, by_floor: bool) -> list[str]:
    name, verdict = code(site.get("candidate") or site["site"]), verdict_word(site["verdict"])
    if "max_abs" not in site:
        return [name, verdict, *[""] * (by_floor + 3), plain(site.get("detail", ""))]
    floors = site.get("floors")
    far = f"{_short(floors['norm'])}, {_short(floors['gain'])}" if floors else ""
    allowed = f"{floors['factor']:g} floors" if floors else _short(site.get("allowed", ""))
    numbers = [_short(site["max_abs"]), _short(site["relative_l2"]), allowed]
    return [name, verdict, *[far][:by_floor], *numbers, _worst(site)]


def _worst(site: SiteRow) -> str:
    detail = plain(site.get("detail", ""))
    if not site.get("worst"):
        return detail
    worst = site["worst"][0]
    index = f"[{', '.join(map(str, worst['index']))}] " if worst["index"] else ""
    told = code(f"{index}{_value(worst['here'])}, {_value(worst['reference'])}")
    return f"{told} ({detail})" if detail else told


def _value(value: object) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else number(float(value))


def _around(case: CaseDocument) -> Iterator[str]:
    """What was not as in the golden's run, the likeliest explanation first."""
    settings = [(one["likely"], _setting(one), one["golden"], one["here"]) for one in case["settings"]]
    rows = [one[1:] for one in settings if one[0]]
    rows += [(one["name"], one["golden"], one["here"]) for one in case["environment"]["differences"]]
    rows += [one[1:] for one in settings if not one[0]]
    if rows:
        yield from _cut(["not as in the golden's run", "golden", "here"], [list(map(plain, one)) for one in rows])


def _setting(setting: SettingRow) -> str:
    return f"{setting['name']} of {setting['where']}" if setting["where"] else setting["name"]
