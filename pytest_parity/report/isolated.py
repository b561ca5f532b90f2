"""What isolation found, in lines below the headline: how far the first faulty place is off alone, and what else is faulty."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_parity.report.words import amount, number
from pytest_parity.result import Comparison, Faulty, Part

__all__ = ["faulty_words", "isolation_lines"]

_SHOWN = 8
_WHOLE = 100
"""Floors from which their fraction tells nothing."""
_WHAT = {
    Part.OUTPUT: "{name} returns another value",
    Part.HANDED: "{name} hands another value to {to}",
    Part.VALUE: "{name} is computed otherwise",
    Part.GRADIENT: "the backward pass of {name} is another",
    Part.UPDATE: "{name} steps otherwise",
    Part.BUFFER: "{name} leaves another buffer",
    Part.PROBE: "{name} returns another value of what a probe feeds it",
}


def isolation_lines(comparison: Comparison) -> Iterator[str]:
    """Nothing where nothing was isolated."""
    isolation, diagnosis = comparison.isolation, comparison.diagnosis
    if isolation is None:
        return
    if isolation.refused:
        yield f"modules were not looked at alone: {isolation.refused}"
        return
    first = next((one for one in isolation.faulty if diagnosis is not None and one.site == diagnosis.site), None)
    if first is not None:
        yield f"alone, fed the golden's values, it is {_far(first)}"
    places: dict[str, list[Faulty]] = {}
    for one in isolation.faulty:
        places.setdefault(one.module, []).append(one)
    if first is not None and len(places[first.module]) > 1:
        yield f"and so it is at {amount(len(places[first.module]) - 1, 'more place')} of its own code"
    others = [found for name, found in places.items() if first is None or name != first.module]
    if others:
        yield f"faulty by {'themselves' if len(others) > 1 else 'itself'} too:"
        yield from (f"  {line}" for found in others[:_SHOWN] for line in _lines(found))
        if len(others) > _SHOWN:
            yield f"  ... and {amount(len(others) - _SHOWN, 'more module')}"
    elif first is None:
        yield f"alone, fed the golden's values, none of {amount(isolation.calls, 'module call')} differs by itself"


def faulty_words(one: Faulty) -> str:
    """``b.3.act returns another value: 1,762 noise floors off (relative 2.1e-04)``."""
    name = f"{one.module} (call {one.call + 1})" if one.call else one.module
    return f"{_WHAT[one.part].format(name=name, to=one.to)}: {_far(one)}"


def _lines(found: list[Faulty]) -> Iterator[str]:
    """Of one module the first place, with how many more there are."""
    one, more = found[0], len(found) - 1
    yield faulty_words(one) + (f", and so at {amount(more, 'more place')} of its own code" if more else "")
    yield from (f"  {hint.text}" for hint in one.hints)


def _far(one: Faulty) -> str:
    if math.isinf(one.floors):
        return "beyond comparison (of another shape or dtype, not finite, or not there)"
    floors = f"{one.floors:,.0f}" if one.floors >= _WHOLE else number(one.floors)
    return f"{floors} noise floors off (relative {number(one.relative)})"
