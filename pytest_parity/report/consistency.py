"""Consistency: what was measured of two projects, section by section, and what each measurement found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_parity.report.words import amount, counted, steps_words
from pytest_parity.result import IGNORED, UNCOVERED, Comparison, Delta, Verdict
from pytest_parity.site import Kind, Site

if TYPE_CHECKING:
    from pytest_parity.contract.config import ConfigComparison
    from pytest_parity.contract.models import StructureComparison
    from pytest_parity.report.survey import Survey

__all__ = ["DIFFERS", "KINDS", "NOT_MEASURED", "SAME", "Consistency", "Evidence", "Finding", "findings", "status_of"]

SAME, DIFFERS, NOT_MEASURED = "same", "differs", "not measured"
"""What a finding may be; the first is earned by a comparison alone."""

KINDS: dict[str, tuple[Kind, ...]] = {
    "data": (Kind.BATCH,),
    "weights at a step's start": (Kind.WEIGHT,),
    "forward": (Kind.PROBE, Kind.INPUT, Kind.ACTIVATION, Kind.OUTPUT),
    "loss": (Kind.LOSS,),
    "gradients": (Kind.GRADIENT, Kind.ACTIVATION_GRADIENT),
    "update": (Kind.OPTIMIZER, Kind.UPDATED_WEIGHT),
}
"""The sections that recordings and checks are evidence for."""

_GIVEN = frozenset({Kind.WEIGHT, Kind.OPTIMIZER})
"""Kinds that a check puts to the reference's at each step's start: there they agree by construction."""
_WEAK = (Verdict.VACUOUS, Verdict.BELOW_NOISE)
"""Verdicts that pass, and of which little follows."""
_EXCEPTED = (IGNORED, UNCOVERED, Verdict.UNOBSERVABLE.value)
"""Counts of sites that were recorded, and that a comparison passes without."""
_NOUNS = {
    Kind.BATCH: "batch tensor",
    Kind.ACTIVATION_GRADIENT: "activation gradient",
    Kind.OPTIMIZER: "optimizer state",
    Kind.UPDATED_WEIGHT: "updated weight",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """A comparison of training steps, by the name that the user gave it."""

    name: str
    comparison: Comparison
    survey: Survey | None = None
    """Where two recordings were compared; a check's own report has none."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """What was asked to be measured; what was not is ``None`` or empty."""

    config: ConfigComparison | None = None
    structure: StructureComparison | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the summary: ``mark`` is ``SAME``, ``DIFFERS`` or ``NOT_MEASURED``."""

    title: str
    mark: str
    measured: str
    """What was compared."""
    found: str


def findings(all_of: Consistency) -> tuple[Finding, ...]:
    """A finding for every section, whether it was measured or not."""
    return (
        _config(all_of.config),
        _structure(all_of.structure),
        *(_section(title, kinds, all_of.evidence) for title, kinds in KINDS.items()),
        _whole(all_of.evidence),
    )


def status_of(found: Iterable[Finding]) -> int:
    """The exit status: 0 all that was measured is the same, 1 something differs, 2 nothing was measured."""
    marks = {finding.mark for finding in found}
    return 1 if DIFFERS in marks else 0 if SAME in marks else 2


def _config(config: ConfigComparison | None) -> Finding:
    if config is None or not config.keys:
        return Finding("configuration", NOT_MEASURED, "", "")
    measured = amount(len(config.keys), "key")
    if not config.differences:
        written = f", {len(config.unresolved):,} as written: the files alone do not tell their values" * bool(
            config.unresolved
        )
        return Finding("configuration", SAME, measured, f"all the same{written}")
    numbers = sum(row.effect == "numbers" for row in config.differences)
    found = f"{len(config.differences):,} differ, {numbers:,} of these change numbers"
    return Finding("configuration", DIFFERS, measured, found)


def _structure(structure: StructureComparison | None) -> Finding:
    if structure is None or not structure.tensors:
        return Finding("structure", NOT_MEASURED, "", "")
    before, after = structure.counts
    measured = f"{amount(len(structure.tensors), 'tensor')}, {before.parameters:,} parameters"
    if structure.passed:
        return Finding("structure", SAME, measured, "all the same")
    parts = [
        f"{amount(len(structure.problems), 'tensor')} of another name, shape, dtype or use" * bool(structure.problems),
        f"{after.parameters - before.parameters:+,} parameters" * bool(structure.difference),
        f"{amount(len(structure.constants), 'setting')} of modules" * bool(structure.constants),
    ]
    return Finding("structure", DIFFERS, measured, ", ".join(part for part in parts if part))


def _section(title: str, kinds: tuple[Kind, ...], evidence: tuple[Evidence, ...]) -> Finding:
    """What all comparisons say of some kinds together. What could hardly have failed is no evidence."""
    failing = [delta for one in evidence for delta in one.comparison.failures if Site.parse(delta.site).kind in kinds]
    weak = {kind: sum(_count(evidence, kind, verdict) for verdict in _WEAK) for kind in kinds}
    compared = {kind: sum(one.comparison.kinds.get(kind.value, 0) for one in evidence) - weak[kind] for kind in kinds}
    given = {} if failing else {kind: _given(evidence, kind) for kind in kinds}
    earned = {kind: count - given.get(kind, 0) for kind, count in compared.items()}
    measured = ", ".join(_amount(count, kind) for kind, count in earned.items() if count > 0)
    if failing:
        return Finding(title, DIFFERS, measured, _failing(failing))
    besides = [f"{amount(sum(weak.values()), 'site')} vacuous or below the noise floor"] * any(weak.values())
    besides += [f"{_amount(count, kind)} given by the check" for kind, count in given.items() if count]
    if not measured:
        return Finding(title, NOT_MEASURED, "", "; ".join(besides))
    steps = steps_words([step for one in evidence for step in one.comparison.steps])
    equal = all(_all_equal(one, kinds) for one in evidence)
    found = "; ".join(["equal bit for bit" if equal else "within what is allowed", *besides])
    settings = "" if equal or Kind.UPDATED_WEIGHT not in kinds else _settings(evidence)
    mark = DIFFERS if settings else SAME
    return Finding(title, mark, f"{measured} in {steps}" if steps else measured, settings or found)


def _settings(evidence: Iterable[Evidence]) -> str:
    """What optimizers are set to differently: too little to see in a step is no reason to call their updates the same."""
    found = [one for each in evidence for one in each.comparison.differences if one.about == "optimizer"]
    told = dict.fromkeys(f"{one.name} {one.here}, {one.golden} in the reference" for one in found)
    return f"within what is allowed, but set differently: {'; '.join(told)}" if told else ""


def _given(evidence: Iterable[Evidence], kind: Kind) -> int:
    """How many sites of a kind checks compared that they may have put to the reference's themselves."""
    if kind not in _GIVEN:
        return 0
    return sum(one.comparison.kinds.get(kind.value, 0) for one in evidence if one.survey is None)


