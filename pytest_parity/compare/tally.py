"""Tally: the deltas of a check's steps, counted; what is not equal or close is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pytest_parity.compare.judge import Outcome
from pytest_parity.golden.entry import Entry
from pytest_parity.result import Comparison, Delta, Verdict
from pytest_parity.site import Site

__all__ = ["Found", "Tally", "in_order"]


@dataclass(frozen=True, slots=True)
class Found:
    """What comparing one site found, before it is put into words: most sites need none."""

    entry: Entry
    outcome: Outcome
    replayed: bool = False
    isolated: bool = False
    """An update that was stepped from the reference's own start."""

    @property
    def verdict(self) -> Verdict:
        """The verdict; another value of a replayed module's own output fails nothing."""
        return Verdict.CLOSE if self.forgiven else self.outcome.verdict

    @property
    def forgiven(self) -> bool:
        """Whether a recorded output took the place of another value; another shape or dtype is not replayed."""
        return self.replayed and self.outcome.verdict in {Verdict.DIFFERS, Verdict.NONFINITE}

    def delta(self, own: Callable[[Site], str]) -> Delta:
        """As a delta; ``own`` gives the candidate's own name of a site, where it is another."""
        return Delta(
            site=str(self.entry.site),
            step=self.entry.step,
            order=self.entry.order,
            verdict=self.verdict,
            elements=self.outcome.elements,
            tolerance=self.outcome.tolerance,
            metrics=self.outcome.metrics,
            candidate=own(self.entry.site),
            detail=self.outcome.detail,
        )


@dataclass
class Tally:
    """Counts over steps. ``first`` are all deltas of the first step that fails, which the diagnosis needs."""

    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    elements: int = 0
    deltas: list[Delta] = field(default_factory=list)
    first: list[Delta] = field(default_factory=list)

    def plus(self, found: Mapping[Site, Found | Delta], own: Callable[[Site], str] = lambda _: "") -> Tally:
        """This tally and one step's findings, as a new one; ``own`` names sites as the candidate does."""
        total = Tally(self.counts.copy(), self.kinds.copy(), self.elements, list(self.deltas), self.first)
        for site, one in found.items():
            verdict = one.verdict
            total.counts["replayed" if isinstance(one, Found) and one.forgiven else verdict.value] += 1
            if verdict.compared:
                total.kinds[site.kind.value] += 1
                total.elements += one.outcome.elements if isinstance(one, Found) else one.elements
        failing = not total.first and any(one.verdict.fails for one in found.values())
        kept = [one for one in found.values() if failing or one.verdict not in _FINE]
        ordered = in_order(one if isinstance(one, Delta) else one.delta(own) for one in kept)
        total.deltas += [delta for delta in ordered if delta.verdict not in _FINE]
        if failing:
            total.first = ordered
        return total

    def comparison(self, case: str, *, expected: int, steps: Iterable[int]) -> Comparison:
        """As a result; ``expected`` is the number of sites that there were to compare."""
        return Comparison(
            case=case,
            expected=expected,
            compared=sum(self.kinds.values()),
            counts=dict(self.counts),
            kinds=dict(self.kinds),
            deltas=tuple(self.deltas),
            steps=tuple(steps),
            elements=self.elements,
        )


def in_order(deltas: Iterable[Delta]) -> list[Delta]:
    """In the reference's execution order, what only the candidate has at the end."""
    return sorted(deltas, key=lambda delta: (delta.order < 0, delta.order))


_FINE = frozenset({Verdict.EQUAL, Verdict.CLOSE})
