"""Hints of gradients: what all of them, or a module's own, are in terms of the reference's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, isclose, log2

import torch

from pytest_parity.diagnose.hints.clipping import bounded, clipped
from pytest_parity.diagnose.hints.evidence import FLOORS, Multiple, Pair, multiple, tells, times, within
from pytest_parity.report.words import amount, number
from pytest_parity.result import Cause, Hint
from pytest_parity.site import ROOT

__all__ = ["detached_hints", "gradient_hints"]

_SCALED = 8
"""A power of two from here on is taken for a loss scale."""
_COARSE = (torch.bfloat16, torch.float16)

Before = Callable[[Pair], "torch.Tensor | None"]
"""A parameter's recorded gradient of the step before, in float64; ``None`` where there is none."""


def gradient_hints(
    gradients: Sequence[Pair], own: Sequence[Pair], *, before: Before = lambda _: None, step: int = 0
) -> tuple[Hint, ...]:
    """Why gradients differ while the forward agrees: the first of the causes that fits.

    ``gradients`` are all of the step that both have, ``own`` those of the module that diverges first, in backward order.
    """
    failing = [one for one in gradients if one.fails]
    for found in _causes(gradients, failing, own, before, step):
        return (found,)
    return ()


def _causes(
    gradients: Sequence[Pair], failing: Sequence[Pair], own: Sequence[Pair], before: Before, step: int
) -> Iterator[Hint]:
    if not failing:
        return
    yield from _zeros(failing)
    common = multiple(failing)
    if common is not None:
        yield from clipped(gradients, failing, common)
        yield _common(common, failing, len(gradients) - len(failing))
    yield from _kept(failing, before, step)
    yield from bounded(gradients, failing)
    yield from _coarse(failing)
    alone = [one for one in own if one.fails]
    if not alone:
        return
    yield from _zeros(alone)
    found = multiple(alone)
    if found is not None:
        yield _hint(found, f"in all of {_amount(found.tensors)} of this module's own", part=True)
    yield from _turned(alone)


def _common(found: Multiple, failing: Sequence[Pair], agreeing: int) -> Hint:
    """What is said where all that differ have one factor; ``agreeing`` are the others."""
    others = f", and {amount(agreeing, 'other')} {'agrees' if agreeing == 1 else 'agree'}" if agreeing else ""
    if len(failing) == 1:
        return _hint(found, f"in {failing[0].name or failing[0].site.path} alone{others}", part=True)
    return _hint(found, f"in all of {_amount(found.tensors)}{others}", part=bool(agreeing))


def _hint(found: Multiple, where: str, *, part: bool) -> Hint:
    """``part``: others agree, so that it is nothing that all gradients have in common."""
    if found.factor == -1:
        return Hint(Cause.SIGN, f"the golden's with the other sign, {where} ({found.support})")
    text = f"{times(found.factor)} the golden's, {where} ({found.support})"
    if part:
        return Hint(Cause.FACTOR, f"{text}: look at what scales them on their way back")
    sign = "its sign, and " if found.factor < 0 else ""
    return Hint(Cause.FACTOR, f"{text}: look at {sign}{_usual(abs(found.factor))}")


def _usual(factor: float) -> str:
    """What multiplies gradients by such a number."""
    power = log2(factor)
    if abs(power) >= _SCALED and power == int(power):
        return f"the loss's scale, 2**{abs(int(power))}, {'not taken back' if power > 0 else 'divided out twice'}"
    whole = max(factor, 1 / factor)
    if isclose(whole, round(whole), rel_tol=1e-5):
        return "accumulation, averaging over processes, the loss's scale"
    return "clipping, the loss's scale, accumulation, averaging over processes"


def _amount(count: int) -> str:
    return amount(count, "gradient")


# what else is left in them, or not


def _kept(failing: Sequence[Pair], before: Before, step: int) -> Iterator[Hint]:
    """Whether the gradients of the step before are in them besides; or were in the golden's."""
    for sign, words in (
        (1.0, "nothing clears them"),
        (-1.0, "they are cleared here, and were not in the golden's run"),
    ):
        worst, told = 0.0, 0
        for one in failing:
            earlier = before(one)
            actual, expected = one.read()
            if earlier is None or earlier.shape != actual.shape:
                return
            allowed = one.floor(expected) + one.floor(earlier) + 4 * one.eps * float(actual.norm())
            off = float((actual - expected - sign * earlier).norm())
            told += float(earlier.norm()) > 10 * FLOORS * allowed
            worst = max(worst, off / allowed if allowed else inf)
        if told and worst <= FLOORS:
            text = f"{'more' if sign > 0 else 'less'} than the golden's by the gradients of step {step - 1}"
            yield Hint(
                Cause.ACCUMULATION,
                f"{text}, in all of {_amount(len(failing))} ({within(worst, 0.0)}): {words} (optimizer.zero_grad())",
            )
            return


