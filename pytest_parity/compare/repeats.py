"""Repeats: pairs of stored tensors that were compared already, under the name of another site."""

from __future__ import annotations

from collections.abc import Hashable

from pytest_parity.compare.deciding import Deciding
from pytest_parity.compare.judge import EXACTLY, Outcome
from pytest_parity.golden.entry import Entry
from pytest_parity.result import Verdict
from pytest_parity.site import Kind

__all__ = ["Repeats"]

_ALIKE = frozenset({Kind.BATCH, Kind.WEIGHT, Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT, Kind.OPTIMIZER})
"""Kinds of which nothing but the values counts: others are looked through for what is not finite, or have a start."""


class Repeats:
    """Outcomes by where the two tensors lie: a module's input is mostly another one's output, and takes no bytes."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Outcome] = {}

    def put(self, entry: Entry, place: Hashable, outcome: Outcome) -> None:
        """Keep what comparing a golden's tensor with the one at ``place`` came to; the noise floor is a site's own."""
        if place is not None and entry.nbytes and outcome.noise is None and entry.site.kind in _ALIKE:
            self._known[_key(entry, place)] = outcome

    def get(self, entry: Entry, place: Hashable, decide: Deciding) -> Outcome | None:
        """The same for a site whose values were compared before, if what decides there is what decided then."""
        known = self._known.get(_key(entry, place)) if place is not None and entry.site.kind in _ALIKE else None
        if known is None or known.verdict is Verdict.EQUAL:
            return known
        tolerance, floor = decide.what(entry)
        if floor is not None or known.tolerance not in (tolerance, EXACTLY):
            return None
        return known


def _key(entry: Entry, place: Hashable) -> Hashable:
    return entry.file, entry.offset, entry.dtype, entry.shape, place
