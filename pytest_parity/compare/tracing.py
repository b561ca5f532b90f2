"""Tracing: what a check keeps for a report: every site of one step, the elements of those that fail, and the losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch

from pytest_parity.compare.closeup import Closeups
from pytest_parity.compare.judge import Outcome
from pytest_parity.compare.region import Region
from pytest_parity.compare.tally import Found
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Closeup, Delta, LossFound, Trace, Traced, Verdict
from pytest_parity.site import Kind, Site

__all__ = ["MOST", "Tracing", "loss_name", "loss_value"]

MOST = 1000
"""Failing sites of a step whose elements are looked at."""
_LOOKED = frozenset({Verdict.DIFFERS, Verdict.NONFINITE, Verdict.DTYPE})
_Own = Callable[[Site], str]
_Sites = Mapping[Site, "Found | Delta"]


class Tracing:
    """Follows one check. The step that is told is the first that fails, else the last."""

    def __init__(self, golden: Golden) -> None:
        self._golden = golden
        self._look = Closeups(golden)
        self._closeups: dict[Site, Closeup | None] = {}
        self._own_losses: dict[Site, float] = {}
        self._losses: tuple[LossFound, ...] = ()
        self._floors: tuple[tuple[int, float], ...] = ()
        self._told = Trace()
        self._failed = False

    def begin(self) -> None:
        """Open a step."""
        self._closeups.clear()
        self._own_losses.clear()

    def loss(self, site: Site, value: torch.Tensor | None) -> None:
        """Take the candidate's own loss, if it is one."""
        if site.kind is Kind.LOSS and value is not None and value.numel() == 1 and not value.is_complex():
            self._own_losses.setdefault(site, float(value.item()))

    def value(self, entry: Entry, value: torch.Tensor | None, outcome: Outcome, region: Region | None) -> None:
        """Take a value that was compared."""
        if value is not None and entry.dtype != NONE and self._wants(entry, outcome) and value.shape == entry.shape:
            self._closeups[entry.site] = self._look.value(entry, value, region)

    def update(self, entry: Entry, start: Entry, new: torch.Tensor, own: torch.Tensor | None, outcome: Outcome) -> None:
        """Take an updated weight; ``own`` is its start (``None``: the golden's)."""
        alike = (start.shape, start.dtype) == (entry.shape, entry.dtype)
        if not alike or outcome.verdict is Verdict.DTYPE:
            self.value(entry, new, outcome, None)
        elif self._wants(entry, outcome) and new.shape == entry.shape:
            self._closeups[entry.site] = self._look.update(entry, start, new, own)

    def _wants(self, entry: Entry, outcome: Outcome) -> bool:
        known = entry.site in self._closeups
        return outcome.verdict in _LOOKED and not self._failed and (known or len(self._closeups) < MOST)

    def end(self, step: int, found: _Sites, own: _Own) -> None:
        """Close a step."""
        self._told = self.trace(step, found, own)
        self._losses, self._floors = self._told.losses, self._told.floors
        self._failed = self._failed or any(one.verdict.fails for one in found.values())
        self.begin()

    def trace(self, step: int, found: _Sites, own: _Own) -> Trace:
        """What is to be told, where a step is open and this was found in it so far."""
        losses = (*self._losses, *self._loss_rows(step, found))
        floors = (*self._floors, *_worst(step, found.values()))
        if self._failed or not found:
            return Trace(self._told.step, self._told.sites, losses, floors)
        traced = [self._traced(site, one, own) for site, one in found.items()]
        traced.sort(key=lambda one: (one.delta.order < 0, one.delta.order))
        return Trace(step, tuple(traced), losses, floors)

    def _traced(self, site: Site, one: Found | Delta, own: _Own) -> Traced:
        delta = one if isinstance(one, Delta) else one.delta(own)
        entry = one.entry if isinstance(one, Found) else self._golden.entry(delta.step, site)
        shape, dtype = (None, "") if entry is None or entry.dtype == NONE else (entry.shape, entry.dtype)
        closeup = self._closeups.get(site) if delta.verdict.fails else None
        if isinstance(one, Delta):
            return Traced(delta, shape, dtype)
        return Traced(delta, shape, dtype, replayed=one.forgiven, isolated=one.isolated, closeup=closeup)

    def _loss_rows(self, step: int, found: _Sites) -> list[LossFound]:
        """Losses that are one number, with both values."""
        rows = []
        for site, one in found.items():
            if site.kind is not Kind.LOSS:
                continue
            theirs, ours = loss_value(self._golden, self._golden.entry(step, site)), self._own_losses.get(site)
            if theirs is not None or ours is not None:
                rows.append(LossFound(step, loss_name(site), theirs, ours, one.verdict.value))
        return rows


def _worst(step: int, found: Iterable[Found | Delta]) -> list[tuple[int, float]]:
    """The step's largest error in multiples of a noise floor, where one is known."""
    errors = [error for one in found if (error := _floors(one)) is not None]
    return [(step, max(errors))] if errors else []


def _floors(one: Found | Delta) -> float | None:
    """A site's error in multiples of its noise floor; ``None`` where that is not known."""
    if one.verdict is Verdict.EQUAL:
        return 0.0
    noise, metrics = (one.noise, one.metrics) if isinstance(one, Delta) else (one.outcome.noise, one.outcome.metrics)
    if noise is not None:
        return noise.ratio
    return math.inf if one.verdict.fails and metrics is None else None


def loss_name(site: Site) -> str:
    """``loss``, ``loss#1`` of the second, ``loss/total`` of a tree of them."""
    call = f"#{site.call}" if site.call else ""
    return site.path + call + (f"/{site.leaf}" if site.leaf else "")


def loss_value(golden: Golden, entry: Entry | None) -> float | None:
    """What a golden holds there, where that is one number."""
    if entry is None or entry.dtype == NONE:
        return None
    value = golden.tensor(entry)
    return float(value.item()) if value.numel() == 1 and not value.is_complex() else None
