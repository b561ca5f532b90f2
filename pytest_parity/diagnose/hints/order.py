"""Order: transposed, flipped, shifted, in another layout or another order of channels, heads, rows or steps in time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from math import prod

import torch

from pytest_parity.diagnose.hints.trial import FLOORS, Hypothesis, Trial
from pytest_parity.report.words import amount
from pytest_parity.result import Cause, Hint

__all__ = ["MATCHED", "WHOLE", "matching", "pattern"]

_PAIR = 2
_DIMS = 5
_LONGEST = 2048
"""Slices along a dimension that are matched."""
_SIGNS = 16
"""Numbers that a slice is recognised by."""
_SHORTEST = 4
_ROTARY = ("rot", "rope", "q_proj", "k_proj", "wq", "wk", "query", "key", "qkv")


def _transposed(trial: Trial) -> Iterator[Hint]:
    """Its dimensions in another order."""
    shape, goal = trial.actual.shape, trial.expected.shape
    if not 1 < len(shape) <= _DIMS or sorted(shape) != sorted(goal):
        return
    plain = tuple(range(len(shape)))
    swaps = sorted(permutations(plain), key=lambda order: sum(a != b for a, b in zip(order, plain, strict=True)))
    for order in swaps:
        moved = [place for place, other in enumerate(order) if place != other and shape[place] > 1]
        if order == plain or not moved or [shape[place] for place in order] != list(goal):
            continue
        text = f"with its dimensions in the order {order} it agrees"
        if len(moved) == _PAIR:
            text = f"with dims {moved[0]} and {moved[1]} transposed it agrees"
        yield from trial.told(Cause.TRANSPOSE, text, trial.actual.permute(order))


def _moved(trial: Trial) -> Iterator[Hint]:
    """Rolled or shifted by one along a dimension, or flipped."""
    if not trial.sortable:
        return
    for dim, size in enumerate(trial.actual.shape):
        if size < _PAIR:
            continue
        for by in (1, -1):
            text = f"rolled by {by} along dim {dim} it agrees"
            yield from trial.told(Cause.SHIFT if size > _PAIR else Cause.PERMUTATION, text, trial.actual.roll(by, dim))
        yield from trial.told(Cause.PERMUTATION, f"flipped along dim {dim} it agrees", trial.actual.flip(dim))


def _shifted(trial: Trial) -> Iterator[Hint]:
    """All but the first or the last are those beside them; the one at the end is another's."""
    if trial.actual.shape != trial.expected.shape or not trial.fits:
        return
    for dim, size in enumerate(trial.actual.shape):
        if size < _SHORTEST or not _changes(trial, dim):
            continue
        for by, word in ((1, "later"), (-1, "earlier")):
            ours = trial.actual.narrow(dim, 1 if by > 0 else 0, size - 1)
            theirs = trial.expected.narrow(dim, 0 if by > 0 else 1, size - 1)
            left = trial.left(ours, theirs)
            if left is not None:
                text = f"it is the reference's, one {word} along dim {dim}, in {size - 1} of {size} places"
                yield Hint(Cause.SHIFT, f"{text} ({trial.support(left)})")


def _changes(trial: Trial, dim: int) -> bool:
    """Whether neighbours differ at all."""
    size = trial.expected.shape[dim] - 1
    step = trial.expected.narrow(dim, 1, size) - trial.expected.narrow(dim, 0, size)
    return float(step.norm()) > 10 * FLOORS * trial.floor


def _cut(trial: Trial) -> Iterator[Hint]:
    """Longer or shorter along one dimension, and else the same."""
    shape, goal = trial.actual.shape, trial.expected.shape
    if len(shape) != len(goal) or not trial.expected.is_floating_point():
        return
    dims = [dim for dim in range(len(shape)) if shape[dim] != goal[dim]]
    if len(dims) != 1 or min(shape[dims[0]], goal[dims[0]]) < _SHORTEST:
        return
    (dim,) = dims
    more, size = shape[dim] - goal[dim], min(shape[dim], goal[dim])
    longer = trial.actual if more > 0 else trial.expected
    whole = trial.expected if more > 0 else trial.actual
    for start, word in ((0, "last"), (abs(more), "first")):
        left = trial.left(longer.narrow(dim, start, size), whole)
        if left is not None:
            what = (
                f"without the {word} {abs(more)}"
                if more > 0
                else f"with {abs(more)} more at the {'end' if start == 0 else 'start'}"
            )
            yield Hint(Cause.PADDING, f"{what} along dim {dim} it agrees ({trial.support(left)})")


