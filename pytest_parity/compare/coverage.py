"""Coverage: what of a step must find its counterpart, and what the test excepts by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pytest_parity.errors import UsageError
from pytest_parity.golden.entry import Entry
from pytest_parity.site import Kind, Site

__all__ = ["CALLS", "MASKS", "Ignore", "Scope", "check_coverage", "check_patterns", "is_mask", "means"]

CALLS = frozenset({Kind.PROBE, Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT})
"""The kinds that module calls have."""

MASKS = "(valid)"
"""The name of what masks of valid regions are, among the batch's sites; no input of a test can have it."""

_TENSORS = frozenset({Kind.WEIGHT, Kind.GRADIENT, Kind.OPTIMIZER, Kind.UPDATED_WEIGHT})
_KINDS = frozenset(kind.value for kind in Kind)

_Call = tuple[str, int | None]


def check_coverage(value: object, origin: str) -> float:
    """A share from 0 to 1; raises ``UsageError`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UsageError(
            f"{origin}: coverage={value!r}; it is the share of the reference's module calls that must find a "
            "counterpart, from 0 to 1, as in coverage=0.95"
        )
    return float(value)


def check_patterns(value: object, origin: str) -> tuple[str, ...]:
    """Patterns of sites; raises ``UsageError`` for what is no list of texts."""
    found = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not found or not all(isinstance(pattern, str) and pattern for pattern in found):
        raise UsageError(
            f"{origin}: ignore={value!r}; it is a list of sites, kinds or paths, as in "
            "ignore=['activation/encoder.pos*', 'decoder.dropout']"
        )
    return found


def is_mask(site: Site) -> bool:
    """Whether a site holds the mask of a valid region, which is not compared."""
    return site.path == MASKS and site.kind is Kind.BATCH


class Ignore:
    """The sites that a test excepts by name, and which of its patterns have found one.

    A pattern is a kind's name (``gradient``), a glob over sites (it has a ``/``: ``activation/encoder.pos*``; without
    call index or leaf it means all of them), or a glob over paths (``encoder.pos``), which means everything at and
    below a module, a parameter or a value of that name. ``shared`` patterns hold for many tests, so they need not find
    anything in this one.
    """

    def __init__(self, patterns: Iterable[str] = (), *, shared: Iterable[str] = ()) -> None:
        self._own = tuple(dict.fromkeys(patterns))
        self._shared = tuple(shared)
        self._patterns = tuple(dict.fromkeys((*self._own, *self._shared)))
        self._known: dict[Site, str | None] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def plus(self, patterns: Iterable[str]) -> Ignore:
        """This one with further patterns; what was asked about is known to it."""
        wider = Ignore((*self._own, *patterns), shared=self._shared)
        for site in self._known:
            wider.pattern(site)
        return wider

    def pattern(self, site: Site) -> str | None:
        """The first pattern that excepts a site."""
        if not self._patterns:
            return None
        try:
            return self._known[site]
        except KeyError:
            found = next((pattern for pattern in self._patterns if means(pattern, site)), None)
            return self._known.setdefault(site, found)

    def problems(self) -> Iterator[str]:
        """A sentence for each pattern that has found no site, among those that were asked about."""
        names = _names(self._known)
        for pattern in self._own:
            if not any(means(pattern, site) for site in self._known):
                near = get_close_matches(pattern, names, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else "sites are named as the reference's are"
                yield f"ignore={pattern!r} matches no site that is compared; {hint}"


def means(pattern: str, site: Site) -> bool:
    """Whether a pattern is about a site; see ``Ignore`` for what a pattern is."""
    if pattern in _KINDS:
        return site.kind.value == pattern
    if "/" in pattern:
        return any(name == pattern or fnmatchcase(name, pattern) for name in _spellings(site))
    return site.path == pattern or fnmatchcase(site.path, pattern) or fnmatchcase(site.path, f"{pattern}.*")


def _spellings(site: Site) -> tuple[str, ...]:
    """As it is written, and without its leaf, and without its call."""
    return (
        str(site),
        str(Site(site.kind, site.path, site.call, optimizer=site.optimizer)),
        str(Site(site.kind, site.path)),
    )


def _names(sites: Iterable[Site]) -> list[str]:
    found = dict.fromkeys(name for site in sites for name in (str(Site(site.kind, site.path)), site.path))
    return [*found, *dict.fromkeys(site.kind.value for site in sites)]


class Scope:
    """One step of a golden: the sites to compare, those that the test excepts, and how many of what they are.

    ``buffers`` are the paths that are no parameters.
    """

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        *,
        kinds: Collection[Kind] = (),
        ignore: Ignore | None = None,
        buffers: Collection[str] = (),
    ) -> None:
        chosen = {entry.site: entry for entry in entries if entry.site.kind in kinds and not is_mask(entry.site)}
        self.ignored: dict[Site, str] = {}
        """Excepted sites, each with the pattern that does."""
        if ignore:
            found = ((site, ignore.pattern(site)) for site in chosen)
            self.ignored = {site: pattern for site, pattern in found if pattern is not None}
        self.recorded = chosen
        """All of them."""
        self.expected = {s: e for s, e in chosen.items() if s not in self.ignored} if self.ignored else chosen
        self.paths = frozenset(site.path for site in self.expected if site.kind in CALLS)
        self.uncovered: frozenset[Site] = frozenset()
        """Sites of module calls that have no counterpart, and need none."""
        self.outside = 0
        """Elements that valid regions leave out."""
        self._buffers = buffers

    def calls(self) -> set[_Call]:
        """The module calls recorded."""
        return {(site.path, site.call) for site in self.recorded if site.kind in CALLS}

    def parameters(self) -> set[str]:
        """The parameters recorded, by name."""
        return {site.path for site in self.recorded if site.kind in _TENSORS} - set(self._buffers)

    def cover(self, found: Mapping[Site, object], share: float, unobservable: Collection[str]) -> str:
        """Let calls of modules that the candidate has not go uncovered, as long as ``share`` of all calls is found.

        Returns why that cannot be, where it cannot; empty otherwise.
        """
        calls = {(s.path, s.call) for s in self.expected if s.kind in CALLS and s.path not in unobservable}
        seen = {(s.path, s.call) for s in found if s.kind in CALLS} & calls
        if share >= 1 or len(seen) == len(calls):
            return ""
        if len(seen) < share * len(calls):
            return (
                f"{len(seen):,} of {len(calls):,} module calls have a counterpart ({len(seen) / len(calls):.1%}), and "
                f"coverage={share:g} asks for more"
            )
        known = {path for path, _ in seen} | set(unobservable)
        self.uncovered = frozenset(s for s in self.expected if s.kind in CALLS and s.path not in known)
        return ""

    def without(self, lacking: Iterable[Site]) -> tuple[int, int, set[str], set[str]]:
        """Calls compared and recorded, and parameters compared and recorded, where ``lacking`` sites were not."""
        calls, parameters = self.calls(), self.parameters()
        lost = list(lacking)
        lost_calls = {(site.path, site.call) for site in lost if site.kind in CALLS}
        lost_parameters = {site.path for site in lost if site.kind in _TENSORS}
        return len(calls - lost_calls), len(calls), parameters - lost_parameters, parameters

    def ignored_counts(self) -> Counter[str]:
        """How many sites each pattern excepts."""
        return Counter(self.ignored.values())
