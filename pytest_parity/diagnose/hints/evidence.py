"""Evidence: what is at hand of a failing step to test a cause on: pairs of tensors, read one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from pytest_parity.report.words import number, pair
from pytest_parity.site import Site

__all__ = ["FLOORS", "Multiple", "Pair", "many", "multiple", "rounded", "tells", "times", "within"]

FLOORS = 3.0
"""In multiples of its floor, how far a site may be off from what explains it."""
_ROUNDING = 3e-6
"""Of the norm, what stands in for a floor that nobody measured; coarser dtypes have more."""
_SIGNAL = 30.0
"""Floors that a tensor's norm has at least, where it says something of a factor."""
_QUIET = 1e-6
"""Of the largest root mean square of a step, below which a tensor is rounding where no floor says so."""
_NEAR = 1e-2
"""How near a shorter form comes to a number."""
_PARTS = 1 << 12
"""A number may be one part of so many."""
_APART = 1e-3
"""From 1, a factor's least distance where no floor was measured."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One site: the candidate's tensor and the reference's, on the CPU in float64, read when asked."""

    site: Site
    read: Callable[[], tuple[torch.Tensor, torch.Tensor]]
    fails: bool = True
    noise: float | None = None
    """The noise floor of the norm of their difference; ``None`` where none was measured."""
    eps: float = 0.0
    """Of the dtype in which the reference's was computed."""
    name: str = ""
    """The candidate's own name of the parameter or the value."""

    def floor(self, expected: torch.Tensor) -> float:
        """What is allowed, once, of the norm of a difference."""
        if self.noise is not None:
            return self.noise
        return max(_ROUNDING, 4 * self.eps) * float(expected.norm())


@dataclass(frozen=True, slots=True)
class Multiple:
    """Tensors that are one number times the reference's, as ``floors`` or ``relative`` (the largest residual) say."""

    factor: float
    tensors: int
    floors: float
    relative: float
    measured: bool
    """Whether floors were."""

    @property
    def support(self) -> str:
        """How well it fits, as words."""
        return within(self.floors if self.measured else None, self.relative)


@dataclass(frozen=True, slots=True)
class _Dots:
    pair: Pair
    own: float
    product: float
    square: float
    elements: int
    floor: float

    @property
    def root(self) -> float:
        return math.sqrt(self.square / self.elements)


def multiple(pairs: Sequence[Pair], *, factor: float | None = None) -> Multiple | None:
    """The one factor that all of these are off by, tested on each; ``None`` where there is none, or nothing tells.

    Those that are noise by their floors say nothing, and are not counted, but may not be more than noise; numbers of one element alone prove nothing
    but a ``factor`` that is given.
    """
    dots = [_dots(one) for one in pairs]
    loudest = max((one.root for one in dots if one.elements), default=0.0)
    telling = [one for one in dots if one.elements and _tells(one, loudest)]
    if not telling or (factor is None and not any(one.elements > 1 for one in telling)):
        return None
    best = max(telling, key=lambda one: one.square**0.5 / one.floor)
    found = best.product / best.square if factor is None else factor
    measured = all(one.pair.noise is not None for one in telling)
    if _fit(telling, 1.0) is not None:  # they agree
        return None
    if not measured and abs(found - 1) < _APART:
        return None
    others = [one for one in dots if one not in telling and one.pair.noise is not None]
    for tried in rounded(found) if factor is None else (found,):
        if (fit := _fit(telling, tried)) and all(_noise(one, tried) for one in others):
            floors, relative = fit
            return Multiple(tried, len(telling), floors, relative, measured)
    return None


def _noise(one: _Dots, factor: float) -> bool:
    """Whether what is noise by its floor is not off by more than as much of it."""
    actual, expected = one.pair.read()
    return float((actual - factor * expected).norm()) <= FLOORS * one.floor * max(1.0, abs(factor))


def _dots(one: Pair) -> _Dots:
    actual, expected = one.read()
    ours, theirs = actual.reshape(-1), expected.reshape(-1)
    floor = max(one.floor(theirs), torch.finfo(torch.float64).tiny)
    return _Dots(one, float(ours.dot(ours)), float(ours.dot(theirs)), float(theirs.dot(theirs)), ours.numel(), floor)


def _tells(one: _Dots, loudest: float) -> bool:
    if not one.square > 0 or one.own != one.own or one.own == float("inf"):
        return False
    return one.square**0.5 > _SIGNAL * one.floor and (one.pair.noise is not None or one.root > _QUIET * loudest)


def _fit(telling: Sequence[_Dots], factor: float) -> tuple[float, float] | None:
    """The largest residual in floors and as a share of the norm; ``None`` where one is above what is allowed."""
    worst, share = 0.0, 0.0
    for one in telling:
        allowed, norm = one.floor * max(1.0, abs(factor)), one.square**0.5
        if abs(one.product / one.square - factor) * norm > FLOORS * allowed:
            return None
        actual, expected = one.pair.read()
        residual = float((actual - factor * expected).norm())
        if not residual <= FLOORS * allowed:
            return None
        worst = max(worst, residual / allowed)
        share = max(share, residual / (norm * max(1.0, abs(factor))))
    return worst, share


def rounded(value: float) -> Iterator[float]:
    """A number as someone may have typed it, the shortest form first, at last itself."""
    forms: list[float] = []
    whole = round(1 / value) if value and abs(value) < 1 else 0
    forms += [float(f"{value:.1g}")]
    if 0 < abs(whole) <= _PARTS and abs(1 / value - whole) < 1e-3 * abs(whole):
        forms.append(1 / whole)
    forms += [float(f"{value:.{digits}g}") for digits in (2, 3)]
    if abs(value) >= 1:
        forms.append(float(round(value)))
    near = (form for form in forms if value and abs(form / value - 1) < _NEAR)
    yield from dict.fromkeys((*near, value))


def times(factor: float) -> str:
    """``0.0625 (1/16) times``."""
    part = 1 / factor if factor else 0.0
    whole = abs(part) > 1 and abs(part - round(part)) < 1e-5 * abs(part)
    text = f"{factor:,.0f}" if factor == round(factor) and abs(factor) < 1 << 40 else pair(factor, 1.0)[0]
    return f"{text}{f' (1/{part:.0f})' if whole and part > 0 else ''} times"


def within(floors: float | None, relative: float) -> str:
    """``to 0.4 floors``; where none were measured, ``to 1e-07 of the norm``."""
    return f"to {number(relative)} of the norm" if floors is None else f"to {number(floors)} floors"


def many(floors: float) -> str:
    """A number of floors: ``3.2``, ``4,030``."""
    return number(floors) if floors < 100 else f"{float(f'{floors:.3g}'):,.0f}"  # noqa: PLR2004  three digits


def tells(one: Pair) -> bool:
    """Whether a tensor is more than noise."""
    _, expected = one.read()
    return float(expected.norm()) > FLOORS * one.floor(expected)