def _layout(trial: Trial) -> Iterator[Hint]:
    """Heads joined without being transposed back, and the reverse: a view for a transpose."""
    shape = trial.actual.shape
    if len(shape) <= _PAIR or not trial.sortable:
        return
    *lead, steps, width = shape
    for heads in (count for count in range(2, min(width, 64) + 1) if width % count == 0):
        split = trial.actual.reshape(*lead, heads, steps, width // heads).transpose(-2, -3).reshape(shape)
        text = f"viewed as {heads} heads, and dims 1 and 2 transposed before they are joined, it agrees"
        yield from trial.told(Cause.TRANSPOSE, text, split)
        split = trial.actual.reshape(*lead, steps, heads, width // heads).transpose(-2, -3).reshape(shape)
        yield from trial.told(
            Cause.TRANSPOSE, f"with its {heads} heads before the steps when they are joined it agrees", split
        )


def _matched(trial: Trial) -> Iterator[Hint]:
    """Slices along one dimension that are each another one of the reference's."""
    if not trial.sortable:
        return
    for dim in sorted(range(trial.actual.dim()), reverse=True):
        size = trial.actual.shape[dim]
        if not 1 < size <= _LONGEST or prod(trial.actual.shape) // size < _SHORTEST:
            continue
        found = matching(
            trial.actual.movedim(dim, 0).reshape(size, -1), trial.expected.movedim(dim, 0).reshape(size, -1)
        )
        if found is not None:
            words, rotary = pattern(found)
            cause = Cause.ROTARY if rotary and _turns(trial) else Cause.PERMUTATION
            yield from trial.told(
                cause, f"along dim {dim} {words}: in that order it agrees", trial.actual.index_select(dim, found)
            )


def matching(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor | None:
    """For each of the reference's slices the place of ours that is like it, where that is one to one."""
    draw = torch.Generator().manual_seed(0)
    plane = torch.randn(ours.shape[1], _SIGNS, generator=draw, dtype=torch.float64)
    near = torch.cdist(theirs @ plane, ours @ plane, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    return near if len(set(near.tolist())) == len(near) else None


def _turns(trial: Trial) -> bool:
    """Whether that is where rotary positions, or the queries and keys that they turn, come from."""
    words = f"{trial.specimen.path} {type(trial.module).__name__}".lower()
    return any(part in words for part in _ROTARY)


def pattern(order: torch.Tensor) -> tuple[str, bool]:
    """What order that is, in words; and whether it is the one between interleaved pairs and halves."""
    size, plain = len(order), torch.arange(len(order))
    moved = int((order != plain).sum())
    if moved == _PAIR:
        one, other = (int(place) for place in (order != plain).nonzero().reshape(-1))
        return f"{one} and {other} are swapped", False
    by = int(order[0])
    if torch.equal(order, plain.roll(-by)):
        return f"it is rolled by {by} of {size}", False
    for block in (count for count in range(2, size // 2 + 1) if size % count == 0):
        turned = plain.reshape(block, -1).t().reshape(-1)
        if torch.equal(order, turned):
            pairs = _PAIR in {block, size // block}
            return f"it is laid out as {size // block} by {block}, for {block} by {size // block}", pairs
    blocks = [count for count in range(2, size // 2 + 1) if size % count == 0]
    for block in reversed(blocks):
        inner = order.reshape(-1, block)
        if torch.equal(inner, inner[:, :1] // block * block + torch.arange(block)):
            return f"its {size // block} blocks of {block} stand in another order", False
    for block in blocks:
        inner, starts = order.reshape(-1, block), torch.arange(0, size, block)[:, None]
        if torch.equal(inner, starts + inner[0]) and set(inner[0].tolist()) == set(range(block)):
            words, rotary = pattern(inner[0])
            return f"in each block of {block} {words}", rotary
    return f"{amount(moved, 'slice')} of {size} stand in another order", False


WHOLE: tuple[Hypothesis, ...] = (_transposed, _moved, _cut, _layout)
MATCHED: tuple[Hypothesis, ...] = (_matched, _shifted)
