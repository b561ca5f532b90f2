"""Together: several comparisons of one test as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pytest_parity.result import Comparison, Coverage, Delta

__all__ = ["together"]


def together(case: str, found: Sequence[Comparison]) -> Comparison:
    """Several comparisons as one, with the first divergence of the first that has one."""
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for one in found:
        counts.update(one.counts)
        kinds.update(one.kinds)
    first = next((one for one in found if one.diagnosis is not None), found[0])
    return replace(
        found[0],
        case=case,
        diagnosis=first.diagnosis,
        character=first.character,
        differences=first.differences,
        trace=first.trace,
        coverage=_coverage([one.coverage for one in found]),
        closest=max((one.closest for one in found if one.closest is not None), key=_closeness, default=None),
        expected=sum(one.expected for one in found),
        compared=sum(one.compared for one in found),
        elements=sum(one.elements for one in found),
        counts=dict(counts),
        kinds=dict(kinds),
        deltas=tuple(delta for one in found for delta in one.deltas),
        curves=tuple(curve for one in found for curve in one.curves),
        notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
    )


def _coverage(found: Sequence[Coverage]) -> Coverage:
    ignored: Counter[str] = Counter()
    for one in found:
        ignored.update(one.ignored)
    return Coverage(
        parameters=sum(one.parameters for one in found),
        parameters_recorded=sum(one.parameters_recorded for one in found),
        calls=sum(one.calls for one in found),
        calls_recorded=sum(one.calls_recorded for one in found),
        elements_recorded=sum(one.elements_recorded for one in found),
        outside=sum(one.outside for one in found),
        ignored=dict(ignored),
    )


def _closeness(delta: Delta) -> float:
    return delta.noise.closeness if delta.noise is not None else 0.0
