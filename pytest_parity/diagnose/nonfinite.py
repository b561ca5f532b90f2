"""Non-finite watch: the first site of a step at which a NaN or an infinity appears, forward or backward, and why it may be.

An infinity that was handed in is none that appears: masks are made of them. So a NaN counts where what feeds the site has
none, and an infinity where what feeds it has no infinity; one below zero in an input, or beside nothing but zeros, is a
mask's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch

from pytest_parity.result import Advice, Appearance, Range
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["Seen", "look", "nonfinite_in"]

_NEAR = 1 / 64
"""Of the largest value of a dtype: within this share a product or a sum of a few dozen leaves it."""
_GROWN = 4.0
_LONG = 100.0
"""A norm of all gradients above which a step is one to be clipped."""
_HALF = {"float16": 65504.0, "bfloat16": 3.3895e38}
_FORWARD = (Kind.INPUT, Kind.ACTIVATION)
_BACKWARD = (Kind.ACTIVATION_GRADIENT, Kind.GRADIENT)
_VALUES = (Kind.OUTPUT, Kind.LOSS)


@dataclass(frozen=True, slots=True)
class Seen:
    """A site of the step in its place, and its tensor when it is asked for; ``None`` where nobody has it."""

    site: Site
    order: int
    read: Callable[[], torch.Tensor | None]


@dataclass
class _Step:
    """The step's sites, read once each, and only as far as they are asked for."""

    seen: list[Seen]
    trainable: frozenset[str]
    _ranges: dict[Site, Range | None] = field(default_factory=dict)

    def range(self, one: Seen) -> Range | None:
        if one.site not in self._ranges:
            value = one.read()
            self._ranges[one.site] = None if value is None else look(str(one.site), value)
        return self._ranges[one.site]

    def of(self, *kinds: Kind) -> list[Seen]:
        return [one for one in self.seen if one.site.kind in kinds]

    def of_call(self, kind: Kind, site: Site) -> list[Seen]:
        return [one for one in self.of(kind) if one.site.path == site.path and one.site.call == site.call]

    def ranges(self, seen: Iterable[Seen]) -> tuple[Range, ...]:
        return tuple(found for found in map(self.range, seen) if found is not None)

    @cached_property
    def ends(self) -> dict[str, int]:
        """Of each module the end of its first call: backward passes it last."""
        found: dict[str, int] = {}
        for one in self.of(Kind.ACTIVATION):
            if one.site.call == 0:
                found[one.site.path] = one.order
        return found


def look(site: str, value: torch.Tensor) -> Range | None:
    """A tensor's range; ``None`` for one that has no floating point, unless it is a boolean mask."""
    value = value.detach()
    value = value.to_dense() if value.layout is not torch.strided else value
    dtype = str(value.dtype).removeprefix("torch.")
    if value.dtype is torch.bool:
        return Range(site, value.numel(), 0, 0, 0, 0, math.nan, math.nan, math.nan, dtype, _hollow(value))
    if not (value.is_floating_point() or value.is_complex()):
        return None
    wide = (torch.view_as_real(value) if value.is_complex() else value).double()
    finite = wide[torch.isfinite(wide)]
    low, high, std = (math.nan,) * 3
    if finite.numel():
        low, high, std = float(finite.min()), float(finite.max()), float(finite.std(correction=0))
    below = wide == -torch.inf
    return Range(
        site=site,
        elements=value.numel(),
        nan=int(wide.isnan().sum()),
        positive=int((wide == torch.inf).sum()),
        negative=int(below.sum()),
        zeros=int((finite == 0).sum()),
        low=low,
        high=high,
        std=std,
        dtype=dtype,
        hollow=_hollow(below, both=False),
    )


def _hollow(mask: torch.Tensor, *, both: bool = True) -> tuple[int, ...]:
    """The first row, along all dimensions but the last, in which everything is true (or, of a mask, false)."""
    if mask.dim() < 2 or mask.shape[-1] < 2:  # noqa: PLR2004  a row of a batch's
        return ()
    full = mask.all(dim=-1)
    if both and not full.any():
        full = ~mask.any(dim=-1)
    return tuple(full.nonzero()[0].tolist()) if full.any() and not full.all() else ()


