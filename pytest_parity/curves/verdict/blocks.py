"""Blocks: the means of stretches of a curve, and how far those of one more curve may be off.

The variance of a block's mean is pooled over the recorded curves and the blocks beside it, and is never below what white step
noise leaves of it. Blocks of one curve hang together (a seed stays above the others for long), by a correlation that
is estimated too: the more they do, the further a mean over many of them may be off, and the fewer degrees of freedom
there are (Satterthwaite), which is what makes Student's bound wide where few curves were recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.student import critical
from pytest_parity.curves.verdict.ensemble import Array

__all__ = ["ROUNDED", "Blocks", "blocks", "edges", "means"]

FEWEST, MOST = 16, 512
EACH = 20
"""Steps of a block, where there are enough."""
BESIDE = 2
"""Blocks whose variance is pooled with one's own."""
WIDE = 1.5
"""Times the usual variance."""
MUCH = 0.25
"""Of a weighted sum's variance, from where on its degrees of freedom are those of its wide blocks."""
ROUNDED = 0.25
"""Of a unit squared: where recorded curves are nearer than this, the unit is what rounding leaves, which no mean makes less."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Block means of normalized recorded curves, as a model of one more."""

    edges: NDArray[np.int64]
    each: Array
    """The recorded curves' means of each block, of variance 1."""
    deviation: Array
    """Of each block's mean, standard."""
    wide: NDArray[np.bool_]
    """Where that is not the usual one, but known from the blocks beside it alone."""
    correlation: float
    """Between two blocks of one curve."""
    local: float
    """What the correlation of neighbouring blocks has above that."""

    def bound(self, weights: Array, alpha: float, first: int = 0) -> float:
        """What the weighted sum of standardized block means from ``first`` on exceeds, either way, with probability ``alpha``."""
        squares, wide = weights**2, self.wide[first : first + len(weights)]
        much = float(squares[wide].sum()) > MUCH * float(squares.sum())
        dof = self._dof(int(wide.sum()) + BESIDE if much else len(self.wide))
        return float(np.sqrt(self._variance(weights))) * critical(alpha, dof)

    def bounds(self, length: int, alpha: float) -> Array:
        """What the mean of so many blocks exceeds, by where it begins: nowhere less than the recorded curves' own such means."""
        averages, wide = (_views(one, length) for one in (self.each, self.wide[None]))
        variance = np.maximum((averages.mean(axis=-1) ** 2).mean(axis=0), self._variance(np.full(length, 1 / length)))
        usual, local = (critical(alpha, self._dof(count)) for count in (len(self.wide), length + BESIDE))
        bounds: Array = np.sqrt(variance) * np.where(wide.max(axis=-1)[0], max(usual, local), usual)
        return bounds

    def _dof(self, number: int) -> float:
        """Of what is pooled over so many blocks."""
        count = min(number, len(self.wide))
        return max(len(self.each) - 1, 1) * count / (1 + (count - 1) * self.correlation**2)

    def _variance(self, weights: Array) -> float:
        """The larger of what blocks that hang together with their neighbours, and with all, would give."""
        squares = float((weights**2).sum())
        together = float(weights.sum() ** 2)
        near = squares * (1 + self.local) / (1 - self.local)
        return max(near, (1 - self.correlation) * squares + self.correlation * together)


def _views(values: NDArray[Any], length: int) -> NDArray[Any]:
    return np.lib.stride_tricks.sliding_window_view(values, length, axis=1)


def edges(length: int) -> NDArray[np.int64]:
    """Where blocks begin, and the end."""
    return np.linspace(0, length, min(length, max(FEWEST, min(MOST, length // EACH))) + 1).astype(np.int64)


def means(values: Array, bounds: NDArray[np.int64]) -> Array:
    """The mean of each block, along the last axis."""
    sums: Array = np.add.reduceat(values, bounds[:-1], axis=-1) / np.diff(bounds)
    return sums


def blocks(residuals: Array) -> Blocks:
    """The model of n x T normalized residuals, which have one degree of freedom less than there are curves."""
    bounds = edges(residuals.shape[1])
    each = means(residuals, bounds)
    variance = (each**2).mean(axis=0)
    rounded = means((residuals**2).mean(axis=0), bounds) < ROUNDED
    beside, middle = _beside(variance), np.full_like(variance, np.median(variance))
    pooled = np.maximum.reduce([beside, middle, _white(residuals, bounds), rounded])
    return _model(bounds, each / np.sqrt(pooled), np.sqrt(pooled), beside > WIDE * middle)


def _model(bounds: NDArray[np.int64], each: Array, deviation: Array, wide: NDArray[np.bool_]) -> Blocks:
    count, number = each.shape
    total = float((each**2).mean()) or 1.0
    long = (number * float((each.mean(axis=1) ** 2).mean()) / total - 1) / max(number - 1, 1)
    short = float((each[:, 1:] * each[:, :-1]).mean()) / total if number > 1 else 0.0
    correlation = min(max(long, short, 1 / count), 0.95)
    local = min(max(short - max(long, 0.0), 0.0), 0.9)
    return Blocks(bounds, each, deviation, wide, correlation, local)


def _beside(variance: Array) -> Array:
    padded = np.pad(variance, 1, mode="edge")
    beside: Array = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    return beside


def _white(residuals: Array, bounds: NDArray[np.int64]) -> Array:
    """What step noise alone leaves of each block's mean."""
    if residuals.shape[1] < 2:  # noqa: PLR2004  a difference takes two
        return np.ones(1)
    steps = (np.diff(residuals, axis=1, prepend=residuals[:, :1]) ** 2).mean(axis=0) / 2
    white: Array = means(steps, bounds) / np.diff(bounds)
    return white
