"""Tally: the deltas of a check's steps, counted; what is not equal or close is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_parity.result import Comparison, Delta, Verdict
from pytest_parity.site import Site

__all__ = ["Tally", "in_order"]


@dataclass
class Tally:
    """Counts over steps. ``first`` are all deltas of the first step that fails, which the diagnosis needs."""

    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    elements: int = 0
    deltas: list[Delta] = field(default_factory=list)
    first: list[Delta] = field(default_factory=list)

    def plus(self, found: Iterable[tuple[Site, Delta]]) -> Tally:
        """This tally and one step's deltas, as a new one."""
        ordered = in_order(found)
        total = Tally(self.counts.copy(), self.kinds.copy(), self.elements, list(self.deltas), self.first)
        for site, delta in ordered:
            total.counts[delta.verdict.value] += 1
            total.elements += delta.elements
            if delta.verdict.compared:
                total.kinds[site.kind.value] += 1
            if delta.verdict not in {Verdict.EQUAL, Verdict.CLOSE}:
                total.deltas.append(delta)
        if not total.first and any(delta.verdict.fails for _, delta in ordered):
            total.first = [delta for _, delta in ordered]
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


def in_order(found: Iterable[tuple[Site, Delta]]) -> list[tuple[Site, Delta]]:
    """In the reference's execution order, what only the candidate has at the end."""
    return sorted(found, key=lambda item: (item[1].order < 0, item[1].order))
