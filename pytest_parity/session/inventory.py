"""Inventory: what comparing two recordings found, kind by kind, gathered step by step."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from math import inf

from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.tally import Found
from pytest_parity.compare.tracing import loss_name, loss_value
from pytest_parity.report.survey import KindFound
from pytest_parity.result import Delta, LossFound, Verdict
from pytest_parity.session.translated import Translated
from pytest_parity.site import Kind

__all__ = ["WORST", "Inventory", "badness"]

WORST = 10
"""Sites of a kind that are kept with their numbers."""


class Inventory:
    """Counts by kind, the worst sites of each, every output and every loss."""

    def __init__(self, comparator: Comparator, recording: Translated) -> None:
        self._comparator = comparator
        self._recording = recording
        self._counts: dict[Kind, Counter[str]] = {}
        self._worst: dict[Kind, list[tuple[tuple[float, ...], Delta]]] = {}
        self.outputs: list[Delta] = []
        self.losses: list[LossFound] = []

    def take(self) -> None:
        """Take what the comparator has found in the step that is open; everything of it was filled in."""
        comparator = self._comparator
        fresh: dict[Kind, list[tuple[tuple[float, ...], Delta]]] = {}
        for site, one in comparator.found.items():
            self._counts.setdefault(site.kind, Counter())[one.verdict.value] += 1
            if one.verdict is Verdict.EQUAL and site.kind is not Kind.OUTPUT:
                continue
            delta = one.delta(comparator.own_name) if isinstance(one, Found) else one
            if site.kind is Kind.OUTPUT:
                self.outputs.append(delta)
            if one.verdict is not Verdict.EQUAL:
                fresh.setdefault(site.kind, []).append((badness(delta), delta))
        for kind, found in fresh.items():
            kept = [*self._worst.get(kind, ()), *found]
            self._worst[kind] = heapq.nlargest(WORST, kept, key=lambda pair: pair[0])
        self.losses += self._losses()

    def kinds(self) -> tuple[KindFound, ...]:
        """Every kind that there was, in causal order."""
        return tuple(
            KindFound(
                kind=kind.value,
                sites=sum(counts.values()),
                counts=dict(counts),
                worst=tuple(delta for _, delta in self._worst.get(kind, ())),
                moved=sum(counts.values()) - counts[Verdict.EQUAL.value],
            )
            for kind in Kind
            if (counts := self._counts.get(kind))
        )

    def _losses(self) -> Iterator[LossFound]:
        """Losses that are one number, with both values."""
        step, golden = self._comparator.step, self._comparator.golden
        found = {site: one for site, one in self._comparator.found.items() if site.kind is Kind.LOSS}
        own = self._recording.golden
        for site, one in found.items():
            theirs = loss_value(golden, golden.entry(step, site))
            ours = loss_value(own, own.entry(step, site) if step in own.steps else None)
            if theirs is not None or ours is not None:
                yield LossFound(step, loss_name(site), theirs, ours, one.verdict.value)


def badness(delta: Delta) -> tuple[float, ...]:
    """What orders sites: what fails first, without a number to it before others, then by how far it is beyond its bound."""
    apart = delta.apart
    if apart is None:
        return (float(delta.verdict.fails), inf, 0.0)
    metrics = delta.metrics
    times = 0.0
    if delta.noise is not None:
        times = delta.noise.closeness
    elif metrics is not None and delta.verdict.fails:
        if delta.verdict is Verdict.NONFINITE:
            times = inf
        else:
            excess = abs(metrics.worst_actual - metrics.worst_expected)
            times = excess / metrics.worst_allowed if metrics.worst_allowed else apart.relative_l2
    return (float(delta.verdict.fails), times, apart.relative_l2)
