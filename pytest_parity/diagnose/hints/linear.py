"""Linear hints: a sign, a factor, a bias, a residual: what is here is the reference's with something known added or left out."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

import torch

from pytest_parity.diagnose.hints.numbers import fitted, written
from pytest_parity.diagnose.hints.trial import FLOORS, Hypothesis, Trial
from pytest_parity.report.words import number, pair
from pytest_parity.result import Cause, Hint

__all__ = ["FITTED", "HYPOTHESES", "bessel"]

_ENOUGH = 32
"""Elements that one number is fitted to at least."""
_APART = 10.0
"""Floors of what a shift by one number would leave of a factor, and the reverse: where both fit, neither is told."""
_ALIKE = 1e-3
"""Of the norm, what is left of a tensor that is nearly a multiple of another."""
_WIDTH = 9
"""Of an embedding whose scale is told by its width."""
_ROWS = 8
_SEVERAL, _MANY = 2, 12
_PLACES = 3
"""Values that are cut off at least."""
_OUTSIDE = 0.25
_COUNT = 5
"""Numbers that a variance is of at least."""


def _sign(trial: Trial) -> Iterator[Hint]:
    if trial.fits and _spread(trial, 2 * trial.expected):
        yield from trial.told(Cause.SIGN, "with its sign turned it agrees", -trial.actual)


def _factor(trial: Trial) -> Iterator[Hint]:
    found = fitted(trial.actual, trial.expected) if trial.fits and trial.expected.numel() >= _ENOUGH else None
    if not found or not _spread(trial, (found - 1) * trial.expected):
        return
    form = written(found, FLOORS * trial.floor / float(trial.expected.norm()))
    left = None if form is None else trial.left(trial.actual / form.value)
    if form is None or left is None:
        return
    width, variance = _width(trial), bessel(trial, form.value)
    if variance:
        yield Hint(Cause.BATCHNORM, f"{variance} ({trial.support(left)})")
    elif width and isclose(abs(form.value), width**0.5):
        yield Hint(Cause.SCALE, f"it is multiplied by the square root of its width, {width}; the reference's is not")
    elif width and isclose(abs(form.value), width**-0.5):
        yield Hint(Cause.SCALE, f"it is not multiplied by the square root of its width, {width}, as the reference's is")
    else:
        yield Hint(Cause.FACTOR, f"it is {form.words} times the reference's, everywhere ({trial.support(left)})")


def bessel(trial: Trial, factor: float) -> str:
    """What is said of a factor that the variance makes by ``n`` or by ``n - 1``; empty where it is none of the sizes."""
    shape = trial.expected.shape
    counts = {*shape, *(trial.expected.numel() // size for size in shape)}
    for count in sorted(size for size in counts if size >= _COUNT):
        if isclose(factor**2, (count - 1) / count):
            return f"with the variance divided by n in place of n - 1 (n is {count}) it agrees"
        if isclose(factor**2, count / (count - 1)):
            return f"with the variance divided by n - 1 in place of n (n is {count}) it agrees"
    return ""


def _width(trial: Trial) -> int:
    """Of an embedding."""
    width = getattr(trial.module, "embedding_dim", 0) if trial.module is not None else 0
    return width if isinstance(width, int) and width >= _WIDTH else 0


def _spread(trial: Trial, change: torch.Tensor) -> bool:
    """Whether a change is so far from one number everywhere that no shift by one would do the same."""
    return float((change - change.mean()).norm()) > _APART * max(trial.floor, 1e-300)


def _shift(trial: Trial) -> Iterator[Hint]:
    """One number more or less, everywhere."""
    if not trial.fits or trial.expected.numel() < _ENOUGH or not _spread(trial, trial.expected):
        return
    found = float((trial.actual - trial.expected).mean())
    form = written(abs(found), FLOORS * trial.floor / trial.expected.numel() ** 0.5)
    if form is not None:
        which, by = ("more", form.value) if found > 0 else ("less", -form.value)
        yield from trial.told(
            Cause.BIAS, f"it is {form.words} {which} than the reference's, everywhere", trial.actual - by
        )


def _bias(trial: Trial) -> Iterator[Hint]:
    """A parameter that is added along one dimension, or as a table: missing, twice, or turned."""
    if trial.fits:
        for name, one in sorted(trial.parameters.items(), key=lambda item: "bias" not in item[0]):
            for added in _placed(one, trial.expected.shape):
                yield from _term(trial, Cause.BIAS, f"its {name}", added)


def _placed(one: torch.Tensor, shape: torch.Size) -> Iterator[torch.Tensor]:
    """A parameter as it may be added to a tensor of a shape."""
    if one.dim() == 1 and one.numel() > 1:
        for dim, size in enumerate(shape):
            if size == one.numel():
                yield one.reshape([-1 if place == dim else 1 for place in range(len(shape))]).expand(shape)
    elif one.dim() == 2 and len(shape) >= 2 and one.shape[1] == shape[-1] and one.shape[0] >= shape[-2] > 1:  # noqa: PLR2004
        yield one[: shape[-2]].expand(shape)
    elif one.dim() > 1 and one.dim() <= len(shape) and one.shape == shape[-one.dim() :]:
        yield one.expand(shape)


def _residual(trial: Trial) -> Iterator[Hint]:
    """Something that the module's code had at hand: not added, twice, or taken away."""
    if trial.fits:
        for name, one in trial.known.items():
            for added in _laid(one, trial.expected.shape):
                yield from _term(trial, Cause.RESIDUAL, name, added)