def nonfinite_in(
    step: int,
    seen: Iterable[Seen],
    *,
    trainable: Iterable[str] = (),
    first: Mapping[str, float] | None = None,
    stepped: bool = True,
    own: Callable[[Site], str] = lambda site: site.path,
) -> Appearance | None:
    """Where it appears first; ``None`` where everything is finite, or nothing but masks is not.

    ``seen`` are the step's sites in the order of execution, ``trainable`` the names of its parameters, ``first`` the norms
    of these in the first step. ``stepped``: whether the optimizer has stepped. ``own`` gives a module's name for a site.
    """
    it = _Step(sorted(seen, key=lambda one: one.order), frozenset(trainable))
    for find in (_given, _forward, _values, _backward, _updates):
        found = find(it)
        if found is not None:
            what, fed = found
            one = Appearance(step, what, own(Site.parse(what.site)), fed)
            return _advised(it, one, first or {}, stepped=stepped)
    return None


_Found = tuple[Range, tuple[Range, ...]]


def _given(it: _Step) -> _Found | None:
    """What the step begins with: a NaN in the batch, either in a parameter."""
    for one in it.of(Kind.BATCH, Kind.WEIGHT):
        found = it.range(one)
        infinite = one.site.kind is Kind.WEIGHT and one.site.path in it.trainable
        if found is not None and (found.nan or (infinite and found.nonfinite)):
            return found, ()
    return None


def _forward(it: _Step) -> _Found | None:
    held = _Held(it)
    for one in it.of(*_FORWARD):
        found = it.range(one)
        if found is None or not found.nonfinite:
            held.add(one, found)
            continue
        fed = it.ranges(it.of_call(Kind.INPUT, one.site)) if one.site.kind is Kind.ACTIVATION else held.before(one)
        appears = _appears(found, fed)
        if one.site.kind is Kind.INPUT:  # what is below zero was handed in, as masks are
            appears = (found.nan > 0 and not any(r.nan for r in held.all)) or (
                found.positive > 0 and not any(r.positive for r in held.all)
            )
        if appears:
            return found, fed
        held.add(one, found)
    return None


class _Held:
    """What has been seen until a site: of an input that is made between calls, what it may be made of."""

    def __init__(self, it: _Step) -> None:
        self._it = it
        self.all: list[Range] = list(it.ranges(it.of(Kind.BATCH)))
        self._outputs: list[tuple[Seen, Range]] = []

    def add(self, one: Seen, found: Range | None) -> None:
        if found is not None:
            self.all.append(found)
            if one.site.kind is Kind.ACTIVATION:
                self._outputs.append((one, found))

    def before(self, one: Seen) -> tuple[Range, ...]:
        """The inputs of the call around it and the output of the call before it."""
        holder = one.site.path.rpartition(".")[0] or ROOT
        around = [seen for seen in self._it.of(Kind.INPUT) if seen.site.path == holder and seen.order < one.order]
        last = [found for _, found in self._outputs[-1:]]
        return (*self._it.ranges(around), *last)


def _appears(found: Range, fed: tuple[Range, ...]) -> bool:
    """Whether what is not finite in an output was not in what went in."""
    if found.nan:
        return not any(one.nan for one in fed)
    infinite = any(one.positive or one.negative for one in fed)
    mask = found.zeros and found.zeros + found.negative == found.elements
    return not infinite and not mask and not any(one.nan for one in fed)


def _values(it: _Step) -> _Found | None:
    """An output or a loss, computed by the test's own code of what the modules returned."""
    outputs = it.ranges(it.of(Kind.OUTPUT))
    calls = it.of(Kind.ACTIVATION)
    for one in it.of(*_VALUES):
        found = it.range(one)
        if found is not None and found.nonfinite:
            fed = outputs if one.site.kind is Kind.LOSS else ()
            fed = tuple(r for r in fed if r.site != found.site) or it.ranges(calls[-1:])
            if _appears(found, fed):
                return found, fed
    return None


