"""Table: what was seen, counted and printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.verdicts.faults import Fault
from benchmarks.verdicts.rule import Shown
from benchmarks.verdicts.runs import Ratio, Seen
from benchmarks.verdicts.workloads import Case

__all__ = ["Attempt", "Passing", "Reach", "benign_tables", "fault_tables", "printed", "ratio_tables", "reach_table"]


@dataclass(frozen=True, slots=True)
class Passing:
    """A variant that must pass."""

    case: Case
    variant: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Attempt:
    """A fault in a candidate computed some way."""

    case: Case
    variant: str
    fault: Fault
    seen: Seen
    shown: Shown

    @property
    def caught(self) -> bool:
        """Whether the check failed."""
        return not self.seen.passed

    @property
    def excepted(self) -> bool:
        """Whether it passed, and the rule says that it cannot be seen."""
        return not self.caught and not self.shown.visible

    @property
    def blamed(self) -> bool:
        """Whether the report names the module, one around it, or one inside."""
        named, path = self.seen.blamed, self.fault.path
        return bool(named) and (named == path or path.startswith(f"{named}.") or named.startswith(f"{path}."))


@dataclass(frozen=True, slots=True)
class Reach:
    """How small a factor may be at some modules of a case: each module's smallest that was caught, and the rule's."""

    case: Case
    kind: str
    caught: tuple[float, ...]
    shown: tuple[float, ...]


def printed(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table in Markdown."""
    print(f"\n{title}\n")
    print(f"| {' | '.join(header)} |")
    print(f"|{'|'.join('---' for _ in header)}|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


def benign_tables(passing: Sequence[Passing]) -> None:
    """Counts by case, then every false alarm."""
    rows: list[tuple[object, ...]] = []
    for precision, workload in _cases(passing):
        chosen = [one for one in passing if _is(one.case, precision, workload)]
        ratios = [ratio for one in chosen for ratio in one.seen.ratios]
        rows.append(
            (
                workload,
                precision,
                len(chosen),
                sum(one.seen.differing == 0 for one in chosen),
                sum(not one.seen.passed for one in chosen),
                sum(not one.seen.close for one in chosen),
                sum(not one.seen.cosine for one in chosen),
                f"{max((one.norm for one in ratios), default=0):.2f}",
                f"{max((one.gain for one in ratios if not one.below), default=0):.2f}",
            )
        )
    header: tuple[str, ...] = (
        "workload",
        "precision",
        "variants",
        "of these the same bits",
        "false alarms",
        "of assert_close",
        "of cosine",
        "largest norm, floors",
        "largest gain, floors",
    )
    printed("Variants that must pass", header, rows)
    alarms = [
        (one.case.name, one.variant, delta.site, delta.step, delta.verdict, _floors(delta.noise), delta.elements)
        for one in passing
        for delta in one.seen.failures[:5]
        if not one.seen.passed
    ]
    if alarms:
        header = ("case", "variant", "site", "step", "verdict", "norm and gain, floors", "elements")
        printed("False alarms (the first five sites of each)", header, alarms)


def fault_tables(attempts: Sequence[Attempt]) -> None:
    """Counts by case, then every fault that escaped or is excepted, and those that were caught most barely."""
    rows: list[tuple[object, ...]] = []
    for precision, workload in _cases(attempts):
        chosen = [one for one in attempts if _is(one.case, precision, workload)]
        rows.append(
            (
                workload,
                precision,
                len(chosen),
                sum(one.caught for one in chosen),
                sum(one.excepted for one in chosen),
                sum(not one.caught and not one.excepted for one in chosen),
                sum(one.blamed for one in chosen),
                sum(not one.seen.close for one in chosen),
                sum(not one.seen.cosine for one in chosen),
            )
        )
    header: tuple[str, ...] = (
        "workload",
        "precision",
        "faults",
        "caught",
        "excepted",
        "escaped",
        "module named",
        "alarms of assert_close",
        "of cosine",
    )
    printed("Faults", header, rows)
    header = ("case", "variant", "fault", "rule: effect / lost", "at", "largest ratio", "at site")
    passed = [one for one in attempts if not one.caught]
    printed("Faults that passed", header, [(*_attempt(one), *_largest(one.seen.ratios)) for one in passed])
    barely = sorted((one for one in attempts if one.caught), key=lambda one: _margin(one.seen.ratios))[:12]
    printed("Caught most barely", header, [(*_attempt(one), *_largest(one.seen.ratios)) for one in barely])


def ratio_tables(passing: Sequence[Passing]) -> None:
    """How far correct variants are off, in floors: what the default factors are set from."""
    rows: list[tuple[object, ...]] = []
    for precision in dict.fromkeys(one.case.precision for one in passing):
        ratios = [r for one in passing if one.case.precision == precision for r in one.seen.ratios]
        for kind in dict.fromkeys(one.kind for one in ratios):
            chosen = [one for one in ratios if one.kind == kind]
            norms = sorted(one.norm for one in chosen)
            gains = sorted(one.gain for one in chosen if not one.below) or [0.0]
            rows.append((precision, kind, len(chosen), *_spread(norms), *_spread(gains)))
    header = (
        "precision",
        "kind",
        "sites",
        "norm 50 %",
        "99 %",
        "99.9 %",
        "most",
        "gain 50 %",
        "99 %",
        "99.9 %",
        "most",
    )
    printed("Correct variants, error in floors (sites that are not the same bits)", header, rows)


def reach_table(reaches: Sequence[Reach]) -> None:
    """The smallest factors."""
    rows = [
        (
            one.case.workload.name,
            one.case.precision,
            one.kind,
            ", ".join(f"{size}" for size in one.caught),
            ", ".join(f"{size}" for size in one.shown),
        )
        for one in reaches
    ]
    header = ("workload", "precision", "fault", "smallest factor caught, by module", "smallest that the rule demands")
    printed("The smallest factor that is caught", header, rows)


def _spread(values: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{values[min(len(values) - 1, int(share * len(values)))]:.2f}" for share in (0.5, 0.99, 0.999, 1.0))


def _cases(rows: Sequence[Passing] | Sequence[Attempt]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.case.precision, one.case.workload.name) for one in rows))


def _is(case: Case, precision: str, workload: str) -> bool:
    return (case.precision, case.workload.name) == (precision, workload)


def _floors(noise: object) -> str:
    norm, gain = getattr(noise, "norm_ratio", None), getattr(noise, "gain_ratio", None)
    return "" if norm is None else f"{norm:.1f}, {gain:.1f}"


def _attempt(one: Attempt) -> tuple[object, ...]:
    return one.case.name, one.variant, one.fault, f"{one.shown.ratio:.3g}", one.shown.site


def _margin(ratios: Sequence[Ratio]) -> float:
    return max((one.larger for one in ratios), default=float("inf"))


def _largest(ratios: Sequence[Ratio]) -> tuple[object, ...]:
    most = max(ratios, key=lambda one: one.larger, default=None)
    if most is None:
        return "", ""
    statistic = "norm" if most.below or most.norm >= most.gain else "gain"
    return f"{most.larger:.2f} ({statistic})", most.site
