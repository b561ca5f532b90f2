"""Character: whether a failing step's errors look like another environment's (drift) or one module's (regression).

An environment moves every site a little, and no module much more than those before it; a fault is a jump at one module.
Sizes are in units of what one operation moves by where environments differ as these do. Nothing is said where both
would look alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import torch

from pytest_parity.compare.dtypes import rounding
from pytest_parity.contract.environment import rounding_of
from pytest_parity.diagnose.backward import Backward
from pytest_parity.diagnose.step import Seen, Step
from pytest_parity.names import BoundNames
from pytest_parity.result import Character, Delta, Diagnosis, Fault, Verdict
from pytest_parity.site import Kind

__all__ = ["characterise"]

_FORWARD = (Kind.INPUT, Kind.ACTIVATION, Kind.OUTPUT, Kind.LOSS)
_ALIKE = frozenset({Fault.MODULE, Fault.BETWEEN, Fault.VALUE, Fault.BACKWARD})
"""Faults that another environment can look like."""
_SIZELESS = frozenset({Verdict.SHAPE, Verdict.DTYPE, Verdict.NONFINITE, Verdict.MISSING, Verdict.EXTRA})

_JUMP = 30
"""Times the unit, and times the largest before: more than a module makes of the rounding that comes in."""
_UNSEEN_JUMP = 1000
"""The same behind the first divergence, where what has moved may be amplified, and at it, where the environment is
another and nothing has moved that shows how far it goes."""
_ALLOWANCES = 10
"""Times what its tolerance allows, where sites before are within theirs and nobody measured how far they moved."""
_FIRST = {False: 30, True: 2}
"""Units that the first drifted site moves by at most: one operation's, by the order of sums or a coarser precision."""
_ALL = {False: 1000, True: 10}
"""The same for those behind it."""
_SHARE, _PLACES = 0.75, 3
"""A drift moves so large a share of the sites from its first one on, and in so many modules or values at least."""


@dataclass(frozen=True, slots=True)
class _Error:
    """How far a site moved: in units, and as it is shown; ``None`` where it agrees and nobody measured how far."""

    seen: Seen
    size: float | None = 0.0
    shown: float = 0.0

    @property
    def moved(self) -> bool:
        return self.seen.delta.verdict is not Verdict.EQUAL


def characterise(
    observed: Sequence[Delta],
    diagnosis: Diagnosis,
    *,
    names: BoundNames,
    dtypes: Mapping[str, str],
    environment: Collection[str] | None,
    explained: bool = False,
) -> Character | None:
    """What the errors of a step that fails look like; ``None`` where they tell nothing.

    ``observed`` are all deltas of the step, ``dtypes`` the golden's by site, ``environment`` the names of what differs
    from the golden's (``None``: it does not tell its own), ``explained`` whether a setting differs that explains it.
    """
    if environment is None or diagnosis.fault not in _ALIKE:
        return None
    step, unit, backward = Step(observed, names), rounding_of(environment), diagnosis.fault is Fault.BACKWARD
    sites = Backward(step).sites if backward else step.kind(*_FORWARD)
    floors = any(seen.delta.noise for seen in sites)
    if backward and unit is not None and not floors:
        return None  # a gradient that is zero but for rounding moves by all of itself
    if any(seen.delta.verdict in _SIZELESS for seen in sites):
        return None
    errors = [
        _error(seen, eps, unit or 0.0, floors=floors)
        for seen in sites
        if (eps := _eps(dtypes.get(seen.delta.site, ""))) and seen.delta.elements
    ]
    found = _regression(errors, diagnosis.site, unit, floors=floors)
    return found if found or unit is None or explained else _drift(errors, coarse=unit > 0, floors=floors)


def _eps(dtype: str) -> float:
    """0 of integers, booleans and ``None``."""
    known = getattr(torch, dtype, None)
    return rounding(known) if isinstance(known, torch.dtype) else 0.0


def _error(seen: Seen, eps: float, unit: float, *, floors: bool) -> _Error:
    delta = seen.delta
    if delta.verdict is Verdict.EQUAL:
        return _Error(seen)
    if floors:
        return (
            _Error(seen, delta.noise.ratio / max(unit / eps, 1.0), delta.noise.ratio)
            if delta.noise
            else _Error(seen, None)
        )
    if delta.metrics is None:
        return _Error(seen, None)
    return _Error(seen, delta.metrics.relative_l2 / max(unit, eps), delta.metrics.relative_l2)


def _regression(errors: list[_Error], first: str, unit: float | None, *, floors: bool) -> Character | None:
    """The largest jump, if there is one."""
    best, found = 1.0, None
    before, moved = 0.0, False
    for place, error in enumerate(errors):
        size = error.size or 0.0
        at_first = error.seen.delta.site == first
        least = _JUMP if floors or (at_first and (unit is None or moved)) else _UNSEEN_JUMP
        jump = size / (least * max(before, 1.0))
        if place and best < jump < inf and (floors or _clear(error, errors[:place])):
            best, found = jump, error
        before, moved = max(before, size), moved or error.moved
    if found is None:
        return None
    upto = errors[: errors.index(found)]
    delta = found.seen.delta
    return Character(
        drift=False,
        moved=sum(error.moved for error in errors),
        sites=len(errors),
        before=max(error.shown for error in upto),
        here=found.shown,
        floors=floors,
        site=delta.candidate or delta.site,
    )


def _clear(error: _Error, before: list[_Error]) -> bool:
    """Whether the worst element is far outside of what is allowed, where others moved within that, unmeasured."""
    if all(one.size is not None for one in before):
        return True
    metrics = error.seen.delta.metrics
    assert metrics is not None
    return abs(metrics.worst_actual - metrics.worst_expected) > _ALLOWANCES * metrics.worst_allowed > 0


def _drift(errors: list[_Error], *, coarse: bool, floors: bool) -> Character | None:
    """Small errors nearly everywhere, from the first site that moves on."""
    start = next((place for place, error in enumerate(errors) if error.moved), len(errors))
    moved = [error for error in errors[start:] if error.moved]
    places = {error.seen.site.path for error in moved}
    measured = [error for error in moved if error.size is not None]
    if len(places) < _PLACES or len(moved) < _SHARE * len(errors[start:]) or not measured:
        return None
    sizes = [error.size or 0.0 for error in moved]
    if sizes[0] > _FIRST[coarse] or max(sizes) > (_JUMP if floors else _ALL[coarse]):
        return None
    shown = [error.shown for error in measured]
    return Character(True, len(moved), len(errors), min(shown), max(shown), floors)
