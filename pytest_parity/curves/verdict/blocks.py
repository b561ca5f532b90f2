"""Blocks: the means of stretches of a curve, and how far those of one more curve may be off.

The variance of a block's mean is pooled over the recorded curves and the blocks beside it, and is never below what white step
noise leaves of it. Blocks of one curve hang together (a seed stays above the others for long), by a correlation that
is estimated too: the more they do, the further a mean over many of them may be off, and the fewer degrees of freedom
there are (Satterthwaite), which is what makes Student's bound wide where few curves were recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.student import critical
from pytest_parity.curves.verdict.ensemble import Array

__all__ = ["ROUNDED", "Blocks", "blocks", "edges", "means"]

FEWEST, MOST = 16, 512
EACH = 20
"""Steps of a block, where there are enough."""
ROUNDED = 0.25
"""Of a unit squared: where recorded curves are nearer than this, the unit is what rounding leaves, which no mean makes less."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Block means of normalized recorded curves, as a model of one more."""

    edges: NDArray[np.int64]
    deviation: Array
    """Of each block's mean, standard."""
    correlation: float
    """Between two blocks of one curve."""
    local: float
    """What the correlation of neighbouring blocks has above that."""
    dof: float

    def bound(self, weights: Array, alpha: float) -> float:
        """What the weighted sum of standardized block means exceeds, either way, with probability ``alpha``."""
        return float(np.sqrt(self._variance(weights))) * critical(alpha, self.dof)

    def _variance(self, weights: Array) -> float:
        """The larger of what blocks that hang together with their neighbours, and with all, would give."""
        squares = float((weights**2).sum())
        together = float(weights.sum() ** 2)
        near = squares * (1 + self.local) / (1 - self.local)
        return max(near, (1 - self.correlation) * squares + self.correlation * together)


def edges(length: int) -> NDArray[np.int64]:
    """Where blocks begin, and the end."""
    return np.linspace(0, length, min(length, max(FEWEST, min(MOST, length // EACH))) + 1).astype(np.int64)


def means(values: Array, bounds: NDArray[np.int64]) -> Array:
    """The mean of each block, along the last axis."""
    sums: Array = np.add.reduceat(values, bounds[:-1], axis=-1) / np.diff(bounds)
    return sums


def blocks(residuals: Array) -> Blocks:
    """The model of n x T normalized residuals, which have one degree of freedom less than there are curves."""
    count, length = residuals.shape
    bounds = edges(length)
    each = means(residuals, bounds)
    variance = (each**2).mean(axis=0)
    rounded = means((residuals**2).mean(axis=0), bounds) < ROUNDED
    beside, middle = _beside(variance), np.full_like(variance, np.median(variance))
    pooled = np.maximum.reduce([beside, middle, _white(residuals, bounds), rounded])
    return _model(bounds, each / np.sqrt(pooled), np.sqrt(pooled), count)


def _model(bounds: NDArray[np.int64], each: Array, deviation: Array, count: int) -> Blocks:
    number = each.shape[1]
    total = float((each**2).mean()) or 1.0
    long = (number * float((each.mean(axis=1) ** 2).mean()) / total - 1) / max(number - 1, 1)
    short = float((each[:, 1:] * each[:, :-1]).mean()) / total if number > 1 else 0.0
    correlation = min(max(long, short, 1 / count), 0.95)
    dof = (count - 1) * number / (1 + (number - 1) * correlation**2)
    local = min(max(short - max(long, 0.0), 0.0), 0.9)
    return Blocks(bounds, deviation, correlation, local, dof)


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
