"""Two models' structures as text: the counts side by side, what explains a difference, and the tensors that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_parity.report.words import amount, listed

if TYPE_CHECKING:
    from pytest_parity.contract.explain import Share
    from pytest_parity.contract.models import Counts, StructureComparison, TensorCompared
    from pytest_parity.contract.tensors import TensorInfo

__all__ = [
    "aligned",
    "count_rows",
    "share_rows",
    "structure_headline",
    "structure_lines",
    "structure_notes",
    "subtree_rows",
]

_SHOWN = 20
_MODULES = 40
_NAMED = 5
_HEAD = ("", "reference", "candidate", "difference")


def structure_lines(found: StructureComparison, *, everything: bool = False) -> list[str]:
    """The headline and the paragraphs; lists are cut, with a count, unless ``everything`` is asked for."""
    lines = [structure_headline(found), "", *aligned([_HEAD, *count_rows(found)])]
    if found.shares or found.unexplained:
        lines += ["", f"what explains {_signed(found.difference)} parameters:", *_shares(found, everything=everything)]
    modules = subtree_rows(found)
    shown = modules if everything else modules[:_MODULES]
    lines += ["", "parameters by module:", *aligned([_HEAD, *shown]), *_more(modules, shown)]
    lines += _tensors(found, everything=everything)
    notes = structure_notes(found, everything=everything)
    return [*lines, *([""] if notes else []), *notes]


def structure_headline(found: StructureComparison) -> str:
    """``699 of 699 tensors are the same; ...`` with the names of both."""
    who = f"the reference is {found.reference}, the candidate {found.candidate}"
    count, same = len(found.tensors), len(found.tensors) - len(found.problems)
    differing = len(found.constants)
    constants = (
        f", {amount(differing, 'setting')} of modules {'differs' if differing == 1 else 'differ'}" if differing else ""
    )
    return f"{same:,} of {amount(count, 'tensor')} {'is' if count == 1 else 'are'} the same{constants}; {who}"


def count_rows(found: StructureComparison) -> list[tuple[str, str, str, str]]:
    """The counts of both and their differences, a row each."""
    before, after = found.counts
    return [
        _row("parameters", before.parameters, after.parameters),
        _row("  that train", before.trainable, after.trainable),
        _row("  frozen", _frozen(before), _frozen(after)),
        _row("elements of buffers", before.buffers, after.buffers),
        _row("tensors", before.tensors, after.tensors),
        _row("further names of tied ones", before.tied, after.tied),
        _row("modules", before.modules, after.modules),
    ]


def subtree_rows(found: StructureComparison) -> list[tuple[str, str, str, str]]:
    """Each module that is listed with the parameters below it, indented as it is nested."""
    rows = []
    for one in found.subtrees:
        each = f", each of {len(one.places)}" if one.places else ""
        path = f"{one.path[:-1]}{_numbers(one.places)}" if one.places else one.path
        rows.append(_row("  " * one.depth + path + each, one.reference, one.candidate))
    return rows


def share_rows(found: StructureComparison) -> list[tuple[str, str, str]]:
    """The change, the tensors, and the reason of each share; what none explains is the last."""
    rows = [(_signed(one.change), _share_name(one), one.reason) for one in found.shares]
    return [*rows, *([(_signed(found.unexplained), "", "not explained")] if found.unexplained else [])]


def structure_notes(found: StructureComparison, *, everything: bool = False) -> list[str]:
    """What is tied, what modules have no counterpart, how they differ but in tensors, what is not known."""
    shown = None if everything else _NAMED
    notes = []
    for whose, tied in zip(("reference", "candidate"), found.tied, strict=True):
        names = [f"{alias} = {name}" for alias, name in tied.items()]
        if names:
            notes.append(f"tied in the {whose}, counted once: {listed(names, shown or len(names))}")
    for what, paths in (("reference", found.modules_missing), ("candidate", found.modules_extra)):
        if paths:
            count = amount(len(paths), "module")
            notes.append(f"{count} of the {what} alone, by name: {listed(paths, shown or len(paths))}")
    notes += [
        f"{one.name} of {one.where}: {one.golden} in the reference, {one.here} in the candidate"
        for one in found.constants[:shown]
    ]
    if len(found.constants) > (shown or len(found.constants)):
        notes.append(f"... and {amount(len(found.constants) - _NAMED, 'setting')} more")
    notes += _classes(found, shown)
    return [*notes, *found.notes]


def _classes(found: StructureComparison, shown: int | None) -> Iterator[str]:
    """Classes by their names alone, which say little of what two implementations compute."""
    pairs = Counter((one.golden, one.here) for one in found.classes)
    if pairs:
        told = [
            f"{own} for {theirs}" + (f" ({count} times)" if count > 1 else "") for (theirs, own), count in pairs.items()
        ]
        yield f"{amount(len(found.classes), 'module')} of another class, which fails nothing: {listed(told, shown or len(told))}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns, the first to the left, the others to the right, indented."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return lines


def _tensors(found: StructureComparison, *, everything: bool) -> Iterator[str]:
    rows = found.tensors if everything else found.problems
    if not rows:
        return
    yield ""
    yield "tensors:" if everything else "tensors that differ:"
    shown = rows if everything else rows[:_SHOWN]
    width = max(len(row.name) for row in shown)
    for row in shown:
        yield f"  {row.name.ljust(width)}  {row.verdict:<7}  {_detail(row)}".rstrip()
    yield from _more(rows, shown)


def _detail(row: TensorCompared) -> str:
    name = f"{row.candidate}: " if row.candidate not in {"", row.name} else ""
    return name + (row.detail or _info(row.expected or row.actual, buffer=row.buffer))


def _info(info: TensorInfo | None, *, buffer: bool) -> str:
    if info is None:
        return ""
    kind = "buffer" if buffer else "trains" if info.trainable else "frozen"
    return f"{info.dtype} {info.shape}, {kind}"


def _shares(found: StructureComparison, *, everything: bool) -> list[str]:
    rows = share_rows(found)
    shown = rows if everything else rows[:_SHOWN]
    width = max(len(row[0]) for row in shown)
    names = max(len(row[1]) for row in shown)
    lines = [f"  {change.rjust(width)}  {name.ljust(names)}  {reason}" for change, name, reason in shown]
    return [*lines, *_more(rows, shown)]


def _more(rows: Sequence[object], shown: Sequence[object]) -> list[str]:
    return [f"  ... and {len(rows) - len(shown):,} more; --all shows them"] if len(rows) > len(shown) else []


def _share_name(share: Share) -> str:
    return f"{_placed(share.pattern, share.places)} ({amount(share.tensors, 'tensor')})"


def _placed(pattern: str, places: Sequence[int]) -> str:
    """``layers.{0-16}.bias`` of ``layers.*.bias``."""
    return pattern.replace("*", _numbers(places), 1) if places else pattern


def _numbers(places: Sequence[int]) -> str:
    """``3``, or ``{0-16}``, or ``{0,2,4}``."""
    if len(places) == 1:
        return str(places[0])
    whole = list(places) == list(range(places[0], places[-1] + 1))
    return "{" + (f"{places[0]}-{places[-1]}" if whole else ",".join(map(str, places))) + "}"


def _row(what: str, before: int | None, after: int | None) -> tuple[str, str, str, str]:
    if before is None or after is None:
        return what, _count(before), _count(after), "not known"
    return what, f"{before:,}", f"{after:,}", _signed(after - before)


def _count(value: int | None) -> str:
    return "not told" if value is None else f"{value:,}"


def _frozen(counts: Counts) -> int | None:
    return None if counts.trainable is None else counts.parameters - counts.trainable


def _signed(value: int) -> str:
    return f"{value:+,}" if value else "0"
