"""Complete: every step that was recorded, once, in order, and finite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.verdict.ensemble import Array
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["Aligned", "aligned"]

NAN = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """What is left of a curve on the recorded steps: one value for each that it has, finite."""

    findings: list[CurveFinding]
    places: NDArray[np.int64]
    """Of the recorded steps, those that can be compared."""
    values: Array


def aligned(steps: NDArray[np.int64], values: Array, recorded: NDArray[np.int64], finite: NDArray[np.bool_]) -> Aligned:
    """A curve held against the recorded steps, of which ``finite`` are finite in all recorded curves.

    Of a step that comes more than once the last counts, as the run went on from there.
    """
    numbers, last = np.unique(steps[::-1], return_index=True)
    once = values[::-1][last]
    findings = [*_missing(numbers, recorded), *_extra(numbers, recorded), *_order(steps, values)]
    common, ours, theirs = np.intersect1d(numbers, recorded, assume_unique=True, return_indices=True)
    usual = finite[theirs]
    good = np.isfinite(once[ours])
    findings += _nonfinite(common[usual & ~good], once[ours][usual & ~good])
    kept = usual & good
    return Aligned(findings, theirs[kept].astype(np.int64), once[ours][kept])


def _of(check: CurveCheck, steps: NDArray[np.int64], value: float, expected: float, detail: str = "") -> CurveFinding:
    return CurveFinding(
        check=check,
        step=int(steps[0]),
        last=int(steps[-1]),
        count=len(steps),
        value=value,
        expected=expected,
        low=expected,
        high=expected,
        share=float("inf"),
        detail=detail,
    )


def _missing(numbers: NDArray[np.int64], recorded: NDArray[np.int64]) -> list[CurveFinding]:
    missing = np.setdiff1d(recorded, numbers, assume_unique=True)
    if not len(missing):
        return []
    here = len(recorded) - len(missing)
    if not here:
        detail = "all of them"
    elif len(numbers) and missing[0] > numbers[-1]:
        detail = f"it ends at step {numbers[-1]}"
    elif len(numbers) and missing[-1] < numbers[0]:
        detail = f"it begins at step {numbers[0]}"
    else:
        detail = ""
    return [_of(CurveCheck.MISSING, missing, here, len(recorded), detail)]


def _extra(numbers: NDArray[np.int64], recorded: NDArray[np.int64]) -> list[CurveFinding]:
    extra = np.setdiff1d(numbers, recorded, assume_unique=True)
    if not len(extra):
        return []
    return [_of(CurveCheck.EXTRA, extra, len(numbers), len(recorded))]


def _order(steps: NDArray[np.int64], values: Array) -> list[CurveFinding]:
    """Steps that are not above every one before them."""
    if len(steps) < 2:  # noqa: PLR2004  an order takes two
        return []
    highest = np.maximum.accumulate(steps)
    back = np.flatnonzero(steps[1:] <= highest[:-1]) + 1
    if not len(back):
        return []
    again = back[_before(steps, back)]
    detail = f"after step {steps[back[0] - 1]}"
    if len(again):
        first = {int(step): float(value) for step, value in zip(steps[::-1], values[::-1], strict=True)}
        same = sum(first[int(steps[place])] == values[place] for place in again)
        detail += f"; {len(again)} of them a second time, {same} with the value of the first"
    return [_of(CurveCheck.ORDER, steps[back], float(len(steps)), float(len(np.unique(steps))), detail)]


def _before(steps: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these steps have come already."""
    _, firsts, inverse = np.unique(steps, return_index=True, return_inverse=True)
    earlier: NDArray[np.bool_] = firsts[inverse.reshape(-1)[places]] < places
    return earlier


def _nonfinite(steps: NDArray[np.int64], values: Array) -> list[CurveFinding]:
    if not len(steps):
        return []
    nan = int(np.isnan(values).sum())
    kinds = [f"{count} {name}" for count, name in ((nan, "NaN"), (len(values) - nan, "infinite")) if count]
    return [_of(CurveCheck.NONFINITE, steps, float(values[0]), NAN, ", ".join(kinds))]
