"""Alone: how far sites are off when everything that feeds them is the reference's, and how far rounding takes them there.

The candidate itself tells the floor: what it computes of the reference's inputs is kept, and measured against what it
computes of the same moved by one unit in the last place. So a floor is one module's own, much below one that a whole
model has accumulated; and it is never above the reference's own, where the golden has one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch

from pytest_parity.compare.dtypes import EXACT, dtype_name
from pytest_parity.compare.floor import Distance, Measured, assembled, noise_of
from pytest_parity.compare.judge import before_values
from pytest_parity.compare.measure import Meter, fits
from pytest_parity.compare.measuring import measured
from pytest_parity.compare.pieces import Scratch
from pytest_parity.compare.region import Region
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.noise import Floor
from pytest_parity.golden.reader import Golden, torch_dtype
from pytest_parity.result import Noise
from pytest_parity.site import Kind

__all__ = ["BLAME", "Alone", "Apart"]

BLAME = 3.0
"""Floors above which a module that is alone is to blame, once something is out of tolerance."""
_ALIKE = 1e-5
"""Factors are one factor, and not 1."""
_MOST, _FEW = 0.6, 3
"""The share of gradients, and the number of them, that have one in common."""


@dataclass(frozen=True, slots=True)
class Apart:
    """A site that is not bit for bit the reference's, though what feeds it is."""

    entry: Entry
    noise: Noise | None
    """``None``: of another shape or dtype, or not finite where the reference is."""
    relative: float
    """``||a-r||/||r||``."""
    absent: bool = False
    """There is no tensor, and the golden has one."""

    @property
    def floors(self) -> float:
        """The larger of the two statistics, in floors."""
        return math.inf if self.noise is None else self.noise.ratio


@dataclass(slots=True)
class _Seen:
    entry: Entry
    region: Region | None
    distance: Distance | None
    value: torch.Tensor | None
    draws: list[Measured]
    absent: bool = False
    factor: float = 1.0
    """By what it was divided."""
    slack: float = 0.0
    """How far that may be off, as a share."""


class Alone:
    """The sites of one candidate's isolated runs. What is not bit for bit equal is kept, up to ``memory`` bytes."""

    def __init__(self, golden: Golden, *, memory: int) -> None:
        self._golden = golden
        self._meter = Meter(golden)
        self._memory = memory
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._same: Counter[int] = Counter()
        """By step, the gradients of parameters that are equal, and not zero."""

    @property
    def any(self) -> bool:
        """Whether anything is not equal."""
        return bool(self._seen)

    def see(self, entry: Entry, value: torch.Tensor | None, region: Region | None) -> None:
        """Measure what a site is, alone."""
        key = entry.step, entry.order
        if key in self._seen:
            return
        if value is None or not fits(entry, value):
            expected = None if entry.dtype == NONE else (entry.shape, torch_dtype(entry))
            if value is None:
                if expected is not None:
                    self._seen[key] = _Seen(entry, region, None, None, [], absent=True)
            elif before_values(value, expected) is not None or dtype_name(value.dtype) != entry.dtype:
                self._seen[key] = _Seen(entry, region, None, None, [])
            return
        if self._meter.site(entry, value, region=region) is None:
            if entry.site.kind is Kind.GRADIENT and bool(value.any()):
                self._same[entry.step] += 1
            return
        distance = self._meter.site(entry, value, region=region, precise=True)
        assert distance is not None
        if distance.broken:
            self._seen[key] = _Seen(entry, region, None, None, [])
            return
        kept = None
        if entry.nbytes <= self._memory:
            self._memory -= entry.nbytes
            kept = _inside(value, region).detach().cpu().clone()
        self._seen[key] = _Seen(entry, region, distance, kept, [])

    def move(self, entry: Entry, value: torch.Tensor | None) -> None:
        """Measure how far a site has moved from what it was."""
        seen = self._seen.get((entry.step, entry.order))
        if seen is None or seen.value is None or value is None or not fits(entry, value):
            return
        before, now = seen.value.flatten(), _inside(value, seen.region).detach().cpu().flatten()
        distance = Distance(torch_dtype(entry), Scratch(), count=before.numel(), precise=True)
        distance.add(now, before)
        if not distance.broken:
            seen.draws.append(measured(entry, distance, math.sqrt(distance.own)))

    def without_common_factor(self, step: int) -> float:
        """Take out a factor that most of a step's gradients of parameters have in common, as clipping leaves one; returns it.

        Where one gradient is wrong, the norm by which all of them are clipped is.
        """
        seen = [
            one
            for (at, _), one in self._seen.items()
            if at == step and one.entry.site.kind is Kind.GRADIENT and one.distance is not None and one.distance.own
        ]
        factors = [1 + one.distance.product / one.distance.own for one in seen if one.distance is not None]
        middle = median(factors) if factors else 1.0
        alike = [abs(factor / middle - 1) < _ALIKE for factor in factors] if middle > 0 else []
        spared = self._same[step] or any(abs(factor - 1) < _ALIKE for factor in factors)
        if spared or sum(alike) < max(_FEW, _MOST * len(factors)):
            return 1.0  # what is common to all has spared none
        spread = median(abs(factor / middle - 1) for factor in factors)
        for one in seen:
            self._divide(one, middle)
            one.factor, one.slack = middle, spread  # it is known as far as the gradients agree on it
        return middle

    def _divide(self, seen: _Seen, factor: float) -> None:
        if seen.value is None or seen.region is not None:
            return
        dtype = torch_dtype(seen.entry)
        expected = self._golden.tensor(seen.entry).flatten()
        distance = Distance(dtype, Scratch(), count=expected.numel(), precise=True)
        distance.add((seen.value.double() / factor).to(dtype).flatten(), expected)
        seen.distance = distance

    def found(self) -> Iterator[Apart]:
        """Every site that is not equal, with its floor, in execution order."""
        ordered = [self._seen[key] for key in sorted(self._seen)]
        drawn = [seen for seen in ordered if seen.draws]
        floors = dict(zip(map(id, drawn), assembled([seen.draws for seen in drawn]), strict=True))
        for seen in ordered:
            if seen.distance is None:
                yield Apart(seen.entry, None, math.inf, seen.absent)
                continue
            own = math.sqrt(seen.distance.own)
            norm = seen.distance.norm
            floor = self._floor(seen, floors.get(id(seen)))
            least = max(floor.norm / seen.factor, seen.slack * own)
            floor = replace(floor, norm=least, gain=max(floor.gain, seen.slack), reference=own)
            noise = noise_of(seen.distance, floor, BLAME)
            exact = torch_dtype(seen.entry) in EXACT
            yield Apart(seen.entry, noise, norm if exact else norm / own if own else math.inf)

    def _floor(self, seen: _Seen, drawn: Floor | None) -> Floor:
        """Its own; the reference's, where that is lower or it has none; else rounding."""
        noise, entry = self._golden.noise, seen.entry
        recorded = None if noise is None else noise.of(entry.step, entry.order)
        if drawn is None or recorded is None:
            return drawn or recorded or next(assembled([[self._rounding(seen)]]))
        return Floor(min(drawn.norm, recorded.norm), min(drawn.gain, recorded.gain), drawn.reference)

    @staticmethod
    def _rounding(seen: _Seen) -> Measured:
        assert seen.distance is not None
        own = measured(seen.entry, seen.distance, math.sqrt(seen.distance.own))
        return Measured(own.site, own.exact, 0.0, 0.0, own.reference, own.rounding, own.elements, own.sums)


def _inside(value: torch.Tensor, region: Region | None) -> torch.Tensor:
    return value if region is None else value[region.mask(value.shape).to(value.device)]
