"""Masks: inverted, missing, or off by one, seen in the values themselves."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pytest_parity.diagnose.hints.trial import Hypothesis, Trial
from pytest_parity.report.words import amount
from pytest_parity.result import Cause, Hint

__all__ = ["HYPOTHESES"]

_ROWS = 2
_STEPS = 4
_FAR = 10.0
"""Floors of each position that is off."""
_VARIED = 0.02
"""Of a mask, the share of each of its two values at least."""


def _boolean(trial: Trial) -> Iterator[Hint]:
    """A boolean tensor that is the reference's inverted, moved by one, or cut along another diagonal."""
    ours, theirs = trial.specimen.actual.cpu(), trial.specimen.expected.cpu()
    if ours.dtype is not torch.bool or theirs.dtype is not torch.bool or ours.shape != theirs.shape:
        return
    if not _varied(theirs):
        return
    if torch.equal(~ours, theirs):
        yield Hint(Cause.MASK, f"it is the reference's inverted, in all of {amount(ours.numel(), 'element')}")
    for dim in range(ours.dim()):
        for by in (1, -1) if ours.shape[dim] >= _STEPS else ():
            if torch.equal(_inside(ours, dim, -by), _inside(theirs, dim, by)):
                which = "later" if by < 0 else "earlier"
                yield Hint(Cause.MASK, f"its boundary is one {which} along dim {dim} than the reference's")


def _inside(value: torch.Tensor, dim: int, by: int) -> torch.Tensor:
    """All but the first (``by`` 1) or the last (-1)."""
    size = value.shape[dim] - 1
    return value.narrow(dim, 1 if by > 0 else 0, size)


def _varied(mask: torch.Tensor) -> bool:
    share = float(mask.double().mean())
    return _VARIED <= share <= 1 - _VARIED


def _masks(trial: Trial) -> Iterator[tuple[str, torch.Tensor, torch.Tensor | None]]:
    """Boolean inputs as they lie over the values, true where something is valid or is not, and lengths of a batch."""
    shape = trial.expected.shape
    for name, one in {**trial.specimen.inputs, **trial.specimen.context}.items():
        if one.dtype is torch.bool and 0 < one.dim() <= len(shape) and _varied(one):
            for placed in _placed(one.cpu(), shape):
                yield name, placed, None
        elif _are_lengths(one, shape):
            lengths = one.cpu().long()
            for dim in range(1, len(shape)):
                if shape[dim] >= max(int(lengths.max()), _STEPS):
                    valid = torch.arange(shape[dim])[None] < lengths[:, None]
                    view = [shape[0], *(shape[dim] if place == dim else 1 for place in range(1, len(shape)))]
                    yield name, valid.reshape(view).expand(shape), lengths


def _are_lengths(one: torch.Tensor, shape: torch.Size) -> bool:
    if one.dim() != 1 or not shape or one.shape[0] != shape[0] or one.is_complex() or one.dtype is torch.bool:
        return False
    return not one.is_floating_point() and bool((one > 0).all())


def _placed(mask: torch.Tensor, shape: torch.Size) -> Iterator[torch.Tensor]:
    """Over the first dimensions, or as broadcasting lays it."""
    leading = mask.reshape(*mask.shape, *[1] * (len(shape) - mask.dim()))
    for one in (leading, mask):
        sizes = zip(reversed(one.shape), reversed(shape), strict=False)
        if all(own in {1, size} for own, size in sizes):
            yield one.expand(shape)


def _applied(trial: Trial) -> Iterator[Hint]:
    """Zeros where an input's mask says so: on one side alone, or where the other has them not."""
    if not trial.fits:
        return
    for name, mask, lengths in _masks(trial):
        for valid, word in ((mask, "False"), (~mask, "True")):
            yield from _zeros(trial, valid, f"where {name} is {word}" if lengths is None else f"beyond {name}")
            if lengths is not None:
                break


def _zeros(trial: Trial, valid: torch.Tensor, where: str) -> Iterator[Hint]:
    ours, theirs = bool(trial.actual[~valid].any()), bool(trial.expected[~valid].any())
    if ours and not theirs:
        yield from trial.told(Cause.MASK, f"set to 0 {where} it agrees", torch.where(valid, trial.actual, 0.0))
    elif theirs and not ours:
        left = trial.left(torch.where(valid, trial.expected, 0.0), trial.actual)
        if left is not None:
            yield Hint(Cause.MASK, f"it is 0 {where}, and the reference's is not ({trial.support(left)})")
        elif trial.actual[valid].any() and not trial.expected[valid].any():
            yield Hint(Cause.MASK, f"it is 0 {where}, and the reference's everywhere else: inverted")


def _boundary(trial: Trial) -> Iterator[Hint]:
    """The only positions that differ are the last valid ones, or the first that are not, of every row."""
    if not trial.fits or trial.expected.dim() < 2:  # noqa: PLR2004
        return
    for name, valid, lengths in _masks(trial):
        if lengths is None or len(set(lengths.tolist())) < _ROWS:
            continue
        dim = next(place for place in range(1, valid.dim()) if valid.stride(place))
        others = [place for place in range(1, valid.dim()) if place != dim]
        square = (trial.actual - trial.expected).square()
        error = square.sum(others) if others else square
        for by, words in ((0, "the first position behind"), (-1, "the last position of")):
            rows = _alone(error, lengths + by, trial.floor)
            if rows:
                text = f"it differs at {words} {name} alone, in all of {amount(rows, 'row')}: off by one"
                yield Hint(Cause.MASK, text)


def _alone(error: torch.Tensor, at: torch.Tensor, floor: float) -> int:
    """In how many rows the errors are at one position each, and nowhere else; 0 where that is not so."""
    inside = at < error.shape[1]
    places = torch.arange(len(at))[inside], at[inside]
    rest, wrong = error.clone(), error[places].sqrt()
    rest[places] = 0
    if len(set(at[inside].tolist())) < _ROWS or not float(rest.sum().sqrt()) <= floor:
        return 0
    return int(inside.sum()) if bool((wrong > _FAR * floor).all()) else 0


HYPOTHESES: tuple[Hypothesis, ...] = (_boolean, _boundary, _applied)
