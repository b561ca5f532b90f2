"""Against: training curves held against others, without a golden and without pytest."""

from __future__ import annotations

from typing import Any

from pytest_parity.curves.given import curves_of
from pytest_parity.curves.judge import judge
from pytest_parity.errors import ParityFailure
from pytest_parity.report import failure_text
from pytest_parity.result import Comparison, CurveComparison
from pytest_parity.session.asked import check_share

__all__ = ["assert_curve"]


def assert_curve(
    metrics: Any, reference: Any, *, name: str = "loss", origin: str = "seeds", rtol: float | None = None
) -> CurveComparison:
    """Hold a training curve against one or several others; raises ``ParityFailure`` where it is none of their kind.

    Both are the path of a metrics file, a ``Curve``, a ``MetricsWriter``, a dict of a metrics file's fields, the losses of
    steps 1 to n (a list, an array, a tensor), a list of several of these, or a directory of metrics files. Several
    references are a band: runs with other seeds, or with ``origin="draws"`` runs of one training that differ by rounding
    alone. Of one reference only its own bits pass, or what is within ``rtol * |reference|`` at each step. Returns what was
    found, of several runs the one that is nearest to its bound.
    """
    where = f"assert_curve({name!r})"
    check_share(rtol, where)
    runs, references = curves_of(metrics, where), curves_of(reference, f"{where}, reference")
    labels = [name, *(f"{name} (run {place + 1})" for place in range(1, len(runs)))]
    found = [
        judge(run, references, name=label, origin=origin, rtol=rtol) for label, run in zip(labels, runs, strict=True)
    ]
    if not all(one.passed for one in found):
        comparison = Comparison("assert_curve", 0, 0, {}, {}, (), curves=tuple(found))
        raise ParityFailure(failure_text(comparison), comparison)
    return max(found, key=lambda one: -1.0 if one.equal else one.share)
