"""Table: what was seen, counted and printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.faults.label import Injection
from benchmarks.faults.score import Hinting, Naming, Said
from benchmarks.verdicts.table import printed

__all__ = ["Attempt", "Benign", "Pair", "Results", "fault_tables", "missed", "summary"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One fault in a candidate computed some way."""

    workload: str
    variant: str
    injection: Injection
    said: Said
    shown: float | None = None
    """Of one that passed: the rule's ratio, below 4 of what cannot be seen."""
    excepted: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Two faults at once, and which of them isolation lists."""

    workload: str
    injections: tuple[Injection, Injection]
    found: tuple[bool, bool]
    listed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Benign:
    """A rewrite that must pass; ``alarm`` says what was said of it."""

    workload: str
    variant: str
    alarm: str


@dataclass
class Results:
    """Everything that was seen."""

    attempts: list[Attempt] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    benign: list[Benign] = field(default_factory=list)


def fault_tables(results: Results) -> None:
    """By workload and by family, then what was missed."""
    header = (
        "",
        "faults",
        "caught",
        "excepted",
        "exact",
        "neighbour",
        "wrong module",
        "right",
        "no hint",
        "wrong hint",
    )
    for title, key in (("Faults by workload", "workload"), ("Faults by family", "family")):
        groups: dict[str, list[Attempt]] = {}
        for one in results.attempts:
            groups.setdefault(one.workload if key == "workload" else str(one.injection.family), []).append(one)
        printed(title, (key, *header[1:]), [(name, *_counts(found)) for name, found in groups.items()])
    _pair_table(results.pairs)
    rows = [(one.workload, one.variant, one.injection, one.said.named, one.said.between) for one in _misnamed(results)]
    _if_any("Not named exactly", ("workload", "variant", "fault", "named", "between"), rows)
    hints = [
        (one.workload, one.injection, str(one.injection.label.cause), module, str(cause), text)
        for one in results.attempts
        for module, cause, text in one.said.hints
        if cause not in one.injection.label.causes
    ]
    _if_any("Wrong hints", ("workload", "fault", "cause", "of", "hinted", "text"), hints)
    passed = [(one.workload, one.variant, one.injection, f"{one.shown:.3g}") for one in _passed(results)]
    _if_any("Faults that passed", ("workload", "variant", "fault", "rule: effect / lost"), passed)
    alarms = [(one.workload, one.variant, one.alarm) for one in results.benign if one.alarm]
    _if_any("False alarms", ("workload", "variant", "said"), alarms)


def _pair_table(pairs: Sequence[Pair]) -> None:
    groups: dict[str, list[Pair]] = {}
    for one in pairs:
        groups.setdefault(one.workload, []).append(one)
    rows = [(name, len(found), sum(all(one.found) for one in found)) for name, found in groups.items()]
    _if_any("Pairs", ("workload", "pairs", "both found"), rows)
    lost = [(one.workload, *one.injections, one.found, "; ".join(one.listed)) for one in pairs if not all(one.found)]
    _if_any("Pairs not found", ("workload", "one", "other", "found", "isolation lists"), lost)


def _if_any(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        printed(title, header, rows)


def _misnamed(results: Results) -> Iterable[Attempt]:
    return (one for one in results.attempts if one.said.caught and one.said.naming is not Naming.EXACT)


def _passed(results: Results) -> Iterable[Attempt]:
    return (one for one in results.attempts if not one.said.caught)


def _counts(found: Sequence[Attempt]) -> tuple[int, ...]:
    naming = [one.said.naming for one in found]
    hinting = [one.said.hinting for one in found if one.said.caught]
    return (
        len(found),
        sum(one.said.caught for one in found),
        sum(one.excepted for one in found),
        naming.count(Naming.EXACT),
        naming.count(Naming.NEIGHBOUR),
        naming.count(Naming.WRONG),
        hinting.count(Hinting.RIGHT),
        hinting.count(Hinting.ABSENT),
        hinting.count(Hinting.WRONG),
    )


def summary(results: Results, seconds: float) -> dict[str, int]:
    """The last line."""
    faults, caught, excepted, exact, neighbour, wrong, right, absent, wrong_hints = _counts(results.attempts)
    return {
        "faults": faults,
        "caught": caught,
        "exact": exact,
        "neighbour": neighbour,
        "wrong_module": wrong,
        "right_hints": right,
        "absent_hints": absent,
        "wrong_hints": wrong_hints,
        "pairs": len(results.pairs),
        "pairs_both_found": sum(all(one.found) for one in results.pairs),
        "benign": len(results.benign),
        "false_alarms": sum(bool(one.alarm) for one in results.benign),
        "excepted": excepted,
        "seconds": round(seconds),
    }


def missed(figures: dict[str, int]) -> list[str]:
    """The bounds that are missed."""
    caught, found = figures["caught"], figures["pairs_both_found"]
    held = {
        "all caught but what is excepted": caught + figures["excepted"] == figures["faults"],
        "95 % of what is caught named exactly": figures["exact"] >= 0.95 * caught,
        "no wrong hint": not figures["wrong_hints"],
        "both of a pair found in 90 %": found >= 0.9 * figures["pairs"],
        "no false alarm": not figures["false_alarms"],
    }
    return [bound for bound, holds in held.items() if not holds]
