"""Mistakes: the ways in which an optimizer is written otherwise that have no number of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest_parity.diagnose.hints.changes import Change, adam
from pytest_parity.diagnose.hints.rules import Rule
from pytest_parity.result import Cause

__all__ = ["MISTAKES"]


def _decay(rule: Rule) -> str:
    return (
        "the golden's shrinks the weight by lr * weight_decay"
        if rule.decoupled
        else "the golden's adds it to the gradient"
    )


def _when(condition: Callable[[Rule], object], **fields: Any) -> Callable[[Rule], Rule | None]:
    def make(rule: Rule) -> Rule | None:
        changed = replace(rule, **fields)
        return changed if condition(rule) and changed != rule else None

    return make


def _flipped(name: str, condition: Callable[[Rule], object]) -> Callable[[Rule], Rule | None]:
    def make(rule: Rule) -> Rule | None:
        fields: dict[str, Any] = {name: not getattr(rule, name)}
        return replace(rule, **fields) if condition(rule) else None

    return make


MISTAKES = (
    Change(
        Cause.WEIGHT_DECAY,
        _when(lambda rule: rule.weight_decay, weight_decay=0.0),
        lambda before, _: f"no weight decay, where the golden's is {before.weight_decay:g}",
    ),
    Change(
        Cause.WEIGHT_DECAY,
        _flipped("decoupled", lambda rule: rule.weight_decay),
        lambda before, _: (
            f"the weight decay of {before.weight_decay:g} "
            + ("is added to the gradient" if before.decoupled else "shrinks the weight")
            + f", where {_decay(before)}"
        ),
    ),
    Change(
        Cause.WEIGHT_DECAY,
        _when(lambda rule: rule.weight_decay and rule.decoupled, unscaled=True),
        lambda before, _: f"the weight decay of {before.weight_decay:g} is not multiplied by the learning rate",
    ),
    Change(
        Cause.BIAS_CORRECTION,
        _flipped("corrected", adam),
        lambda before, _: (
            "no bias correction of the moments, which the golden's has"
            if before.corrected
            else "bias correction of the moments, which the golden's has not"
        ),
    ),
    Change(
        Cause.SIGN,
        _flipped("maximize", lambda _: True),
        lambda *_: "the gradient with the other sign (maximize)",
    ),
    Change(
        Cause.OPTIMIZER_EPS,
        _when(adam, eps_at="inside"),
        lambda before, _: f"eps of {before.eps:g} inside the root, where the golden's is added to it",
    ),
    Change(
        Cause.OPTIMIZER_EPS,
        _when(lambda rule: adam(rule) and rule.corrected, eps_at="before"),
        lambda before, _: f"eps of {before.eps:g} is added before the bias correction, the golden's after it",
    ),
    Change(
        Cause.BETA,
        lambda rule: replace(rule, beta1=rule.beta2, beta2=rule.beta1) if adam(rule) else None,
        lambda before, _: f"beta1 and beta2 ({before.beta1:g}, {before.beta2:g}) are exchanged",
    ),
    Change(
        Cause.CONSTANT,
        _flipped("nesterov", lambda rule: rule.momentum),
        lambda before, _: (
            f"{'no ' if before.nesterov else ''}Nesterov momentum, where the golden's has {'it' if before.nesterov else 'none'}"
        ),
    ),
    Change(
        Cause.BETA,
        _when(lambda rule: rule.momentum, momentum=0.0, nesterov=False),
        lambda before, _: f"no momentum, where the golden's is {before.momentum:g}",
    ),
    Change(
        Cause.BETA,
        _when(lambda rule: rule.momentum, damped_first=True),
        lambda before, _: (
            f"the first momentum buffer is the gradient times {1 - before.momentum:g}, the golden's is the gradient"
        ),
    ),
    Change(
        Cause.BETA,
        lambda rule: replace(rule, dampening=rule.momentum) if rule.momentum and not rule.dampening else None,
        lambda before, _: (
            f"the gradient is multiplied by 1 - momentum ({1 - before.momentum:g}) in the buffer (dampening)"
        ),
    ),
)
