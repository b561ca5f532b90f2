"""Closeup: the elements of a site that fails, for a report: those that are the farthest apart, and how all are spread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from pytest_parity.compare.dtypes import EXACT
from pytest_parity.compare.metrics import unravel
from pytest_parity.compare.pieces import Pieces, Scratch
from pytest_parity.compare.region import Region
from pytest_parity.golden.entry import Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Closeup, Element, Histogram

__all__ = ["Closeups", "closeup"]

_WORST = 10
_PER_DECADE = 4
_BINS = 48
"""Bars that a histogram has at most."""
_LOWEST, _ALL = -330 * _PER_DECADE, 660 * _PER_DECADE
"""Every difference of two float64 is in one of these bins."""

_Pairs = Iterable[tuple[torch.Tensor, torch.Tensor]]
"""Flat pieces of both sides, of one length, in row-major order."""


def closeup(pairs: _Pairs, index: Callable[[int], tuple[int, ...]]) -> Closeup | None:
    """Of pieces of both sides; ``index`` makes a place of a position. ``None`` where no element differs."""
    bins, equal, nonfinite, start = torch.zeros(_ALL, dtype=torch.int64, device="cpu"), 0, 0, 0
    worst: list[tuple[float, int, Element]] = []
    for ours, theirs in pairs:
        distance = _distance(ours, theirs)
        finite, differs = torch.isfinite(distance), distance != 0
        equal += int((~differs).sum())
        nonfinite += int((~finite).sum())
        found = distance[finite & differs]
        places = torch.floor(found.log10_().mul_(_PER_DECADE)).to(torch.int64).sub_(_LOWEST)
        bins += torch.bincount(places.clamp_(0, _ALL - 1), minlength=_ALL)
        for place in _farthest(distance):
            at = start + place
            element = Element(index(at), _plain(ours[place]), _plain(theirs[place]))
            worst.append((-float(distance[place]), at, element))
        worst = sorted(worst, key=lambda one: one[:2])[:_WORST]
        start += distance.numel()
    return Closeup(tuple(one[2] for one in worst), _histogram(bins, equal, nonfinite)) if worst else None


class Closeups:
    """Looks at values of one golden's sites; the golden's are read in chunks."""

    def __init__(self, golden: Golden, buffer_bytes: int = 1 << 20) -> None:
        self._golden = golden
        self._scratch = Scratch()
        with torch.inference_mode(mode=False):
            self._buffers = [torch.empty(buffer_bytes, dtype=torch.uint8, device="cpu") for _ in range(2)]

    def value(self, entry: Entry, value: torch.Tensor, region: Region | None) -> Closeup | None:
        """Of a value of the golden's own shape; ``None`` where no element differs."""
        if region is None:
            theirs = self._golden.chunks(entry, self._buffers[0])
            return closeup(_paired(value, theirs, self._scratch), lambda at: unravel(at, entry.shape))
        mask = region.mask(entry.shape)
        inside = mask.nonzero()
        pair = value.detach().cpu()[mask], self._golden.tensor(entry)[mask]
        return closeup([pair], lambda at: tuple(map(int, inside[at])))

    def update(self, entry: Entry, start_entry: Entry, new: torch.Tensor, start: torch.Tensor | None) -> Closeup | None:
        """The same of an update, new minus start; ``start`` is ``None`` where it is the golden's."""
        return closeup(self._updates(entry, start_entry, new, start), lambda at: unravel(at, entry.shape))

    def _updates(
        self, entry: Entry, start_entry: Entry, new: torch.Tensor, start: torch.Tensor | None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        begun = None if start is None else Pieces(start, self._scratch, "start")
        theirs = zip(
            self._golden.chunks(entry, self._buffers[0]),
            self._golden.chunks(start_entry, self._buffers[1]),
            strict=True,
        )
        at = 0
        ours = Pieces(new, self._scratch, "new")
        for expected, expected_start in theirs:
            stop = at + expected.numel()
            own = expected_start if begun is None else begun.take(at, stop)
            yield _update(ours.take(at, stop), own), _update(expected, expected_start)
            at = stop


def _paired(
    value: torch.Tensor, theirs: Iterator[torch.Tensor], scratch: Scratch
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    ours, at = Pieces(value, scratch), 0
    for piece in theirs:
        stop = at + piece.numel()
        yield ours.take(at, stop), piece
        at = stop


def _update(new: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    return new if new.dtype is torch.bool else _wide(new) - _wide(start)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype in EXACT and tensor.dtype is not torch.bool:
        return tensor.to(torch.int64)
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def _distance(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """``|a-r|`` in float64: 0 where nothing differs, infinite where one that is not finite stands against another."""
    here, there = _wide(ours), _wide(theirs)
    same = (here == there) | (here.isnan() & there.isnan())
    distance = (here - there).abs().to(torch.float64).nan_to_num_(nan=torch.inf, posinf=torch.inf)
    return torch.where(same, 0.0, distance)


def _farthest(distance: torch.Tensor) -> list[int]:
    """The positions of the largest; of those that are alike the first."""
    if not distance.numel():
        return []
    least = float(distance.topk(min(_WORST, distance.numel())).values[-1])
    above = (distance > least).nonzero().view(-1).tolist()
    alike = (distance == least).nonzero().view(-1)[:_WORST].tolist() if least else []
    return [*above, *alike]


def _plain(value: torch.Tensor) -> Any:
    """A Python number or boolean."""
    if value.dtype in EXACT:
        return value.item()
    number = value.abs() if value.is_complex() else value
    if number.dtype is torch.float64:
        return float(number)
    return float(str(np.float32(float(number))))  # as few digits as tell it from its neighbours


def _histogram(bins: torch.Tensor, equal: int, nonfinite: int) -> Histogram:
    """As few bars as there are decades, or four a decade where these are few."""
    counts = {int(place) + _LOWEST: int(bins[place]) for place in bins.nonzero().view(-1)}
    bars = 1  # bins to a bar
    while counts and max(counts) // bars - min(counts) // bars >= _BINS:
        bars *= 2
    merged: dict[int, int] = {}
    for place, count in counts.items():
        merged[place // bars] = merged.get(place // bars, 0) + count
    first, last = min(merged, default=0), max(merged, default=-1)
    width = bars / _PER_DECADE
    return Histogram(first * width, width, _run(merged, first, last), equal, nonfinite)


def _run(merged: dict[int, int], first: int, last: int) -> tuple[int, ...]:
    return tuple(merged.get(place, 0) for place in range(first, last + 1))
