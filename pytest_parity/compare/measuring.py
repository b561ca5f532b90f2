"""Comparators of a recording's further runs: one for the run that moves nothing, one for those that do."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.dtypes import EXACT, rounding, smallest
from pytest_parity.compare.floor import Distance, Measured
from pytest_parity.compare.judge import Outcome, before_values
from pytest_parity.compare.measure import Meter, fits
from pytest_parity.compare.region import match
from pytest_parity.compare.tally import Found
from pytest_parity.compare.tolerance import Tolerances
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden, torch_dtype
from pytest_parity.names import BoundNames
from pytest_parity.result import Tolerance, Verdict
from pytest_parity.site import Kind, Site

__all__ = ["Measuring", "Repeated", "measured"]

_EXACTLY = Tolerance(0.0, 0.0, "a run that moves nothing")
_WIDE = frozenset({torch.float64, torch.complex128})
_FLIPPING = frozenset({Kind.INPUT, Kind.ACTIVATION, Kind.OUTPUT})


class _Further(Comparator):
    """Of the reference's own names, all kinds, without a memory."""

    def __init__(self, golden: Golden, *, memory: int = 0) -> None:
        super().__init__(
            golden,
            tolerances=Tolerances(),
            kinds=frozenset(Kind),
            memory=memory,
            names=BoundNames.identity(),
        )


class Repeated(_Further):
    """Whether a test gives the same twice: every value must be equal, whatever tolerances it and its calls declare."""

    def _compare(self, entry: Entry, value: torch.Tensor | None, call: Tolerance | None) -> Outcome:  # noqa: ARG002
        return super()._compare(entry, value, _EXACTLY)

    def _compare_update(
        self,
        entry: Entry,
        start: Entry,
        new: torch.Tensor,
        own: torch.Tensor | None,
        call: Tolerance | None,  # noqa: ARG002
        *,
        led: bool,
    ) -> Outcome:
        return super()._compare_update(entry, start, new, own, _EXACTLY, led=led)


class Measuring(_Further):
    """What a draw of a reference moved, by step and order: ``sites``, and of updates by its own gradients ``own``."""

    def __init__(self, golden: Golden, *, memory: int) -> None:
        super().__init__(golden, memory=memory)
        self.keeps = False
        self._meter = Meter(golden)
        self.sites: dict[tuple[int, int], Measured] = {}
        self.own: dict[tuple[int, int], Measured] = {}

    @property
    def flipped(self) -> Iterator[Measured]:
        """The integer and boolean sites that are not what they were."""
        return (one for one in self.sites.values() if one.exact and one.norm and one.site.kind in _FLIPPING)

    def see_update(
        self,
        site: Site,
        new: torch.Tensor,
        *,
        isolated: bool,
        again: bool = False,  # noqa: ARG002
        alike: bool = False,  # noqa: ARG002
    ) -> None:
        """Measure an update: in isolation, and by its own gradients."""
        entry = self._expected.get(site)
        start = self.golden.entry(self.step, Site(Kind.WEIGHT, site.path))
        if entry is None or start is None or entry.dtype == NONE or not fits(entry, new):
            self.see(site, new)
            return
        own = None if isolated else self._spool.get(Site(Kind.WEIGHT, site.path))
        distance = self._meter.update(entry, start, new, own, precise=True)
        assert distance is not None
        kept = self.sites if isolated else self.own
        kept[self.step, entry.order] = measured(entry, distance, math.sqrt(distance.weight))
        self._found[site] = Found(entry, Outcome(Verdict.CLOSE, elements=distance.elements))

    def _compare(self, entry: Entry, value: torch.Tensor | None, call: Tolerance | None) -> Outcome:
        if value is None or not fits(entry, value):
            expected = None if entry.dtype == NONE else (entry.shape, torch_dtype(entry))
            return before_values(value, expected) or self.decide.value(entry, value, call, region=None)
        distance = self._meter.site(entry, value, region=match(self.regions, entry.site, entry.shape), precise=True)
        assert distance is not None
        if distance.broken:
            return Outcome(Verdict.NONFINITE)
        self.sites[self.step, entry.order] = measured(entry, distance, math.sqrt(distance.own))
        return Outcome(Verdict.CLOSE, elements=distance.elements)


def measured(entry: Entry, distance: Distance, scale: float) -> Measured:
    """What a run moved at a site; ``scale`` is the norm of what its rounding is relative to."""
    dtype = torch_dtype(entry)
    reference = math.sqrt(distance.own)
    eps = distance.eps if distance.eps is not None else rounding(dtype)
    return Measured(
        site=entry.site,
        exact=dtype in EXACT,
        norm=distance.norm,
        gain=distance.gain(reference),
        reference=reference,
        rounding=max(eps * scale, smallest(dtype, flushed=not reference) * math.sqrt(distance.elements)),
        elements=distance.elements,
        sums=rounding(torch.float64 if dtype in _WIDE and distance.eps is None else torch.float32),
    )
