"""Together: several comparisons of one test as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pytest_parity.result import Comparison

__all__ = ["together"]


def together(case: str, found: Sequence[Comparison]) -> Comparison:
    """Several comparisons as one, with the first divergence of the first that has one."""
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for one in found:
        counts.update(one.counts)
        kinds.update(one.kinds)
    return replace(
        found[0],
        case=case,
        diagnosis=next((one.diagnosis for one in found if one.diagnosis is not None), None),
        expected=sum(one.expected for one in found),
        compared=sum(one.compared for one in found),
        elements=sum(one.elements for one in found),
        counts=dict(counts),
        kinds=dict(kinds),
        deltas=tuple(delta for one in found for delta in one.deltas),
        notes=tuple(dict.fromkeys(note for one in found for note in one.notes)),
    )
