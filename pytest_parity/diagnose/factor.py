"""Factor: whether a loss or gradients are the reference's times one number, as a sum is for a mean."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

from pytest_parity.diagnose.step import Step
from pytest_parity.report.words import amount, pair
from pytest_parity.result import Delta, Diagnosis, Fault, Verdict
from pytest_parity.site import Kind

__all__ = ["factor_hints"]

_COSINE = 1 - 5e-11
"""Of the two tensors, at least: what is no multiple is then at most 1e-5 of the norm."""
_SAME = 1e-4
_WHOLE = 1e-5
_APART = 1e-3
"""From 1, at least."""
_CAUSES = {
    Fault.VALUE: "its reduction: a sum or a mean, and over what",
    Fault.BACKWARD: "clipping, the loss's scale, accumulation, averaging over processes",
}


def factor_hints(step: Step, diagnosis: Diagnosis) -> Iterator[str]:
    """What is said where the first divergence and every gradient that differs have one factor in common."""
    gradients = [seen.delta for seen in step.kind(Kind.GRADIENT) if seen.fails]
    first = next(
        (seen.delta for seen in step.kind(Kind.LOSS, Kind.GRADIENT) if seen.delta.site == diagnosis.site), None
    )
    times = _factor(first) if first else None
    if not times or abs(times - 1) < _APART or not any(delta.elements > 1 for delta in gradients):
        return
    if all(isclose(_factor(delta) or 0.0, times, rel_tol=_SAME) for delta in gradients):
        part = 1 / times
        share = f" (1/{part:.0f})" if part > 1 and isclose(part, round(part), rel_tol=_WHOLE) else ""
        yield (
            f"{pair(times, 1.0)[0]}{share} times the golden's, in all of {amount(len(gradients), 'gradient')}: "
            f"look at {_CAUSES[diagnosis.fault]}"
        )


def _factor(delta: Delta) -> float | None:
    """The number that the reference's tensor is multiplied by, in every element; ``None`` where there is none."""
    found = delta.metrics
    if found is None or delta.verdict is not Verdict.DIFFERS or found.cosine < _COSINE or found.nonfinite_actual:
        return None
    larger = abs(found.worst_actual) > abs(found.worst_expected)
    return 1 + found.relative_l2 if larger else 1 - found.relative_l2
