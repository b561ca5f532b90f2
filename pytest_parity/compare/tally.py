"""Tally: the deltas of a check's steps, counted; what is not equal or close is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pytest_parity.compare.coverage import Scope
from pytest_parity.compare.judge import Outcome
from pytest_parity.golden.entry import Entry
from pytest_parity.result import IGNORED, UNCOVERED, Comparison, Coverage, Delta, Verdict
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

    @property
    def counted(self) -> str:
        """What it counts as: its verdict, or that a recorded output stood in for its own, or flips whatever is moved."""
        if self.forgiven:
            return "replayed"
        unstable = self.outcome.noise is not None and self.outcome.noise.unstable and not self.verdict.fails
        return "unstable" if unstable else self.verdict.value

    @property
    def closeness(self) -> float:
        """The share of what the noise floor allows; 0 where another thing decided, or it fails."""
        noise = self.outcome.noise
        return 0.0 if noise is None or self.verdict.fails else noise.closeness

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
            noise=self.outcome.noise,
            spread=self.outcome.spread,
        )


@dataclass(frozen=True)
class Units:
    """The parameters, module calls and elements of the steps so far; parameters by name, and whether all of each."""

    parameters: Mapping[str, bool] = field(default_factory=dict)
    calls: int = 0
    calls_recorded: int = 0
    elements: int = 0
    outside: int = 0
    ignored: Counter[str] = field(default_factory=Counter)

    def plus(self, scope: Scope, *, lacking: Iterable[Site], elements: int) -> Units:
        """With another step's; of ``lacking`` sites nothing was compared, ``elements`` were recorded inside of regions."""
        calls, recorded, compared, parameters = scope.without(lacking)
        whole = {name: name in compared and self.parameters.get(name, True) for name in parameters}
        return Units(
            {**self.parameters, **whole},
            self.calls + calls,
            self.calls_recorded + recorded,
            self.elements + elements,
            self.outside + scope.outside,
            self.ignored + scope.ignored_counts(),
        )

    def coverage(self) -> Coverage:
        """As a result."""
        return Coverage(
            parameters=sum(self.parameters.values()),
            parameters_recorded=len(self.parameters),
            calls=self.calls,
            calls_recorded=self.calls_recorded,
            elements_recorded=self.elements,
            outside=self.outside,
            ignored=dict(self.ignored),
        )


@dataclass
class Tally:
    """Counts over steps. ``first`` are all deltas of the first step that fails, which the diagnosis needs."""

    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    elements: int = 0
    deltas: list[Delta] = field(default_factory=list)
    first: list[Delta] = field(default_factory=list)
    closest: Delta | None = None
    """Of what passes by the noise floor, the site nearest to its bound."""
    units: Units = field(default_factory=Units)

    def plus(
        self,
        found: Mapping[Site, Found | Delta],
        own: Callable[[Site], str] = lambda _: "",
        scope: Scope | None = None,
        size: Callable[[Entry], int] = lambda _: 0,
    ) -> Tally:
        """This tally and one step's findings, as a new one; ``own`` names sites as the candidate does.

        ``scope`` is what the step had to compare, ``size`` counts the elements to compare of an observation.
        """
        total = Tally(self.counts.copy(), self.kinds.copy(), self.elements, list(self.deltas), self.first)
        total.closest, total.units = self._closer(found, own), self.units
        partial = []
        for site, one in found.items():
            verdict = one.verdict
            total.counts[one.counted if isinstance(one, Found) else verdict.value] += 1
            elements = one.outcome.elements if isinstance(one, Found) else one.elements
            if verdict.compared:
                total.kinds[site.kind.value] += 1
                total.elements += elements
            if not (verdict.compared and elements):
                partial.append(site)
        failing = not total.first and any(one.verdict.fails for one in found.values())
        kept = [one for one in found.values() if failing or one.verdict not in _FINE]
        ordered = in_order(one if isinstance(one, Delta) else one.delta(own) for one in kept)
        total.deltas += [delta for delta in ordered if delta.verdict not in _FINE]
        if failing:
            total.first = ordered
        if scope is not None:
            total._add(scope, found, partial, total.elements - self.elements, size)
        return total

    def _closer(self, found: Mapping[Site, Found | Delta], own: Callable[[Site], str]) -> Delta | None:
        best = max(
            (one for one in found.values() if isinstance(one, Found)), key=lambda one: one.closeness, default=None
        )
        if best is None or not best.closeness:
            return self.closest
        held = self.closest and self.closest.noise
        return self.closest if held and held.closeness >= best.closeness else best.delta(own)

    def _add(
        self,
        scope: Scope,
        found: Mapping[Site, Found | Delta],
        partial: list[Site],
        elements: int,
        size: Callable[[Entry], int],
    ) -> None:
        """What the step had to compare; ``partial`` are the sites found of which no element was compared."""
        uncovered = scope.uncovered.difference(found)
        self.counts.update({IGNORED: len(scope.ignored)} if scope.ignored else {})
        self.counts.update({UNCOVERED: len(uncovered)} if uncovered else {})
        unseen = [site for site in scope.recorded if site not in found]
        absent = [site for site in partial if not found[site].verdict.compared]
        self.units = self.units.plus(
            scope,
            lacking=[*unseen, *absent],
            elements=elements + sum(size(scope.recorded[s]) for s in (*unseen, *partial) if s in scope.recorded),
        )

    def comparison(self, case: str, *, expected: int, steps: Iterable[int]) -> Comparison:
        """As a result; ``expected`` is the number of sites that there were to compare.

        Where no element was, and nothing fails, nothing was compared: a ``None`` that agrees with ``None`` is no value.
        """
        looked = self.elements or self.first
        return Comparison(
            case=case,
            expected=expected,
            compared=sum(self.kinds.values()) if looked else 0,
            counts=dict(self.counts),
            kinds=dict(self.kinds),
            deltas=tuple(self.deltas),
            steps=tuple(steps),
            elements=self.elements,
            coverage=self.units.coverage(),
            closest=self.closest,
        )


def in_order(deltas: Iterable[Delta]) -> list[Delta]:
    """In the reference's execution order, what only the candidate has at the end."""
    return sorted(deltas, key=lambda delta: (delta.order < 0, delta.order))


_FINE = frozenset({Verdict.EQUAL, Verdict.CLOSE})
