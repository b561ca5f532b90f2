"""Whether experiments end at different losses, as far as their seeds can tell: Welch's test of runs, not of steps.

The steps of one run are no independent draws, so a run counts as one number, however long it is. One run each decides
nothing. Welch, "The generalization of Student's problem when several different population variances are involved" (1947).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.groups import Experiment, Run
from pytest_parity.curves.strands import by_epoch, by_step
from pytest_parity.curves.student import critical, tail
from pytest_parity.result.curve_difference import CurveDifference, Doubt, Outcome

__all__ = ["differences", "distinct", "same_runs"]

_ALPHA = 0.05
_LAST = 0.1
"""The share of the steps whose mean is the final level."""
_LOST = 0.1
"""The share of them that may be not finite."""
_ENOUGH = 2
"""Runs on a side."""

Levels = tuple[NDArray[np.float64], NDArray[np.float64]]
_Tested = tuple[CurveDifference, tuple[float, float] | None]
"""A pair, and its standard error and degrees of freedom where it was tested."""
Measure = Callable[[Sequence[Curve]], tuple[tuple[int, int], list[float]] | None]
"""Of the runs of both sides: where it was measured, and a number a run; ``None`` where a run has nothing there."""


def differences(experiments: Sequence[Experiment]) -> tuple[CurveDifference, ...]:
    """Each pair of experiments: first by the final level, then by the last epoch's loss."""
    with np.errstate(over="ignore", invalid="ignore"):  # of what has left float64 no mean is finite, and that is said
        found = [
            _compared(first, second, statistic, measure)
            for statistic, measure in (("final level", _final_level), ("last epoch", _last_epoch))
            for first, second in combinations(experiments, 2)
            if _asked(statistic, first, second)
        ]
    return tuple(_together(found))


def distinct(curves: Iterable[Curve]) -> list[Curve]:
    """The curves without those that equal an earlier one bit for bit: the same seed twice says nothing about seeds."""
    kept: list[Curve] = []
    for curve in curves:
        if not any(_same(curve, other) for other in kept):
            kept.append(curve)
    return kept


def same_runs(experiment: Experiment) -> Iterable[tuple[Run, Run]]:
    """The runs of an experiment that are the same bit for bit, each with the earlier one."""
    for place, run in enumerate(experiment.runs):
        earlier = next((other for other in experiment.runs[:place] if _same(run.curve, other.curve)), None)
        if earlier is not None:
            yield earlier, run


def _same(one: Curve, other: Curve) -> bool:
    pairs = [
        (one.steps, other.steps),
        (one.step_losses, other.step_losses),
        (one.epochs, other.epochs),
        (one.epoch_losses, other.epoch_losses),
    ]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def _asked(statistic: str, first: Experiment, second: Experiment) -> bool:
    """Whether there is a question: epochs need not be logged, and losses of other meaning are told once."""
    if statistic == "final level":
        return True
    return first.meaning == second.meaning and all(len(c.epochs) for c in (*first.curves, *second.curves))


def _compared(first: Experiment, second: Experiment, statistic: str, measure: Measure) -> _Tested:
    """One pair, before it is known how many pairs there are."""
    left, right = distinct(first.curves), distinct(second.curves)
    runs = len(left), len(right)
    told = CurveDifference(
        first.name,
        second.name,
        statistic,
        Outcome.UNDECIDED,
        runs=runs,
        needed=(max(_ENOUGH - runs[0], 0), max(_ENOUGH - runs[1], 0)),
        meanings=(first.meaning, second.meaning),
        unit=first.curves[0].unit,
    )
    if first.meaning != second.meaning:
        return replace(told, outcome=Outcome.NOT_COMPARABLE, doubt=Doubt.MEANING, unit=""), None
    measured = measure([*left, *right])
    if measured is None:
        return replace(told, doubt=Doubt.NOTHING), None
    span, values = measured
    levels = np.array(values[: len(left)]), np.array(values[len(left) :])
    told = replace(told, span=span, means=(_mean(levels[0]), _mean(levels[1])))
    told = replace(told, difference=told.means[1] - told.means[0])
    if not all(np.isfinite(side).all() for side in levels):
        return replace(told, doubt=Doubt.NOT_FINITE), None
    return _tested(told, levels)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _tested(told: CurveDifference, levels: Levels) -> _Tested:
    """With the p of this pair alone, and what an interval around the difference is made of."""
    if any(told.needed):
        return replace(told, doubt=Doubt.RUNS), None
    parts = [float(side.var(ddof=1)) / len(side) for side in levels]
    variance = sum(parts)
    if not variance > 0:
        return replace(told, doubt=Doubt.NO_SPREAD), None
    shares = sum((part / variance) ** 2 / (len(side) - 1) for part, side in zip(parts, levels, strict=True))
    error, dof = math.sqrt(variance), 1 / shares
    return replace(told, p=tail(told.difference / error, dof)), (error, dof)


def _together(found: Sequence[_Tested]) -> Iterable[CurveDifference]:
    """Each pair as one of several that are tested: of twenty, one would differ by chance at one in twenty."""
    for one, spread in found:
        if spread is None:
            yield one
            continue
        pairs = sum(other.statistic == one.statistic and tested is not None for other, tested in found)
        error, dof = spread
        margin = critical(_ALPHA / pairs, dof) * error
        p = min(one.p * pairs, 1.0)
        yield replace(
            one,
            outcome=Outcome.DIFFER if p < _ALPHA else Outcome.NOT_FOUND,
            low=one.difference - margin,
            high=one.difference + margin,
            p=p,
            confidence=1 - _ALPHA,
            pairs=pairs,
        )


def _final_level(curves: Sequence[Curve]) -> tuple[tuple[int, int], list[float]] | None:
    """The mean over the last tenth of the steps that all have reached."""
    points = [by_step(curve) for curve in curves]
    if not all(len(steps) for steps, _ in points):
        return None
    first = max(int(steps.min()) for steps, _ in points)
    last = min(int(steps.max()) for steps, _ in points)
    after = last - _LAST * (last - first + 1)
    chosen = [(steps > after) & (steps <= last) for steps, _ in points]
    if not all(some.any() for some in chosen):
        return None
    levels = [_level(values[some]) for (_, values), some in zip(points, chosen, strict=True)]
    return (math.floor(after) + 1, last), levels


def _level(values: NDArray[np.float64]) -> float:
    """The mean of what is finite; ``nan`` where the last value is not, or too many are not."""
    finite = np.isfinite(values)
    if not finite[-1] or np.count_nonzero(~finite) > _LOST * len(values):
        return math.nan
    return float(values[finite].mean())


def _last_epoch(curves: Sequence[Curve]) -> tuple[tuple[int, int], list[float]] | None:
    """The loss of the last epoch that all have."""
    points = [by_epoch(curve) for curve in curves]
    common = set.intersection(*(set(epochs.tolist()) for epochs, _ in points))
    if not common:
        return None
    last = max(common)
    return (last, last), [float(losses[epochs == last][-1]) for epochs, losses in points]
