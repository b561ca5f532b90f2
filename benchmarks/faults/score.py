"""Score: what a check's report says of a fault, against the label that was written with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.faults.label import Injection, Label
from pytest_parity.result import Cause, Comparison, Faulty, Part
from pytest_parity.site import Site

__all__ = ["Hinting", "Naming", "Said", "found", "hints_of", "said"]


class Naming(str, Enum):
    """What is named, against the label."""

    EXACT = "exact"
    NEIGHBOUR = "neighbour"
    """The parent, a child, a sibling, the leaf called just before or after it; of a functional fault the parent alone."""
    WRONG = "wrong"
    NOTHING = "nothing"

    def __str__(self) -> str:
        return self.value


class Hinting(str, Enum):
    """What is hinted, against the label."""

    RIGHT = "right"
    ABSENT = "absent"
    WRONG = "wrong"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Said:
    """A report in short."""

    caught: bool
    named: str
    between: str
    naming: Naming
    hinting: Hinting
    hints: tuple[tuple[str, Cause, str], ...]
    """Whose, the cause, the text."""


def said(comparison: Comparison, injection: Injection, leaves: Sequence[str]) -> Said:
    """Judge a report of one fault; ``leaves`` are the modules that call no other, in execution order."""
    diagnosis, label, hints = comparison.diagnosis, injection.label, hints_of(comparison)
    wrong = [one for one in hints if one[1] not in label.causes]
    hinting = Hinting.WRONG if wrong else Hinting.RIGHT if hints else Hinting.ABSENT
    if comparison.passed or diagnosis is None:
        return Said(not comparison.passed, "", "", Naming.NOTHING, hinting, hints)
    one = _first(comparison)
    after, to = (one.after, one.to) if one else ("", "")
    named = diagnosis.module
    naming = _naming(named, label, leaves)
    if naming is Naming.EXACT and label.functional and not _between(one, label):
        naming = Naming.NEIGHBOUR
    return Said(True, named, f"{after or '-'} > {to or '-'}" if after or to else "", naming, hinting, hints)


def _first(comparison: Comparison) -> Faulty | None:
    """What isolation found of what the diagnosis is about."""
    diagnosis, isolation = comparison.diagnosis, comparison.isolation
    if diagnosis is None or isolation is None:
        return None
    about = [one for one in isolation.faulty if (one.site, one.step) == (diagnosis.site, diagnosis.step)]
    return next((one for one in about if one.module == diagnosis.module), None)


def _between(one: Faulty | None, label: Label) -> bool:
    """Whether the children are the label's two; of a gradient, that it is the one of what was handed on."""
    if one is None:
        return False
    if one.part is not Part.GRADIENT:
        return (one.after, one.to) == (label.after, label.to)
    handed = {label.after, label.to, *label.sources} - {""}
    return (one.after or Site.parse(one.site).path) in handed and one.to in {"", label.to}


def _naming(named: str, label: Label, leaves: Sequence[str]) -> Naming:
    if named in label.modules:
        return Naming.EXACT
    near = (name for name in (*label.modules, label.after, label.to) if name)
    return Naming.NEIGHBOUR if any(_near(named, name, leaves) for name in near) else Naming.WRONG


def _near(named: str, name: str, leaves: Sequence[str]) -> bool:
    ours, theirs = named.rpartition(".")[0], name.rpartition(".")[0]
    related = name in {ours, named} or named == theirs or (ours == theirs and ours != "")
    if related or named not in leaves or name not in leaves:
        return related
    return abs(leaves.index(named) - leaves.index(name)) == 1


def hints_of(comparison: Comparison) -> tuple[tuple[str, Cause, str], ...]:
    """Every hint that a report prints."""
    diagnosis, isolation = comparison.diagnosis, comparison.isolation
    told = [(diagnosis.module, hint) for hint in diagnosis.causes] if diagnosis else []
    told += [(one.module, hint) for one in (isolation.faulty if isolation else ()) for hint in one.hints]
    return tuple(dict.fromkeys((module, hint.cause, hint.text) for module, hint in told))


def found(comparison: Comparison, injection: Injection) -> bool:
    """Whether isolation lists a fault: at its module, or for a functional one between its two children."""
    label = injection.label
    for one in comparison.isolation.faulty if comparison.isolation else ():
        if one.module in label.modules and (not label.functional or _between(one, label)):
            return True
    return False