def _laid(one: torch.Tensor, shape: torch.Size) -> Iterator[torch.Tensor]:
    """A tensor as it may be added to one of a shape: itself, or the same along one dimension that it has not."""
    if one.shape == shape:
        yield one
    elif one.dim() == len(shape) - 1 > 1:
        for dim in range(len(shape)):
            if one.shape == (*shape[:dim], *shape[dim + 1 :]):
                yield one.unsqueeze(dim).expand(shape)
    elif one.dim() == len(shape) and all(own in {1, size} for own, size in zip(one.shape, shape, strict=True)):
        yield one.expand(shape)


def _cut(trial: Trial) -> Iterator[Hint]:
    """Cut off at the largest and the smallest of the other's values."""
    if not trial.fits or trial.expected.numel() < _ENOUGH:
        return
    low, high = float(trial.expected.min()), float(trial.expected.max())
    if _is_cut(trial.actual, low, high):
        text = f"with its values kept between {number(low)} and {number(high)} it agrees"
        yield from trial.told(Cause.CONSTANT, text, trial.actual.clamp(low, high))
    low, high = float(trial.actual.min()), float(trial.actual.max())
    left = trial.left(trial.expected.clamp(low, high), trial.actual) if _is_cut(trial.expected, low, high) else None
    if left is not None:
        text = f"its values are kept between {number(low)} and {number(high)}, the reference's are not"
        yield Hint(Cause.CONSTANT, f"{text} ({trial.support(left)})")


