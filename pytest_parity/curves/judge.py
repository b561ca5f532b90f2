"""Judge: whether a training curve may be one more of the recorded ones, with no tolerance to choose."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.verdict.against import against
from pytest_parity.curves.verdict.alone import alone
from pytest_parity.curves.verdict.given import given
from pytest_parity.result.curve import CurveComparison

__all__ = ["judge"]


def judge(
    curve: Curve,
    references: Sequence[Curve],
    *,
    name: str = "loss",
    origin: str = "seeds",
    rtol: float | None = None,
) -> CurveComparison:
    """Hold a training curve against recorded ones.

    ``origin`` says what the recorded curves differ by: ``"seeds"``, in which case the curve is to be one more of their
    kind, or ``"draws"``, free runs of one training whose weights were moved by one unit in the last place: the curve
    is to be the same run, which may part from them as slowly as they part. One recorded curve has no band: without ``rtol`` nothing
    but its own bits passes. With ``rtol`` each step is to be within ``rtol * |recorded|``, and the band is not used.

    A curve that logs steps is judged by them, another by its epochs. Raises ``UsageError`` where there is nothing to
    judge by: no recorded curve, recorded curves of different steps or units, another unit than theirs, no finite step.
    """
    found = given(curve, references, name=name, origin=origin, rtol=rtol)
    if rtol is not None or len(references) == 1:
        return alone(found, rtol)
    return against(found)
