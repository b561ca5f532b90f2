"""Hints of clipping: of all gradients by their norm, or of each value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, inf, isclose, isfinite, log10

import torch

from pytest_parity.diagnose.hints.evidence import FLOORS, Multiple, Pair, tells, times, within
from pytest_parity.report.words import amount, number
from pytest_parity.result import Cause, Hint

__all__ = ["bounded", "clipped"]

_CLIPPED = 2e-5
"""Of a total norm, how far from the norm that it is clipped to."""
_STEPS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
"""What someone types as a norm to clip to, but for powers of ten."""
_BESIDE = 1e-6
"""What ``clip_grad_norm_`` adds to the norm."""


def clipped(gradients: Sequence[Pair], failing: Sequence[Pair], found: Multiple) -> Iterator[Hint]:
    """Whether one side's total norm is a round number below the other's: then it was clipped, and the other was not."""
    if found.factor <= 0 or len(failing) < sum(tells(one) for one in gradients):
        return
    ours, theirs = _totals(gradients)
    if not (isfinite(ours) and isfinite(theirs)):
        return
    clipped, whole = min(ours, theirs), max(ours, theirs)
    to = _round_norm(clipped, whole)
    if to is None:
        return
    here, there = number(ours), number(theirs)
    both = _round_norm(whole, inf)
    if both is not None and both != to and both <= 10 * to:
        text = f"clipped to another norm: the total norm of all gradients is {here} here, {there} in the golden's run"
    elif ours < theirs:
        text = f"clipped to a total norm of {to:g} here, where the golden's is {there}"
    else:
        text = f"not clipped here: the total norm is {here}, and the golden's was clipped to {to:g}"
    yield Hint(
        Cause.CLIPPING,
        f"{text}; {times(found.factor)} the golden's in all of {amount(found.tensors, 'gradient')} ({found.support})",
    )


def _totals(gradients: Sequence[Pair]) -> tuple[float, float]:
    ours = theirs = 0.0
    for one in gradients:
        actual, expected = one.read()
        ours, theirs = ours + float(actual.square().sum()), theirs + float(expected.square().sum())
    return ours**0.5, theirs**0.5


def _round_norm(total: float, of: float) -> float | None:
    """The number that someone clips to, where this total is one; ``of`` is the norm before."""
    if not 0 < total < inf:
        return None
    exponent = floor(log10(total))
    norms = [step * 10**exponent for step in _STEPS]
    share = 1.0 if of == inf else of / (of + _BESIDE)
    return next((float(f"{one:.3g}") for one in norms if isclose(total, one * share, rel_tol=_CLIPPED)), None)


def bounded(gradients: Sequence[Pair], failing: Sequence[Pair]) -> Iterator[Hint]:
    """Each value cut to a largest one, as ``clip_grad_value_`` does; the golden's, or this run's."""
    for here in (True, False):
        bound = max(float(_side(one, here=here).abs().max()) for one in gradients if _side(one, here=here).numel())
        if not 0 < bound < inf or _nearest(bound) is None:
            continue
        fits = [
            float((cut_off - other.clamp(-bound, bound)).norm()) / allowed
            for cut_off, other, allowed in (_sides(one, here=here) for one in failing)
        ]
        cut = sum(int((_side(one, here=not here).abs() > bound).sum()) for one in failing)
        if cut > 1 and max(fits) <= FLOORS:
            what = "cut" if here else "not cut"
            whose = "here" if here else "here, as the golden's are"
            text = f"each value is {what} to {_nearest(bound):g} {whose}, which {amount(cut, 'value')} exceed"
            yield Hint(Cause.CLIPPING, f"{text} ({within(max(fits), 0.0)})")
            return


def _nearest(bound: float) -> float | None:
    return _round_norm(bound, inf)


def _side(one: Pair, *, here: bool) -> torch.Tensor:
    actual, expected = one.read()
    return (actual if here else expected).reshape(-1)


def _sides(one: Pair, *, here: bool) -> tuple[torch.Tensor, torch.Tensor, float]:
    actual, expected = one.read()
    return (actual, expected, one.floor(expected)) if here else (expected, actual, one.floor(expected))