def _is_cut(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether some values are outside, and by far not all."""
    outside = int(((values < low) | (values > high)).sum())
    return low < high and _PLACES <= outside <= _OUTSIDE * values.numel()


def _term(trial: Trial, cause: Cause, name: str, added: torch.Tensor) -> Iterator[Hint]:
    if not _of_its_own(trial, added):
        return
    for times, words in ((1, "with {} added"), (-1, "with {} taken away"), (2, "with {} added twice")):
        yield from trial.told(cause, f"{words.format(name)} it agrees", trial.actual + times * added)


def _of_its_own(trial: Trial, added: torch.Tensor) -> bool:
    """Whether a term is more than noise, and neither a multiple of the whole nor one number everywhere."""
    size = float(added.norm())
    if not size > _APART * trial.floor or not float((added - added.mean()).norm()) > _ALIKE * size:
        return False
    times = fitted(added, trial.expected)
    return times is None or float((added - times * trial.expected).norm()) > _ALIKE * size


def _order(trial: Trial) -> Iterator[Hint]:
    """What is handed on is one of the things at hand, and should be another."""
    if not trial.fits or not _spread(trial, trial.expected):
        return
    ours = next((name for name, one in trial.known.items() if trial.left(one, trial.actual) is not None), "")
    for name, one in trial.known.items():
        left = trial.left(one) if ours and name != ours else None
        if left is not None:
            yield Hint(Cause.ORDER, f"it is {ours}; the reference's is {name} ({trial.support(left)})")


def _scaled_term(trial: Trial) -> Iterator[Hint]:
    """A residual by another factor."""
    if not trial.fits or trial.expected.numel() < _ENOUGH:
        return
    for name, one in trial.known.items():
        if one.shape != trial.expected.shape or not _of_its_own(trial, one):
            continue
        times = fitted(trial.expected - trial.actual, one)
        form = None if not times else written(times, FLOORS * trial.floor / float(one.norm()))
        if form is not None:
            added = f"{form.words} times {name} added"
            yield from trial.told(Cause.RESIDUAL, f"with {added} it agrees", trial.actual + form.value * one)


def _combined(trial: Trial) -> Iterator[Hint]:
    """Several of those at hand, each by a factor of its own: a sum that is missing as a whole."""
    alike = {name: one for name, one in trial.known.items() if one.shape == trial.expected.shape}
    names = [name for place, name in enumerate(alike) if not _again(list(alike.values()), place)][:_MANY]
    if not trial.fits or len(names) < _SEVERAL or trial.expected.numel() < _ENOUGH * len(names):
        return
    terms = torch.stack([alike[name].reshape(-1) for name in names])
    solved = torch.linalg.solve(terms @ terms.t(), terms @ (trial.expected - trial.actual).reshape(-1))
    forms = {}
    for name, times in zip(names, solved.tolist(), strict=True):
        open_by = 2 * FLOORS * trial.floor / float(alike[name].norm())
        if abs(times) > open_by:
            forms[name] = written(times, open_by)
    if not 1 < len(forms) <= _SEVERAL + 1 or None in forms.values():
        return
    other = trial.actual + sum(form.value * alike[name] for name, form in forms.items() if form is not None)
    told = " and ".join(_times(form.words, name) for name, form in forms.items() if form is not None)
    yield from trial.told(Cause.RESIDUAL, f"with {told} added it agrees", other)


def _times(words: str, name: str) -> str:
    return name if words == "1" else f"{words} times {name}"


def _again(tensors: list[torch.Tensor], place: int) -> bool:
    """Whether a tensor was there before."""
    return any(torch.equal(tensors[place], one) for one in tensors[:place])


def _channels(trial: Trial) -> Iterator[Hint]:
    """One number a channel, the same in every row, that is none of the parameters."""
    if not trial.fits or trial.expected.dim() < 2:  # noqa: PLR2004
        return
    difference = trial.actual - trial.expected
    for dim in {trial.expected.dim() - 1: None, 1: None}:
        others = [place for place in range(trial.expected.dim()) if place != dim]
        rows = trial.expected.numel() // max(trial.expected.shape[dim], 1)
        if rows < _ROWS or trial.expected.shape[dim] < 2:  # noqa: PLR2004
            continue
        shift = difference.mean(others, keepdim=True).expand(trial.expected.shape)
        if _varies(trial, others):
            largest = pair(float(shift.abs().max()), 0.0)[0]
            text = f"it is off by one number for each of dim {dim}, up to {largest}, the same in all {number(rows)} rows: a bias"
            yield from trial.told(Cause.BIAS, text, trial.actual - shift)


def _varies(trial: Trial, dims: list[int]) -> bool:
    """Whether the rows differ, so that a shift that they have in common says something."""
    centred = trial.expected - trial.expected.mean(dims, keepdim=True)
    return float(centred.norm()) > _APART * trial.floor + _ALIKE * float(trial.expected.norm())


HYPOTHESES: tuple[Hypothesis, ...] = (_sign, _order, _factor, _bias, _residual, _shift, _cut)
FITTED: tuple[Hypothesis, ...] = (_scaled_term, _combined, _channels)
