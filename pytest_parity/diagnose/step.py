"""One step as the diagnosis sees it: every site with its verdict, and the reference's module calls around them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import inf

from pytest_parity.compare.alone import BLAME
from pytest_parity.names import BoundNames
from pytest_parity.result import Delta, Verdict
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["Call", "Seen", "Step", "above", "prefixes"]

FORWARD = frozenset({Kind.INPUT, Kind.ACTIVATION})
_AGREEING = frozenset({Verdict.EQUAL, Verdict.CLOSE})


@dataclass(frozen=True, slots=True)
class Seen:
    """A delta with its site read."""

    delta: Delta
    site: Site

    @property
    def order(self) -> int:
        """The place in the reference's execution order; -1 for what only the candidate has."""
        return self.delta.order

    @property
    def fails(self) -> bool:
        """Whether it fails the check."""
        return self.delta.verdict.fails

    @property
    def raised(self) -> bool:
        """Whether it fails, or is further above its noise floor than what is to blame once something fails."""
        noise = self.delta.noise
        return self.fails or (self.delta.verdict is Verdict.CLOSE and noise is not None and noise.ratio > BLAME)

    @property
    def agrees(self) -> bool:
        """Whether values were compared and agree."""
        return self.delta.verdict in _AGREEING and not self.raised

    @property
    def absent(self) -> bool:
        """Whether the golden has a tensor and the candidate has none."""
        return self.delta.verdict is Verdict.MISSING

    @property
    def extra(self) -> bool:
        """Whether the golden has no such site."""
        return self.delta.order < 0

    @property
    def surplus(self) -> bool:
        """Whether only the candidate has a tensor there; the golden may have the site, and None at it."""
        return self.delta.verdict is Verdict.EXTRA


@dataclass(frozen=True, slots=True)
class Call:
    """A module call of the reference's: its inputs were seen from ``start`` on, its output at ``end``."""

    path: str
    index: int
    start: float
    """Minus infinity where no input was recorded."""
    end: float
    """Infinity where no output was."""
    sites: tuple[Seen, ...]

    @property
    def uncalled(self) -> bool:
        """Whether the candidate never made this call; one that gave None in place of a tensor was made."""
        return all(seen.absent and not seen.delta.detail.endswith("got None") for seen in self.sites)

    def holds(self, order: int, path: str) -> bool:
        """Whether this call was under way at a point at which ``path`` is called.

        Where only one end of it is known, the name has to say the rest.
        """
        if not self.start < order < self.end:
            return False
        return self.path in prefixes(path)[1:] or not (self.start == -inf or self.end == inf)


class Step:
    """The sites of one step. What is looked up often is computed once."""

    def __init__(self, observed: Iterable[Delta], names: BoundNames) -> None:
        self.names = names
        self.seen = sorted(
            (Seen(delta, _site(delta.site)) for delta in observed),
            key=lambda seen: (seen.order < 0, seen.order),
        )

    @cached_property
    def forward(self) -> list[Seen]:
        """Inputs and activations, in execution order, extras last."""
        return [seen for seen in self.seen if seen.site.kind in FORWARD]

    @cached_property
    def calls(self) -> dict[tuple[str, int], Call]:
        """The reference's calls by module and index."""
        grouped: defaultdict[tuple[str, int], list[Seen]] = defaultdict(list)
        for seen in self.forward:
            if not seen.extra:
                grouped[seen.site.path, seen.site.call or 0].append(seen)
        return {key: _call(*key, sites) for key, sites in grouped.items()}

    def kind(self, *kinds: Kind) -> list[Seen]:
        """The sites of these kinds, in execution order, extras last."""
        return [seen for seen in self.seen if seen.site.kind in kinds]

    def caller(self, call: Call) -> Call | None:
        """The innermost recorded call around a call; None where the model's own code, unobserved, makes it."""
        return self._callers[call.path, call.index]

    @cached_property
    def _callers(self) -> dict[tuple[str, int], Call | None]:
        """Calls nest as they run; where only one end of one is known, its name says the rest."""
        calls = list(self.calls.values())
        if any(call.start == -inf or call.end == inf for call in calls):
            return {(call.path, call.index): self._around(call) for call in calls}
        found: dict[tuple[str, int], Call | None] = {}
        running: list[Call] = []
        for call in sorted(calls, key=lambda call: call.start):
            while running and running[-1].end < call.start:
                running.pop()
            found[call.path, call.index] = running[-1] if running else None
            running.append(call)
        return found

    def _around(self, call: Call) -> Call | None:
        order = min(seen.order for seen in call.sites)
        around = [other for other in self.calls.values() if other is not call and other.holds(order, call.path)]
        return min(around, key=lambda other: (other.end, -other.start), default=None)

    def own_site(self, site: Site) -> str:
        """The candidate's name of a site, empty where it is the reference's."""
        if site.call is None:
            own = replace(site, path=self.names.back(site.path))
        else:
            path, call = self.names.back_call(site.path, site.call)
            own = replace(site, path=path, call=call)
        return "" if own == site else str(own)

    def own_module(self, path: str, call: int = 0) -> str:
        """The candidate's name of a module of the reference's."""
        return self.names.back_call(path, call)[0]

    def last_agreeing(self, seen: Sequence[Seen], before: float = inf) -> str:
        """The last of these sites that agrees, before a point in execution order, as the candidate names it."""
        return next(
            (s.delta.candidate or s.delta.site for s in reversed(seen) if s.agrees and 0 <= s.order < before), ""
        )


@lru_cache(maxsize=1 << 16)
def _site(text: str) -> Site:
    """A step's sites are looked at several times."""
    return Site.parse(text)


def above(path: str) -> str:
    """The path of what holds a module or parameter."""
    return path.rpartition(".")[0] or ROOT


def prefixes(path: str) -> list[str]:
    """A path and everything above it, the root last."""
    if path == ROOT:
        return [ROOT]
    parts = path.split(".")
    return [*(".".join(parts[:depth]) for depth in range(len(parts), 0, -1)), ROOT]


def _call(path: str, index: int, sites: list[Seen]) -> Call:
    starts = [seen.order for seen in sites if seen.site.kind is Kind.INPUT]
    ends = [seen.order for seen in sites if seen.site.kind is Kind.ACTIVATION]
    return Call(path, index, min(starts, default=-inf), max(ends, default=inf), tuple(sites))
