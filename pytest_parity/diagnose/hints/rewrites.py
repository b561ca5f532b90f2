"""Rewrites: operations of the module's own code, one changed at a time, and the whole computed anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pytest_parity.diagnose.hints.masking import mask_rewrites
from pytest_parity.diagnose.hints.norms import EPSILONS, least
from pytest_parity.diagnose.hints.operations import Operation, traced, with_rewrite
from pytest_parity.diagnose.hints.rewriting import Change, fixed, with_argument
from pytest_parity.diagnose.hints.rotating import rotary_rewrites
from pytest_parity.diagnose.hints.scaling import scaled_logits
from pytest_parity.diagnose.hints.substitutes import SUBSTITUTES
from pytest_parity.diagnose.hints.trial import Hypothesis, Trial
from pytest_parity.result import Hint

__all__ = ["HYPOTHESES"]

_EPS = {"native_layer_norm": 4, "_fused_rms_norm": 3, "native_batch_norm": 7, "native_group_norm": 7}
"""Where fused normalisations take theirs."""
_LARGEST_EPS = 1e-2
_FIRST = 4
"""Substitutes that are tried before a number is fitted."""


def _eps(trial: Trial, operations: Sequence[Operation]) -> Iterator[Hint]:
    """A small number that is added, or that bounds a divisor from below."""
    for operation in operations:
        place = _place_of_eps(operation)
        if place is None:
            continue
        own = float(operation.args[place])
        tried = []
        for eps in EPSILONS:
            if abs(eps - own) > 1e-3 * own:
                change = with_argument(place, fixed(eps))
                tried.append((eps, with_rewrite(trial, {operation.place: (operation.name, change)})))
        yield from least(trial, "eps", own, tried, anew=True)


def _place_of_eps(operation: Operation) -> int | None:
    if operation.name in _EPS:
        return _EPS[operation.name]
    small = operation.name.rstrip("_") in {"add", "clamp_min", "clamp"}
    return 1 if small and operation.number is not None and 0 < operation.number <= _LARGEST_EPS else None


def _others(
    trial: Trial, operations: Sequence[Operation], make: Callable[[Sequence[Operation]], Iterator[Change]]
) -> Iterator[Hint]:
    for change in make(operations):
        if trial.over:
            return
        where = f" at {change.where}" if change.where and _is_own(trial, change.where) else ""
        yield from trial.told(
            change.cause, f"{change.text}{where} it agrees", with_rewrite(trial, change.rewrites, change.every)
        )


def _is_own(trial: Trial, where: str) -> bool:
    """Whether a line is in the file of the module's class."""
    source = getattr(sys.modules.get(type(trial.module).__module__), "__file__", None)
    return bool(source) and Path(str(source)).name == where.partition(":")[0]


def _rewritten(trial: Trial) -> Iterator[Hint]:
    operations = traced(trial)
    if operations:
        for make in (*SUBSTITUTES[:2], mask_rewrites, rotary_rewrites, *SUBSTITUTES[2:_FIRST]):
            yield from _others(trial, operations, make)
        yield from _eps(trial, operations)
        yield from scaled_logits(trial, operations)
        for make in SUBSTITUTES[_FIRST:]:
            yield from _others(trial, operations, make)


HYPOTHESES: tuple[Hypothesis, ...] = (_rewritten,)
