"""Banded: the curves of goldens held against others: a check's, another golden's, those of a further run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.judge import judge
from pytest_parity.errors import UsageError
from pytest_parity.golden.curves import KeptCurve, KeptRun
from pytest_parity.golden.reader import Golden
from pytest_parity.report.curves import ANOTHER, UNASSERTED
from pytest_parity.result import CurveCheck, CurveComparison, CurveFinding
from pytest_parity.session.asked import Asked

__all__ = ["ONE", "further", "judged", "kept_run", "lacking", "recorded", "unlike"]

ONE = "tolerance"
"""The origin of a curve of which there is one run, and no band."""


def judged(asked: Asked, runs: Sequence[Curve], kept: KeptCurve) -> list[CurveComparison]:
    """Each run by the golden's; of several each under a name of its own."""
    references = _curves(kept)
    return [
        judge(run, references, name=label, origin=_origin(kept), rtol=asked.rtol)
        for label, run in zip(asked.labels(len(runs)), runs, strict=True)
    ]


def recorded(reference: Golden, candidate: Golden) -> Iterator[CurveComparison]:
    """The curves of two goldens: the first run of each of the candidate's by the reference's."""
    for name, kept in reference.curves.items():
        own = candidate.curves.get(name)
        yield lacking(name, kept, ANOTHER) if own is None else _beside(name, kept, _curves(own)[0])
    for name, own in candidate.curves.items():
        if name not in reference.curves:
            yield further(name, _curves(own)[0], reference.curves)


def _beside(name: str, kept: KeptCurve, own: Curve) -> CurveComparison:
    """As ``judge`` does; where that refuses what was recorded, why."""
    try:
        return judge(own, _curves(kept), name=name, origin=_origin(kept))
    except UsageError as error:
        return CurveComparison(name, kept.length, 0, len(kept.runs), kept.origin, notes=(str(error),))


def _origin(kept: KeptCurve) -> str:
    return "draws" if kept.origin == ONE else kept.origin


def lacking(name: str, kept: KeptCurve, detail: str = UNASSERTED) -> CurveComparison:
    """A curve of the golden that there is nothing to hold against."""
    steps, expected = kept.runs[0].judged[0], kept.length
    finding = CurveFinding(
        CurveCheck.MISSING, int(steps[0]), int(steps[-1]), expected, 0.0, expected, expected, expected, np.inf, detail
    )
    return CurveComparison(name, expected, 0, len(kept.runs), kept.origin, (finding,), unit=kept.unit)


def further(name: str, curve: Curve, has: Iterable[str]) -> CurveComparison:
    """A curve that the golden has not; it ``has`` others, of these names."""
    steps = kept_run(curve).judged[0]
    first, last = (int(steps[0]), int(steps[-1])) if len(steps) else (0, 0)
    count, names = float(len(steps)), ", ".join(map(repr, has))
    finding = CurveFinding(CurveCheck.EXTRA, first, last, len(steps), count, 0.0, 0.0, 0.0, np.inf, names)
    return CurveComparison(name, 0, 0, 0, ONE, (finding,), unit=curve.unit)


def unlike(golden: Golden, drawn: Mapping[str, Curve]) -> str:
    """Where the curves of a run in which nothing was moved are others, in words; empty where they are the same bits."""
    for name, curve in drawn.items():
        (before, losses), (now, own) = golden.curves[name].runs[0].judged, kept_run(curve).judged
        if not np.array_equal(now, before):
            return f"the curve {name} has {len(now):,} steps, and had {len(before):,}"
        apart = np.flatnonzero(own.view(np.int64) != losses.view(np.int64))
        if len(apart):
            place = int(apart[0])
            return (
                f"the curve {name} is another from step {now[place]} on: {losses[place]:.17g}, then {own[place]:.17g}"
            )
    return ""


def kept_run(curve: Curve) -> KeptRun:
    """A curve as a golden keeps it."""
    return KeptRun(curve.steps, curve.step_losses, curve.epochs, curve.epoch_losses)


def _curves(kept: KeptCurve) -> list[Curve]:
    return [
        Curve(
            "",
            steps=run.steps,
            step_losses=run.losses,
            epochs=run.epochs,
            epoch_losses=run.epoch_losses,
            unit=kept.unit,
        )
        for run in kept.runs
    ]
