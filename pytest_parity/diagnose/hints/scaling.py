"""Scaling: the number by which attention's logits are off, found by Newton's steps on what the module gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from pytest_parity.diagnose.hints.numbers import written
from pytest_parity.diagnose.hints.operations import Operation, Rewrite, with_rewrite
from pytest_parity.diagnose.hints.trial import FLOORS, Trial
from pytest_parity.result import Cause, Hint

__all__ = ["scaled_logits"]

_PRODUCTS = frozenset({"bmm", "matmul", "baddbmm"})
_FUSED = "_scaled_dot_product"
_PLACES, _STEPS = 3, 5
_ASIDE = 1e-2
_STILL = 1e-7
_WIDEST = 100.0


def scaled_logits(trial: Trial, operations: Sequence[Operation]) -> Iterator[Hint]:
    """The last product before each softmax, and fused attention, by a number of its own."""
    for one in _products(operations)[:_PLACES]:
        if trial.over or not trial.fits:
            return
        found = _solved(trial, one)
        form = None if found is None else written(1 / found[0], found[1] / found[0] ** 2)
        if form is not None and form.value != 1:
            text = f"its attention's logits are {form.words} times the reference's: with that taken back it agrees"
            yield from trial.told(Cause.SCALE, text, _at(trial, one, 1 / form.value), anew=True)


def _products(operations: Sequence[Operation]) -> list[Operation]:
    found, last = [], None
    for one in operations:
        if one.name in _PRODUCTS:
            last = one
        elif one.name.startswith(_FUSED):
            found.append(one)
        elif one.name == "_softmax" and last is not None:
            found.append(last)
    return found


def _solved(trial: Trial, one: Operation) -> tuple[float, float] | None:
    """The factor that leaves least, and by how much it is open."""
    scale = 1.0
    slope = torch.zeros(1, dtype=torch.float64)
    for _ in range(_STEPS):
        here, aside = _at(trial, one, scale), _at(trial, one, scale * (1 + _ASIDE))
        if here is None or aside is None or not bool(here.isfinite().all()):
            return None
        slope = (aside - here) / (_ASIDE * scale)
        square = float(slope.square().sum())
        if not square > 0:
            return None
        step = float((slope * (trial.expected - here)).sum()) / square
        scale += step
        if not 1 / _WIDEST < scale < _WIDEST:
            return None
        if abs(step) < _STILL:
            break
    return scale, (FLOORS + trial.slack) * trial.floor / float(slope.norm())


def _at(trial: Trial, one: Operation, factor: float) -> torch.Tensor | None:
    return with_rewrite(trial, {one.place: (one.name, _by(one.name, factor))})


def _by(name: str, factor: float) -> Rewrite:
    def rewrite(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name.startswith(_FUSED):
            return func(args[0] * factor, *args[1:], **kwargs)
        return func(*args, **kwargs) * factor

    return rewrite
