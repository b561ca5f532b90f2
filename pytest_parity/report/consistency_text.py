"""A consistency report as Markdown, and as lines for a terminal; a mark stands only where something was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_parity.report.compared import compared_lines, conclusion
from pytest_parity.report.config import EFFECT_WORDS, config_headline, config_lines, config_notes, value_words
from pytest_parity.report.consistency import DIFFERS, NOT_MEASURED, SAME, Consistency, Evidence, Finding, findings
from pytest_parity.report.lines import summary_line
from pytest_parity.report.structure import (
    count_rows,
    share_rows,
    structure_headline,
    structure_lines,
    structure_notes,
    subtree_rows,
)
from pytest_parity.report.text import failure_text
from pytest_parity.report.words import amount

if TYPE_CHECKING:
    from pytest_parity.contract.config import ConfigComparison, KeyCompared
    from pytest_parity.contract.models import StructureComparison

__all__ = ["MARKER", "consistency_lines", "consistency_markdown", "verdict_words"]

MARKER = "<!-- written by `parity consistency`, which writes over what is changed here by hand -->"
"""The first line of every report in Markdown."""

_SIGNS = {SAME: "✅ same", DIFFERS: "❌ differs", NOT_MEASURED: "not measured"}
_SHOWN = 40
"""Rows of a list of what differs."""


def verdict_words(found: Sequence[Finding]) -> str:
    """One sentence: what differs, what is the same, what was not measured."""
    titles = {mark: [one.title for one in found if one.mark == mark] for mark in _SIGNS}
    parts = [
        f"{what}: {', '.join(titles[mark])}"
        for mark, what in ((DIFFERS, "different"), (SAME, "the same"), (NOT_MEASURED, "not measured"))
        if titles[mark]
    ]
    return "; ".join(parts)


def consistency_lines(all_of: Consistency) -> Iterator[str]:
    """For a terminal: the summary, then each measurement as its own command shows it."""
    found = findings(all_of)
    yield verdict_words(found)
    yield ""
    width = max(len(one.title) for one in found)
    for one in found:
        said = ": ".join(part for part in (one.measured, one.found) if part)
        yield f"  {one.title.ljust(width)}  {one.mark.ljust(len(NOT_MEASURED))}  {said}".rstrip()
    if all_of.config is not None:
        yield from ("", "configuration", *_indented(config_lines(all_of.config)))
    if all_of.structure is not None:
        yield from ("", "structure", *_indented(structure_lines(all_of.structure)))
    for shown in all_of.evidence:
        yield from ("", shown.name, *_indented(_evidence(shown)))


def consistency_markdown(
    all_of: Consistency, *, title: str = "Consistency report", preface: str = "", command: str = ""
) -> str:
    """The whole report; ``preface`` is Markdown that a person wrote, ``command`` what made the report."""
    return "\n".join(_markdown(all_of, title, preface, command)) + "\n"


def _markdown(all_of: Consistency, title: str, preface: str, command: str) -> Iterator[str]:
    found = findings(all_of)
    yield from (MARKER, "", f"# {title}", "")
    if preface.strip():
        yield from (preface.strip(), "")
    if command:
        yield from ("Every figure and every mark below was measured by", "", "```console", f"$ {command}", "```", "")
    sentence = verdict_words(found)
    yield from ("## Summary", "", f"{sentence[:1].upper()}{sentence[1:]}.", "")
    rows = [(one.title, one.measured, one.found, _SIGNS[one.mark]) for one in found]
    yield from _table(("section", "compared", "found", "mark"), rows)
    yield from _config(all_of.config)
    yield from _structure(all_of.structure)
    yield from ("", "## Forward, loss, gradients and update", "")
    if not all_of.evidence:
        yield "Not measured."
    for place, one in enumerate(all_of.evidence):
        yield from (*([""] if place else []), f"### {one.name}", "", "```", *_evidence(one), "```")


def _config(config: ConfigComparison | None) -> Iterator[str]:
    yield from ("", "## Configuration", "")
    if config is None:
        yield "Not measured."
        return
    yield f"{_sentence(config_headline(config))}."
    if config.differences:
        yield ""
        yield from _keys(config.differences)
    same = [row for row in config.keys if row not in config.differences and row.effect == "numbers"]
    if same:
        count = amount(len(same), "key")
        yield from ("", f"<details><summary>{count} that {_changes(len(same))}, the same in both</summary>", "")
        yield from _table(("key", "reference", "candidate"), [_values(row) for row in same])
        yield from ("", "</details>")
    yield from _notes(config_notes(config))


def _changes(count: int) -> str:
    return EFFECT_WORDS["numbers"] if count == 1 else "change numbers"


def _keys(rows: Iterable[KeyCompared]) -> Iterator[str]:
    cells = [(*_values(row), str(row.change), f"{EFFECT_WORDS[row.effect]}: {row.reason}") for row in rows]
    yield from _table(("key", "reference", "candidate", "", "effect"), cells)


def _values(row: KeyCompared) -> tuple[str, str, str]:
    return f"`{row.key}`", f"`{value_words(row.reference)}`", f"`{value_words(row.candidate)}`"


def _structure(structure: StructureComparison | None) -> Iterator[str]:
    yield from ("", "## Structure", "")
    if structure is None:
        yield "Not measured."
        return
    yield from (f"{_sentence(structure_headline(structure))}.", "")
    yield from _table(("", "reference", "candidate", "difference"), count_rows(structure), numbers=True)
    shares = share_rows(structure)
    if shares:
        yield from ("", f"What explains {structure.difference:+,} parameters:", "")
        yield from _table(("parameters", "where", "why"), [(change, f"`{name}`", why) for change, name, why in shares])
    modules = [(_nested(name), *rest) for name, *rest in subtree_rows(structure)]
    yield from ("", "Parameters by module:", "")
    yield from _table(("module", "reference", "candidate", "difference"), modules, numbers=True)
    problems = structure.problems
    if problems:
        yield from ("", "Tensors that differ:", "")
        rows = [(f"`{row.name}`", row.verdict, row.detail) for row in problems[:_SHOWN]]
        yield from _table(("tensor", "verdict", ""), rows)
        if len(problems) > _SHOWN:
            yield from ("", f"... and {len(problems) - _SHOWN:,} more: `parity structure --all` lists them.")
    yield from _notes(structure_notes(structure))


def _nested(name: str) -> str:
    inner = name.lstrip(" ")
    path, comma, each = inner.partition(", each")
    return f"{'&nbsp;' * (len(name) - len(inner))}`{path}`{comma}{each}"


def _evidence(one: Evidence) -> Iterator[str]:
    """As ``parity compare`` shows two recordings, or as a check tells of itself."""
    comparison = one.comparison
    if one.survey is not None:
        yield from compared_lines(one.survey)
        line, below = conclusion(comparison)
        yield from ("", line, *below)
    elif comparison.passed:
        line, below = conclusion(comparison)
        yield from (summary_line(comparison), *below)
        kinds = [f"{kind.replace('_', ' ')} {count:,}" for kind, count in comparison.kinds.items()]
        yield f"sites by kind: {', '.join(kinds)}"
    else:
        yield from failure_text(comparison).splitlines()


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield ""
        yield from (f"* {_sentence(note)}." for note in notes)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}".rstrip() for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> Iterator[str]:
    """A table of Markdown; of ``numbers`` all columns but the first stand to the right."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "|".join("---:" if numbers and place else "---" for place in range(len(head))) + "|"
    yield from (f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