def _zeros(failing: Sequence[Pair]) -> Iterator[Hint]:
    """Whether they are zero, every element, where the golden's are not."""
    if not any(tells(one) for one in failing):
        return
    if not any(one.read()[0].any() for one in failing):
        elements = sum(one.read()[0].numel() for one in failing)
        names = f"{failing[0].name or failing[0].site.path}" + (
            f" and {amount(len(failing) - 1, 'other')}" if len(failing) > 1 else ""
        )
        if elements > 1:
            yield Hint(Cause.DETACHED, f"exactly zero in {names}, {elements:,} elements: nothing flows back to them")


def _coarse(failing: Sequence[Pair]) -> Iterator[Hint]:
    """Whether they were rounded to a 16-bit dtype on the way, as the golden's were not."""
    for dtype in _COARSE:
        eps, told, share = float(torch.finfo(dtype).eps), 0, 0.0
        for one in failing:
            actual, expected = one.read()
            rounds = torch.equal(actual.to(dtype).double(), actual)
            near = float((actual - expected).norm()) <= eps * float(expected.norm())
            if not (rounds and near):
                break
            share = max(share, float((actual - expected).norm()) / float(expected.norm()))
            told += actual.numel() > 1 and not torch.equal(expected.to(dtype).double(), expected)
        else:
            if told:
                name = str(dtype).removeprefix("torch.")
                yield Hint(
                    Cause.PRECISION,
                    f"every value is one of {name}, in all of {_amount(len(failing))}, and the golden's are not: "
                    f"off by {number(share)}, where {name} rounds by {number(eps / 2)}",
                )
                return


# one parameter alone


def _turned(own: Sequence[Pair]) -> Iterator[Hint]:
    """Whether the first of them is the golden's transposed."""
    for one in own[:1]:
        actual, expected = one.read()
        name = one.name or one.site.path
        square = actual.dim() >= 2 and actual.shape[-1] == actual.shape[-2] > 1  # noqa: PLR2004  a matrix
        floor = one.floor(expected)
        if square and float((actual - expected.transpose(-1, -2)).norm()) <= FLOORS * floor:
            off = float((actual - expected.transpose(-1, -2)).norm()) / floor
            yield Hint(Cause.TRANSPOSE, f"the gradient of {name} is the golden's transposed ({within(off, 0.0)})")
        found = multiple([one])
        if found is not None:
            yield _hint(found, f"in the gradient of {name}", part=True)


# none at all


def detached_hints(
    cut: str, own: str, missing: Sequence[str], present: Sequence[str], ends: Mapping[str, int]
) -> tuple[Hint, ...]:
    """Where the gradient of everything below ``cut`` is cut off; ``own`` is the candidate's name of that.

    ``missing`` are parameters without a gradient that the golden has one for, ``present`` those with one, by the
    reference's names; ``ends`` gives the order in which module calls end.
    """
    below = [path for path in missing if cut in {ROOT, path} or path.startswith(f"{cut}.")]
    if not below or not present:  # then it is not known that backward was run
        return ()
    others = f"{amount(len(present), 'other')} {'has' if len(present) == 1 else 'have'} one"
    if cut in missing:
        return (Hint(Cause.DETACHED, f"{own} is used without its gradient (detach, no_grad, .data): {others}"),)
    last = max((_end(path, ends) for path in below), default=-1)
    after = [path for path in present if _end(path, ends) > last]
    count = amount(len(missing), "parameter")
    text = f"{count} {'has' if len(missing) == 1 else 'have'} no gradient, and {others}"
    if after and last >= 0:
        following = min(after, key=lambda path: _end(path, ends))
        text += (
            f": what {own} returns is cut off before {following.rpartition('.')[0] or ROOT} (detach, no_grad, .data)"
        )
    return (Hint(Cause.DETACHED, text),)


def _end(path: str, ends: Mapping[str, int]) -> int:
    """When the innermost module that was called, and holds a parameter, was done."""
    while path:
        path = path.rpartition(".")[0]
        if path in ends:
            return ends[path]
    return ends.get(ROOT, -1)
