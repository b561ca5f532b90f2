"""Numbers: a fitted number as someone may have written it, where the fit is sharp enough to tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

import torch

from pytest_parity.report.words import number, pair

__all__ = ["Written", "fitted", "written"]

_DIGITS = 6
_WHOLE = 1 << 20
_PART = 64
"""The largest denominator of a fraction that is tried."""
_CHANCE = 0.05
"""How many numbers of one form may lie where the fit leaves the number open, before the form means nothing."""


@dataclass(frozen=True, slots=True)
class Written:
    """A number and how it is written."""

    value: float
    words: str


def fitted(actual: torch.Tensor, expected: torch.Tensor) -> float | None:
    """The number that ``expected`` is multiplied by, by least squares; ``None`` where that is zero."""
    square = float(expected.reshape(-1).dot(expected.reshape(-1)))
    return float(actual.reshape(-1).dot(expected.reshape(-1))) / square if square > 0 else None


def written(value: float, open_by: float) -> Written | None:
    """The simplest number within ``open_by`` of a value; ``None`` where none is, or too many are.

    Tried are short decimals, whole numbers and their reciprocals, small fractions, and the square roots of both.
    """
    if not value or not abs(value) < _WHOLE:
        return None
    return next(_forms(value, open_by), None)


def _forms(value: float, open_by: float) -> Iterator[Written]:
    size, sign = abs(value), "-" if value < 0 else ""
    scale = 1.0 if value > 0 else -1.0
    if abs(size - round(size)) <= open_by <= _CHANCE and round(size):
        yield Written(scale * round(size), f"{sign}{round(size)}")
    whole = round(1 / size)
    if whole > 1 and abs(size - 1 / whole) <= open_by <= _CHANCE * size / whole:
        yield Written(scale / whole, f"{sign}{number(1 / whole)} ({sign}1/{whole})")
    for digits in range(1, _DIGITS):
        short = round(size, digits)
        if short and abs(size - short) <= open_by <= _CHANCE * 10**-digits:
            yield Written(scale * short, f"{sign}{pair(short, 1.0)[0]}")
    square = round(size * size)
    if isqrt(square) ** 2 != square and abs(size - square**0.5) <= open_by <= _CHANCE / (2 * size):
        yield Written(scale * square**0.5, f"{sign}{number(size)} ({_minus(sign)}the square root of {square})")
    square = round(size**-2)
    if isqrt(square) ** 2 != square and abs(size - square**-0.5) <= open_by <= _CHANCE * size**3 / 2:
        yield Written(scale * square**-0.5, f"{sign}{number(size)} ({_minus(sign)}1 by the square root of {square})")
    yield from _fractions(size, open_by, sign, scale)


def _fractions(size: float, open_by: float, sign: str, scale: float) -> Iterator[Written]:
    if open_by * _PART**2 > _CHANCE:
        return
    part = Fraction(size).limit_denominator(_PART)
    if part and abs(size - float(part)) <= open_by:
        yield Written(scale * float(part), f"{sign}{pair(float(part), 1.0)[0]} ({sign}{part})")
    part = Fraction(size * size).limit_denominator(_PART)
    root = float(part) ** 0.5
    if part and abs(size - root) <= open_by:
        yield Written(scale * root, f"{sign}{pair(root, 1.0)[0]} ({_minus(sign)}the square root of {part})")


def _minus(sign: str) -> str:
    return "minus " if sign else ""
