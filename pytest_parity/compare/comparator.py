"""Comparator: takes the candidate's observations one at a time and holds what comparing them found."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from math import prod

import torch

from pytest_parity.compare.coverage import CALLS, Ignore, Scope
from pytest_parity.compare.deciding import Deciding
from pytest_parity.compare.judge import Outcome
from pytest_parity.compare.region import Region, match
from pytest_parity.compare.repeats import Repeats
from pytest_parity.compare.spool import Spool
from pytest_parity.compare.tally import Found, Tally
from pytest_parity.compare.tolerance import Tolerances
from pytest_parity.compare.tracing import Tracing
from pytest_parity.compare.vacant import emptied, hollow, nonfinite
from pytest_parity.errors import UsageError
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.report.words import listed, size
from pytest_parity.result import Comparison, Delta, Tolerance, Verdict
from pytest_parity.site import Kind, Site

__all__ = ["Comparator", "Leave"]

Leave = Callable[[int, int, Site, "torch.Tensor | None"], None]
"""Takes a failing tensor of the candidate (step, order, site, tensor) at the moment it is seen."""

_NAMED = 8
_REPLAYED = frozenset({Kind.ACTIVATION, Kind.PROBE})
_STARTS = frozenset({Kind.WEIGHT, Kind.GRADIENT, Kind.OPTIMIZER})


class Comparator:
    """One case's check. Sites are the reference's; ``names`` gives the candidate's own back for messages.

    Where a step of the golden fits into ``memory`` bytes, what is not bitwise equal is kept until the step ends, so
    that ``rejudge`` can apply another tolerance; above it nothing is, and ``rejudge`` refuses.
    """

    def __init__(
        self,
        golden: Golden,
        *,
        tolerances: Tolerances,
        kinds: frozenset[Kind],
        memory: int,
        names: BoundNames,
        leave: Leave | None = None,
        batches: bool = False,
        factor: float | None = None,
        allow_dtype: bool = False,
        ignore: Ignore | None = None,
        coverage: float = 1.0,
        empty_fails: bool = False,
        memory_by: str = "memory",
        watched_by: str = "watch",
        measure: bool = False,
        spool: Spool | None = None,
        detail: bool = False,
    ) -> None:
        self.golden = golden
        self.ignore = ignore or Ignore()
        self.coverage = coverage
        self._empty_fails = empty_fails
        """Whether a site fails at which the two agree on nothing."""
        self.nonfinite: dict[str, None] = {}
        """Values that agree, and are not finite, or not all of them."""
        self.short: dict[str, None] = {}
        """Why module calls without a counterpart are missing, although not all of them need one."""
        self.uncovered: dict[str, None] = {}
        """Modules of the reference whose calls have no counterpart, and need none."""
        self.decide = Deciding(golden, factor=factor, allow_dtype=allow_dtype, measure=measure)
        self._given = frozenset() if batches else frozenset({Kind.BATCH})
        """What the candidate is given, and therefore is not compared."""
        self.step = -1
        self.regions: Mapping[str, Region] = {}
        self.configure(tolerances=tolerances, kinds=kinds, names=names)
        self.further: dict[str, None] = {}
        """Modules of the candidate that have no counterpart, in the order of their first calls."""
        self.replayed: dict[str, str] = {}
        """Replayed sites whose own value was another."""
        self.own_updates: dict[str, None] = {}
        """Updates that the candidate's own gradients led elsewhere, while its optimizer's step on its own is right."""
        self._leave = leave
        self._memory = memory
        self._memory_by, self._watched_by = memory_by, watched_by
        """What someone types to raise it, and to declare tolerances where the watch begins."""
        self.keeps = memory >= max((self._sizes(step)[1] for step in golden.steps), default=0)
        self._spool = spool or Spool(memory)
        self._repeats = Repeats()
        self._found: dict[Site, Found | Delta] = {}
        self.came_to: list[int] = []
        """The steps that the candidate ran."""
        self._tally = Tally()
        self._tracing = Tracing(golden) if detail else None

    def configure(
        self,
        *,
        tolerances: Tolerances,
        kinds: frozenset[Kind],
        names: BoundNames,
        unobservable: frozenset[str] = frozenset(),
        replay: Iterable[str] = (),
        ignore: Ignore | None = None,
        coverage: float | None = None,
    ) -> None:
        """Take on what a watch asks for; ``unobservable`` are the reference's names of modules that are compiled."""
        self.decide.tolerances = tolerances
        self.kinds = kinds - self._given
        self.names = names
        self.unobservable = unobservable
        self.replay = tuple(replay)
        self.ignore = self.ignore if ignore is None else ignore
        self.coverage = self.coverage if coverage is None else coverage
        self._expect()

    def _expect(self) -> None:
        entries = self.golden.entries(self.step) if self.step in self.golden.steps else ()
        buffers = self.golden.manifest["structure"].get("buffers", ())
        self._scope = Scope(entries, kinds=self.kinds, ignore=self.ignore, buffers=buffers)
        self._expected: dict[Site, Entry] = self._scope.expected

    def _sizes(self, step: int) -> tuple[int, int]:
        """How many sites there are to compare in a step, and how many bytes; from the manifest, where it says so."""
        sizes = self.golden.manifest["steps"][str(step)].get("sizes")
        if sizes is None:
            entries = [entry for entry in self.golden.entries(step) if entry.site.kind in self.kinds]
            return len(entries), sum(entry.nbytes for entry in entries)
        chosen = [size for kind, size in sizes.items() if Kind(kind) in self.kinds]
        return sum(count for count, _ in chosen), sum(size for _, size in chosen)

    def begin(self, step: int) -> None:
        """Open a step of the golden; ``regions`` are to be set once its batch is known."""
        self.step = step
        self.regions = {}
        self.came_to.append(step)
        self._found = {}
        self._expect()
        if self._tracing is not None:
            self._tracing.begin()

    def entry(self, site: Site) -> Entry | None:
        """The golden's entry at a site of the current step, whatever its kind."""
        return self._expected.get(site) or self.golden.entry(self.step, site)

    def see(self, site: Site, value: torch.Tensor | None, call: Tolerance | None = None) -> None:
        """Compare one observation with the golden's at the same site; ``call`` is a tolerance of this call only."""
        if site in self._found or site.kind not in self.kinds:
            return
        if self.ignore.pattern(site) is not None:
            if site.kind is Kind.WEIGHT and value is not None:
                self._spool.put(site, value)  # an update is judged as new minus start, whatever the start
            return
        if self._tracing is not None:
            self._tracing.loss(site, value)
        entry = self._expected.get(site)
        if entry is None:
            self._see_extra(site, value)
            return
        outcome = self._compare(entry, value, call)
        self._settle(entry, outcome)
        self._look(entry, value, outcome)
        if value is None or outcome.verdict is Verdict.EQUAL:
            return
        if self.keeps or site.kind is Kind.WEIGHT:
            self._spool.put(site, value)
        if outcome.verdict.fails and self._leave is not None and not self.keeps:
            self._leave(self.step, entry.order, site, value)

    def see_stored(self, site: Site, place: Hashable, read: Callable[[], torch.Tensor | None]) -> torch.Tensor | None:
        """``see`` for a tensor that is stored at ``place``: it is not read where the two were compared before.

        Returns what was read.
        """
        entry = self._expected.get(site)
        whole = entry is not None and match(self.regions, site, entry.shape) is None
        known = self._repeats.get(entry, place, self.decide) if entry is not None and whole else None
        if entry is not None and known is not None and site not in self._found:
            self._settle(entry, known)
            if self._tracing is not None and known.verdict.fails:
                self._look(entry, read(), known)
            return None
        value = read()
        self.see(site, value)
        found = self._found.get(site)
        if entry is not None and whole and isinstance(found, Found) and not found.replayed:
            self._repeats.put(entry, place, found.outcome)
        return value

    def see_update(
        self, site: Site, new: torch.Tensor, *, isolated: bool, again: bool = False, alike: bool = False
    ) -> None:
        """Compare an updated weight: on the update, new minus start.

        ``isolated``: stepped from the reference's own start, which is then its start too; else the candidate's own.
        ``again`` has this one decide where an isolated step was judged before. ``alike``: the candidate's own start was
        the reference's, bit for bit, so that the noise floor is that of an isolated step.
        """
        entry = self._expected.get(site)
        start = self.golden.entry(self.step, Site(Kind.WEIGHT, site.path))
        if entry is None or start is None or entry.dtype == NONE:
            self.see(site, new)
            return
        own = None if isolated else self._spool.get(Site(Kind.WEIGHT, site.path))
        outcome = self._compare_update(entry, start, new, own, None, led=not (isolated or alike))
        earlier = self._found.get(site)
        if earlier is not None and not again:  # judged in isolation; what its own gradients led to stands beside
            if outcome.verdict.fails:
                self.own_updates.setdefault(f"{self.own_name(site) or site} in step {self.step}")
            if outcome.verdict is not Verdict.EQUAL and self.keeps:
                self._spool.put(_besides(site), new)
            return
        self._settle(entry, outcome, isolated=isolated)
        if self._tracing is not None:
            self._tracing.update(entry, start, new, own, outcome)
        if outcome.verdict is not Verdict.EQUAL:
            if self.keeps:
                self._spool.put(site, new)
            left = self.keeps or (earlier is not None and earlier.verdict.fails)
            if outcome.verdict.fails and self._leave is not None and not left:
                self._leave(self.step, entry.order, site, new)

    def rejudge(self, kinds: frozenset[Kind], call: Tolerance, where: str) -> None:
        """Judge what the step has seen of ``kinds`` again, by a tolerance given in a call."""
        if not self.keeps:
            largest = max(self._sizes(step)[1] for step in self.golden.steps)
            raise UsageError(
                f"{where}: a step of {self.golden.case} is {size(largest)}, over {self._memory_by} "
                f"({size(self._memory)}), so it was judged as it streamed by and is gone. Declare the tolerance "
                f"where the watch begins, {self._watched_by}(..., tolerances={{'{min(kinds).value}': "
                f"({call.rtol}, {call.atol})}}), or raise {self._memory_by}"
            )
        for site, delta in list(self._found.items()):
            if site.kind not in kinds or delta.verdict is Verdict.EQUAL or site not in self._expected:
                continue
            entry, kept = self._expected[site], self._spool.get(site)
            if kept is None:
                continue
            start = self.golden.entry(self.step, Site(Kind.WEIGHT, site.path))
            if site.kind is Kind.UPDATED_WEIGHT and start is not None:
                isolated = isinstance(delta, Found) and delta.isolated
                own = None if isolated else self._spool.get(Site(Kind.WEIGHT, site.path))
                outcome = self._compare_update(entry, start, kept, own, call, led=not isolated)
                self._settle(entry, outcome, isolated=isolated)
                if self._tracing is not None:
                    self._tracing.update(entry, start, kept, own, outcome)
            else:
                outcome = self._compare(entry, kept, call)
                self._settle(entry, outcome)
                self._look(entry, kept, outcome)

    def differs(self, site: Site) -> bool:
        """Whether the current step has found other values at a site."""
        found = self._found.get(site)
        return found is not None and found.verdict is Verdict.DIFFERS

    def starts_equal(self, path: str) -> bool:
        """Whether a parameter's weight, gradient and optimizer state all began this step bit for bit as the golden's."""
        begun = [site for site in self._scope.recorded if site.path == path and site.kind in _STARTS]
        found = [self._found.get(site) for site in begun]
        return bool(begun) and all(one is not None and one.verdict is Verdict.EQUAL for one in found)

    @property
    def found(self) -> Mapping[Site, Found | Delta]:
        """What the current step has found so far."""
        return self._found

    def observed(self, site: Site) -> torch.Tensor | None:
        """The candidate's own tensor at a site of this step, if it is kept and not equal; good until the next call.

        Of an updated weight what its own gradients led to.
        """
        found = self._found.get(site)
        isolated = isinstance(found, Found) and found.isolated
        return self._spool.get(_besides(site) if isolated else site)

    def judged(self, site: Site) -> torch.Tensor | None:
        """The same, but of an updated weight what was judged: what the step on its own led to."""
        return self._spool.get(site)

    def forget_starts(self) -> None:
        """The candidate's own weights at the step's start are no more: the reference's are in their place."""
        self._spool.forget(Kind.WEIGHT)

    def has(self, kinds: frozenset[Kind]) -> bool:
        """Whether the golden or the candidate has a site of ``kinds`` in this step."""
        return any(site.kind in kinds for sites in (self._expected, self._found) for site in sites)

    def excepts(self, kinds: frozenset[Kind]) -> bool:
        """Whether the test excepts what the golden has of ``kinds`` in this step."""
        return any(site.kind in kinds for site in self._scope.ignored)

    def fill(self, kinds: Iterable[Kind]) -> None:
        """Settle what the golden has of ``kinds`` in this step and the candidate has not: missing, or unobservable."""
        wanted = frozenset(kinds)
        uncovered = self._cover() if wanted & CALLS else frozenset()
        for site, entry in self._expected.items():
            if site.kind in wanted and site not in self._found and site not in uncovered:
                self._miss(site, entry)

    def _cover(self) -> frozenset[Site]:
        """The sites of module calls that need no counterpart."""
        short = self._scope.cover(self._found, self.coverage, self.unobservable)
        if short:
            self.short.setdefault(f"step {self.step}: {short}")
        order = (site.path for site in self._scope.expected if site in self._scope.uncovered)
        self.uncovered.update(dict.fromkeys(order))
        return self._scope.uncovered

    def fill_value(self, value: Site) -> None:
        """Settle the leaves of a named value that the candidate's has not."""
        for site, entry in self._expected.items():
            if _same_value(site, value) and site not in self._found:
                self._miss(site, entry)

    def value_fails(self, value: Site) -> bool:
        """Whether a leaf of a named value fails."""
        return any(_same_value(site, value) and delta.verdict.fails for site, delta in self._found.items())

    def _miss(self, site: Site, entry: Entry) -> None:
        hidden = site.kind in CALLS and site.path in self.unobservable
        verdict = Verdict.UNOBSERVABLE if hidden else Verdict.MISSING
        self._found[site] = Delta(
            str(site), self.step, entry.order, verdict, candidate=self.own_name(site), detail=_shape(entry)
        )

    def fails(self, kinds: frozenset[Kind]) -> bool:
        """Whether the current step fails at a site of ``kinds``."""
        return any(found.verdict.fails and site.kind in kinds for site, found in self._found.items())

    def end(self) -> None:
        """Close the step; what was not seen is missing."""
        if self.step < 0:
            return
        self.fill(self.kinds)
        self._tally = self._tally_now
        if self._tracing is not None:
            self._tracing.end(self.step, self._found, self.own_name)
        self._spool.clear()
        self._scope = Scope()
        self._expected, self._found, self.step = self._scope.expected, {}, -1

    def finish(self, regions: Callable[[int], Mapping[str, Region]] = lambda _: {}) -> None:
        """Close the last step, and count the steps that the candidate never came to as missing; ``regions`` are a step's."""
        self.end()
        for step in self.golden.steps:
            if step not in self.came_to:
                self.begin(step)
                self.regions = regions(step)
                self.end()
                self.came_to.remove(step)

    def close(self) -> None:
        """Give files and memory back."""
        self._spool.close()

    @property
    def expected(self) -> int:
        """How many sites the golden has to compare."""
        return sum(self._sizes(step)[0] for step in self.golden.steps)

    @property
    def first_failing_step(self) -> list[Delta]:
        """Every delta of the first step that fails, in execution order."""
        return self._tally_now.first

    def comparison(self) -> Comparison:
        """What is known so far."""
        told = self._tally_now.comparison(self.golden.case, expected=self.expected, steps=self.came_to)
        if self._tracing is None:
            return told
        return replace(told, trace=self._tracing.trace(self.step, self._found, self.own_name))

    @property
    def _tally_now(self) -> Tally:
        entries = self._scope.recorded.values() if self.regions else ()
        whole = ((entry, prod(entry.shape)) for entry in entries if entry.dtype != NONE)
        self._scope.outside = sum(size - self._elements(entry) for entry, size in whole)
        return self._tally.plus(self._found, self.own_name, self._scope, self._elements)

    def _elements(self, entry: Entry) -> int:
        """How many elements there are to compare at a site."""
        if entry.dtype == NONE:
            return 0
        region = match(self.regions, entry.site, entry.shape)
        return prod(entry.shape) if region is None else region.count(entry.shape)

    def notes(self) -> Iterator[str]:
        """What is not a verdict on a site, and should be said."""
        if self.further:
            yield f"modules of the candidate without a counterpart: {listed(list(self.further), _NAMED)}"
        if self.uncovered:
            yield f"modules of the reference without a counterpart (coverage={self.coverage:g}): {listed(list(self.uncovered), _NAMED)}"
        yield from self.short
        if self.nonfinite:
            yield f"not finite in the reference either: {listed(list(self.nonfinite), _NAMED)}"
        if self.own_updates:
            yield (
                "by the candidate's own gradients these updates would be others (the optimizer's step is judged from "
                f"the reference's): {listed(list(self.own_updates), _NAMED)}"
            )
        if self.replayed:
            yield f"replayed, and the candidate's own output is another: {listed(list(self.replayed), _NAMED)}"

    def _compare(self, entry: Entry, value: torch.Tensor | None, call: Tolerance | None) -> Outcome:
        region = match(self.regions, entry.site, entry.shape)
        outcome = self.decide.value(entry, value, call, region=region)
        count, total = nonfinite(entry, value, outcome, region)
        if count == total > 0 and self._empty_fails and not self._overflowed(entry.site):
            return hollow(outcome, total)
        if count:
            self.nonfinite.setdefault(f"{entry.site} ({count:,} of {total:,}) in step {self.step}")
        return outcome

    def _look(self, entry: Entry, value: torch.Tensor | None, outcome: Outcome) -> None:
        if self._tracing is not None:
            region = match(self.regions, entry.site, entry.shape)
            self._tracing.value(entry, value, outcome, region)

    def _overflowed(self, site: Site) -> bool:
        """Whether no optimizer has stepped: where a loss scale overflows, gradients are infinite and the step is left out."""
        taken = self.golden.manifest["steps"][str(self.step)].get("optimizer_steps", ())
        return site.kind is Kind.GRADIENT and len(taken) > 0 and not any(taken)

    def _compare_update(
        self,
        entry: Entry,
        start: Entry,
        new: torch.Tensor,
        own: torch.Tensor | None,
        call: Tolerance | None,
        *,
        led: bool,
    ) -> Outcome:
        outcome = self.decide.update(entry, start, new, own, call, led=led)
        return self._compare(entry, new, call) if outcome is None else outcome

    def _settle(self, entry: Entry, outcome: Outcome, *, isolated: bool = False) -> None:
        site = entry.site
        outcome = emptied(entry, outcome) if self._empty_fails else outcome
        replayed = bool(self.replay) and site.kind in _REPLAYED and self._is_replayed(site.path)
        if Found(entry, outcome, replayed).forgiven:
            self.replayed[f"{site} in step {self.step}"] = outcome.verdict.value
        self._found[site] = Found(entry, outcome, replayed, isolated)

    def _is_replayed(self, path: str) -> bool:
        return any(fnmatchcase(path, pattern) for pattern in self.replay)

    def _see_extra(self, site: Site, value: torch.Tensor | None) -> None:
        if site.kind in CALLS and site.path not in self._scope.paths:
            self.further.setdefault(self.names.back(site.path))
            return
        shape = "None" if value is None else f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
        self._found[site] = Delta(str(site), self.step, -1, Verdict.EXTRA, candidate=self.own_name(site), detail=shape)
        if self._leave is not None:
            self._leave(self.step, len(self._expected) + len(self._found), site, value)

    def own_name(self, site: Site) -> str:
        """The candidate's own name of a site, empty where it is the reference's."""
        if site.call is not None and site.kind in CALLS:
            path, call = self.names.back_call(site.path, site.call)
            own = str(replace(site, path=path, call=call))
        elif site.kind in {Kind.OUTPUT, Kind.LOSS}:
            return ""
        else:
            own = str(replace(site, path=self.names.back(site.path)))
        return "" if own == str(site) else own


def _besides(site: Site) -> Site:
    """Where the weight that the candidate's own gradients led to is kept, besides the one stepped in isolation."""
    return replace(site, leaf="own")


def _same_value(site: Site, value: Site) -> bool:
    return site.kind is value.kind and site.path == value.path and site.call == value.call


def _shape(entry: Entry) -> str:
    return "None" if entry.dtype == NONE else f"{entry.shape} {entry.dtype}"