def _amount(count: int, kind: Kind) -> str:
    return amount(count, _NOUNS.get(kind, kind.value)).replace("losss", "losses")


def _count(evidence: Iterable[Evidence], kind: Kind, verdict: Verdict) -> int:
    deltas = (delta for one in evidence for delta in one.comparison.deltas)
    return sum(delta.verdict is verdict and Site.parse(delta.site).kind is kind for delta in deltas)


def _failing(failing: list[Delta]) -> str:
    verdicts: dict[str, int] = {}
    for delta in failing:
        verdicts[str(delta.verdict)] = verdicts.get(str(delta.verdict), 0) + 1
    first = min(failing, key=lambda delta: (delta.step, delta.order))
    return f"{counted(verdicts)}; {first.site} in step {first.step} is one"


def _all_equal(one: Evidence, kinds: tuple[Kind, ...]) -> bool:
    """Whether it is known that nothing of these kinds is merely close."""
    if one.survey is not None:
        names = {kind.value for kind in kinds}
        return all(set(found.counts) == {Verdict.EQUAL.value} for found in one.survey.kinds if found.kind in names)
    moved = {Site.parse(delta.site).kind for delta in one.comparison.deltas}
    return Verdict.CLOSE.value not in one.comparison.counts and not moved & set(kinds)


def _whole(evidence: tuple[Evidence, ...]) -> Finding:
    """Whether all that was asked for was compared, and by what could have failed; what is excepted was not."""
    title = "all that was asked for"
    if not any(one.comparison.expected for one in evidence):
        return Finding(title, NOT_MEASURED, "", "")
    compared = sum(one.comparison.compared for one in evidence)
    expected = sum(one.comparison.expected for one in evidence)
    measured = f"{compared:,} of {amount(expected, 'site')} compared"
    if open_ones := list(_incomplete(evidence)):
        return Finding(title, DIFFERS, measured, "; ".join(open_ones))
    excepted = {key: sum(one.comparison.counts.get(key, 0) for one in evidence) for key in _EXCEPTED}
    if left := counted({key: count for key, count in excepted.items() if count}):
        return Finding(title, NOT_MEASURED, "", f"{measured}: {left}")
    return Finding(title, SAME, measured, "nothing left out")


def _incomplete(evidence: tuple[Evidence, ...]) -> Iterator[str]:
    """A comparison that did not pass and says of no site why: something recorded was not compared, or could not fail."""
    for one in evidence:
        comparison = one.comparison
        if comparison.passed or comparison.failures:
            missing = sum(delta.verdict is Verdict.MISSING for delta in comparison.deltas)
            if missing:
                yield f"{one.name}: {amount(missing, 'site')} of the reference not compared"
        else:
            yield f"{one.name}: it did not pass, {counted(comparison.counts) or 'nothing was compared'}"