def _backward(it: _Step) -> _Found | None:
    def place(one: Seen) -> tuple[float, bool, int]:
        if one.site.kind is Kind.ACTIVATION_GRADIENT:
            end = next((s.order for s in it.of_call(Kind.ACTIVATION, one.site)), math.inf)
        else:
            end = it.ends.get(_owner(it, one.site), math.inf)
        return -end, one.site.kind is Kind.GRADIENT, one.order

    for one in sorted(it.of(*_BACKWARD), key=place):
        found = it.range(one)
        if found is not None and found.nonfinite:
            path = one.site.path if one.site.kind is Kind.ACTIVATION_GRADIENT else _owner(it, one.site)
            call = Site(Kind.INPUT, path, one.site.call or 0)
            came = [] if one.site.kind is Kind.ACTIVATION_GRADIENT else it.of_call(Kind.ACTIVATION_GRADIENT, call)
            around = it.of_call(Kind.ACTIVATION if not came else Kind.INPUT, call)
            return found, it.ranges([*came, *around])
    return None


def _owner(it: _Step, site: Site) -> str:
    holder = site.path.rpartition(".")[0] or ROOT
    while holder not in it.ends and holder != ROOT:
        holder = holder.rpartition(".")[0] or ROOT
    return holder


def _updates(it: _Step) -> _Found | None:
    """A parameter or its state, stepped from what is finite."""
    for one in it.of(Kind.UPDATED_WEIGHT):
        found = it.range(one)
        if found is None or not found.nonfinite:
            continue
        fed = it.ranges(
            other
            for other in it.of(Kind.WEIGHT, Kind.GRADIENT, Kind.OPTIMIZER)
            if other.site.path == one.site.path and other.site.leaf != "step"
        )
        if found.nan or one.site.path in it.trainable:
            return found, fed
    return None


def _advised(it: _Step, found: Appearance, first: Mapping[str, float], *, stepped: bool) -> Appearance:
    """With what helps, where what was seen tells it."""
    gradient = _norm(it, Kind.GRADIENT)
    grown = max(
        (_norm_of(it, one) / first[one.site.path] for one in it.of(Kind.WEIGHT) if first.get(one.site.path)),
        default=0.0,
    )
    found = Appearance(found.step, found.what, found.module, found.fed, None, grown, gradient)
    advice = _advice(found, stepped=stepped)
    return Appearance(found.step, found.what, found.module, found.fed, advice, grown, gradient)


def _norm(it: _Step, kind: Kind) -> float:
    norm = math.sqrt(sum(_norm_of(it, one) ** 2 for one in it.of(kind)))
    return norm if math.isfinite(norm) else 0.0


def _norm_of(it: _Step, one: Seen) -> float:
    value = one.read() if one.site.path in it.trainable else None
    return 0.0 if value is None else float(value.detach().double().norm())


def _advice(found: Appearance, *, stepped: bool) -> Advice | None:
    site, what = Site.parse(found.what.site), found.what
    half, backward = what.dtype in _HALF, site.kind in _BACKWARD
    if site.kind in {Kind.BATCH, Kind.WEIGHT, Kind.UPDATED_WEIGHT}:
        return (
            Advice.GROWN
            if site.kind is Kind.UPDATED_WEIGHT or (site.kind is Kind.WEIGHT and found.step)
            else Advice.GIVEN
        )
    if backward and (half or not stepped):
        return Advice.SCALE if stepped else Advice.SKIPPED
    if what.nan and any(one.hollow for one in found.fed):
        return Advice.PADDED
    if half and any(one.largest >= _HALF[what.dtype] * _NEAR for one in (*found.fed, what)):
        return Advice.RANGE
    if any(one.zeros for one in found.fed) and (backward or site.kind is Kind.LOSS):
        return Advice.ZERO
    return Advice.GROWN if found.grown >= _GROWN or found.gradient >= _LONG else None
