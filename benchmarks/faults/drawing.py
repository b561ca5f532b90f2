"""Drawing: which faults are tried, of all that there are, by the seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from benchmarks.faults.backward import backward_faults
from benchmarks.faults.between import functional_faults
from benchmarks.faults.conformed import conformer_faults
from benchmarks.faults.label import Family, Injection
from benchmarks.faults.leaves import forward_faults, rotary_faults
from benchmarks.faults.survey import Survey
from benchmarks.faults.training import loss_faults, optimizer_faults

__all__ = ["COUNTS", "drawn", "everything", "pairs"]

COUNTS = {
    Family.FORWARD: 14,
    Family.FUNCTIONAL: 5,
    Family.BACKWARD: 5,
    Family.LOSS: 2,
    Family.OPTIMIZER: 3,
}
"""Of each family, in each workload."""
PAIRED = (Family.FORWARD, Family.FORWARD, Family.FORWARD, Family.FUNCTIONAL, Family.BACKWARD)
"""Families that pairs are drawn of."""


def everything(survey: Survey) -> Iterator[Injection]:
    """Every fault at every place."""
    yield from forward_faults(survey)
    yield from rotary_faults(survey)
    yield from conformer_faults(survey)
    yield from functional_faults(survey)
    yield from backward_faults(survey)
    yield from loss_faults(survey)
    yield from optimizer_faults(survey)


def _by_name(found: Sequence[Injection]) -> dict[str, list[Injection]]:
    names: dict[str, list[Injection]] = {}
    for one in found:
        names.setdefault(one.name, []).append(one)
    return names


def _one(found: Sequence[Injection], rng: random.Random, tried: dict[str, int]) -> Injection:
    """A name of those least often taken, then a place and a size."""
    names = _by_name(found)
    least = min(tried.get(name, 0) for name in names)
    name = rng.choice(sorted(name for name in names if tried.get(name, 0) == least))
    tried[name] = tried.get(name, 0) + 1
    return rng.choice(names[name])


def drawn(found: Sequence[Injection], rng: random.Random) -> list[Injection]:
    """Different faults, of each family its count where there are as many."""
    chosen: list[Injection] = []
    for family, count in COUNTS.items():
        left, tried = [one for one in found if one.family is family], dict[str, int]()
        for _ in range(min(count, len(left))):
            chosen.append(_one(left, rng, tried))
            left = [one for one in left if one != chosen[-1]]
    return chosen


def pairs(found: Sequence[Injection], rng: random.Random, count: int) -> list[tuple[Injection, Injection]]:
    """Two faults each, at different modules neither of which is inside of the other."""
    chosen: list[tuple[Injection, Injection]] = []
    tried: dict[str, int] = {}
    families = {family: [one for one in found if one.family is family] for family in set(PAIRED)}
    while len(chosen) < count:
        one, other = (_one(families[rng.choice(PAIRED)], rng, tried) for _ in range(2))
        if apart(one, other):
            chosen.append((one, other))
    return chosen


def apart(one: Injection, other: Injection) -> bool:
    """Whether two faults touch different modules."""
    ours, theirs = _touched(one), _touched(other)
    return not any(a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.") for a in ours for b in theirs)


def _touched(one: Injection) -> set[str]:
    label = one.label
    return {name for name in (*label.modules, label.after, label.to) if name}
