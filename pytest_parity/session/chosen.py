"""Chosen: which steps, kinds and sites of two recordings are compared; what is asked for must be there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pytest_parity.compare.coverage import is_mask, means
from pytest_parity.errors import UsageError
from pytest_parity.golden.reader import Golden
from pytest_parity.report.words import listed, steps_words
from pytest_parity.site import Kind, Site, kind_named

__all__ = ["Chosen", "choose"]

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """``None`` and no patterns mean all of them; ``sites`` are patterns as ``ignore`` has them."""

    steps: tuple[int, ...] | None = None
    kinds: frozenset[Kind] = frozenset(Kind)
    sites: tuple[str, ...] = ()
    apart: frozenset[Site] = frozenset()
    """Sites, by the reference's names, that one of the two cannot have known of."""

    def __call__(self, site: Site) -> bool:
        """Whether a site, by the reference's names, is to be compared."""
        return site.kind in self.kinds and not is_mask(site) and site not in self.apart and self._means(site)

    @property
    def everything(self) -> bool:
        """Whether nothing is left out by name."""
        return self.steps is None and self.kinds == frozenset(Kind) and not self.sites

    def _means(self, site: Site) -> bool:
        return not self.sites or any(means(pattern, site) for pattern in self.sites)


def choose(
    reference: Golden,
    candidate: Golden,
    *,
    steps: Iterable[int] | None,
    kinds: Iterable[str] | None,
    sites: Iterable[str] | None,
) -> Chosen:
    """What is asked for; raises ``UsageError`` for a step, a kind or a pattern of sites that the recordings have not."""
    chosen = Chosen(
        None if steps is None else tuple(sorted(set(steps))),
        frozenset(Kind) if kinds is None else frozenset(map(kind_named, kinds)),
        tuple(dict.fromkeys(sites or ())),
    )
    for name, golden in (("reference", reference), ("candidate", candidate)):
        for step in chosen.steps or ():
            if step not in golden.steps:
                raise UsageError(
                    f"step {step} is not in the {name}; it has {steps_words(golden.steps) or 'no step'} ({golden.path})"
                )
    if kinds is not None or chosen.sites:
        there = _sites(reference, chosen.steps or reference.steps)
        _check_kinds(chosen, there, named=kinds is not None)
        _check_patterns(chosen, there)
    return chosen


def _sites(golden: Golden, steps: Sequence[int]) -> list[Site]:
    found = (entry.site for step in steps for entry in golden.entries(step))
    return [site for site in dict.fromkeys(found) if not is_mask(site)]


def _check_kinds(chosen: Chosen, there: list[Site], *, named: bool) -> None:
    kinds = {site.kind for site in there}
    lacking = [kind.value for kind in Kind if named and kind in chosen.kinds - kinds]
    if lacking:
        has = ", ".join(kind.value for kind in Kind if kind in kinds) or "nothing"
        raise UsageError(f"kind {lacking[0]!r} is not in the reference; it has {has}")


def _check_patterns(chosen: Chosen, there: list[Site]) -> None:
    of_kind = [site for site in there if site.kind in chosen.kinds]
    for pattern in chosen.sites:
        if any(means(pattern, site) for site in of_kind):
            continue
        other = next((site for site in there if means(pattern, site)), None)
        if other is not None:
            raise UsageError(f"site {pattern!r} is none of the kinds asked for; there is {other}")
        names = list(dict.fromkeys(name for site in of_kind for name in (site.path, str(site))))
        near = get_close_matches(pattern, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {listed(names, _SHOWN)}"
        raise UsageError(f"site {pattern!r} is not in the reference; {hint}")
