"""Solving: the number in an optimizer's rule with which it reproduces the candidate's steps, as someone typed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, isclose, isfinite, log10
from typing import Any

import torch

from pytest_parity.diagnose.hints.changes import Change, Known, Scope, adam
from pytest_parity.diagnose.hints.evidence import FLOORS, rounded
from pytest_parity.diagnose.hints.rules import Rule
from pytest_parity.report.words import number
from pytest_parity.result import Cause

__all__ = ["UNKNOWNS", "Unknown", "solved"]

_ROUNDS = 8
_ALL = 17
"""Significant digits that tell any two numbers apart."""
_ENOUGH = 0.999
"""A step that leaves more of the error than this is the last."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A number of a rule that may be another, with the values to begin looking from."""

    cause: Cause
    put: Callable[[Rule, float], Rule]
    starts: tuple[float, ...]
    valid: Callable[[float], bool]
    text: Callable[[Rule, Rule], str]
    applies: Callable[[Rule], object] = lambda _: True
    logarithmic: bool = False
    of_total: bool = False
    """It is a share of the total norm, and told as that norm."""


def _field(name: str) -> Callable[[Rule, Rule], str]:
    return lambda before, after: f"{name} {getattr(after, name):.6g}, where the golden's is {getattr(before, name):g}"


def _set(name: str) -> Callable[[Rule, float], Rule]:
    def put(rule: Rule, value: float) -> Rule:
        fields: dict[str, Any] = {name: value}
        return replace(rule, **fields)

    return put


_BETAS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999)

UNKNOWNS = (
    Unknown(
        Cause.LEARNING_RATE,
        lambda rule, value: replace(rule, lr=rule.lr * value),
        (0.01, 0.1, 0.5, 1.5, 2.0, 10.0, 100.0),
        lambda value: value > 0,
        lambda before, after: (
            f"a learning rate of {after.lr:.6g}, {number(after.lr / before.lr)} times the golden's {before.lr:g}"
        ),
        applies=lambda rule: rule.lr,
    ),
    Unknown(
        Cause.WEIGHT_DECAY,
        _set("weight_decay"),
        (1e-4, 1e-2, 0.1, 1.0),
        lambda value: value > 0,
        lambda before, after: (
            f"a weight decay of {after.weight_decay:.6g}, where the golden's is {before.weight_decay:g}"
        ),
    ),
    Unknown(
        Cause.WEIGHT_DECAY,
        lambda rule, value: replace(rule, weight_decay=value, decoupled=not rule.decoupled),
        (1e-4, 1e-2, 0.1, 1.0),
        lambda value: value > 0,
        lambda before, after: (
            f"a weight decay of {after.weight_decay:.6g} that "
            f"{'shrinks the weight' if after.decoupled else 'is added to the gradient'}, where the golden's is {before.weight_decay:g}"
        ),
        applies=lambda rule: not rule.weight_decay,
    ),
    Unknown(Cause.BETA, _set("beta1"), _BETAS, lambda value: 0 <= value < 1, _field("beta1"), applies=adam),
    Unknown(Cause.BETA, _set("beta2"), _BETAS, lambda value: 0 <= value < 1, _field("beta2"), applies=adam),
    Unknown(
        Cause.OPTIMIZER_EPS,
        _set("eps"),
        (1e-12, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
        lambda value: value > 0,
        _field("eps"),
        applies=adam,
        logarithmic=True,
    ),
    Unknown(
        Cause.BETA,
        _set("momentum"),
        _BETAS,
        lambda value: 0 < value < 1,
        _field("momentum"),
        applies=lambda rule: rule.family == "sgd",
    ),
    Unknown(
        Cause.BETA,
        _set("dampening"),
        (0.1, 0.5, 0.9),
        lambda value: 0 <= value <= 1,
        _field("dampening"),
        applies=lambda rule: rule.momentum,
    ),
    Unknown(
        Cause.CLIPPING,
        _set("clip"),
        (0.001, 0.01, 0.1, 0.5, 0.9),
        lambda value: value > 0,
        lambda _, after: f"gradients clipped to a total norm of {after.clip:g} before the step",
        of_total=True,
    ),
)


def solved(one: Unknown, sample: Sequence[Known], scope: Scope) -> Change | None:
    """The value with which a rule reproduces the candidate's steps, as someone would type it; ``None`` where none does."""
    failing = [known for known in sample if known.fails and scope(known)]
    if not failing or not all(known.reference is not None and one.applies(known.reference) for known in failing):
        return None
    unit = max(known.begin.total for known in failing) if one.of_total else 1.0
    if not unit:
        return None
    value = _found(one, failing, unit)
    if value is None:
        return None
    exact = _change(one, value).tried(sample, scope)
    if exact > FLOORS:
        return None
    for form in _forms(value):
        change = _change(one, form)
        off = change.tried(sample, scope)
        if one.valid(form) and off <= min(FLOORS, 2 * exact + 0.5):
            return replace(change, off=off, digits=_digits(form))
    return replace(_change(one, value), off=exact, digits=_ALL)


def _digits(value: float) -> int:
    """How many someone typed: of the number, of its distance from 1, or of what it is one part of."""
    numbers = [value, *([1 - value] if 0 < value < 1 else []), *([1 / value] if value else [])]
    return next((count for count in range(1, _ALL) if any(_near(f"{x:.{count - 1}e}", x) for x in numbers)), _ALL)


def _near(text: str, value: float) -> bool:
    return isclose(float(text), value, rel_tol=1e-12)


def _forms(value: float) -> Iterator[float]:
    yield from rounded(value)
    if 0 < value < 1:
        yield from (1 - form for form in rounded(1 - value))


def _change(one: Unknown, value: float) -> Change:
    return Change(one.cause, lambda rule: one.put(rule, value) if one.applies(rule) else None, one.text)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One unknown of the steps that fail; its logarithm where it is ``logarithmic``."""

    unknown: Unknown
    failing: Sequence[Known]

    def value(self, place: float) -> float:
        return float(10.0**place) if self.unknown.logarithmic else place

    def residuals(self, place: float) -> torch.Tensor:
        value = self.value(place)
        rules = ((known, known.reference) for known in self.failing if known.reference is not None)
        return torch.cat([part for known, rule in rules for part in known.residuals(self.unknown.put(rule, value))])

    def cost(self, place: float) -> float:
        if not self.unknown.valid(self.value(place)):
            return inf
        total = float(self.residuals(place).norm())
        return total if isfinite(total) else inf

    def nearer(self, place: float, cost: float) -> float | None:
        """A step of Gauss and Newton's, cut until it is one down; ``None`` where there is none."""
        span = max(abs(place), 1e-3) * 1e-5
        here = self.residuals(place)
        slope = (self.residuals(place + span) - here) / span
        steep = float(slope.dot(slope))
        move = -float(slope.dot(here)) / steep if steep else 0.0
        while abs(move) > span * 1e-6:
            if self.cost(place + move) < cost:
                return place + move
            move /= 4
        return None


def _found(one: Unknown, failing: Sequence[Known], unit: float) -> float | None:
    """Least squares of one unknown: the best of the starts, then step by step."""
    fit = _Fit(one, failing)
    starts = [log10(start) if one.logarithmic else start * unit for start in one.starts]
    place = min(starts, key=fit.cost)
    cost = fit.cost(place)
    for _ in range(_ROUNDS):
        nearer = fit.nearer(place, cost) if isfinite(cost) else None
        if nearer is None:
            break
        before, place, cost = cost, nearer, fit.cost(nearer)
        if cost > _ENOUGH * before:
            break
    return fit.value(place) if isfinite(cost) else None
