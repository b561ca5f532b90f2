"""Rotary positions: the angles are read off what is here, and put to an input in the other convention."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pytest_parity.diagnose.hints.trial import Hypothesis, Trial
from pytest_parity.result import Cause, Hint

__all__ = ["HYPOTHESES"]

_LAYOUTS = ("half-split", "interleaved")
_STEPS = 3
_ROWS = 2
_TURN = 1e-3
"""The largest angle, at least."""


def _rotary(trial: Trial) -> Iterator[Hint]:
    """Here an input turned in one convention, in the reference in the other, or by other angles of the same."""
    if not trial.fits or trial.expected.dim() < 3 or trial.expected.shape[-1] % 2:  # noqa: PLR2004
        return
    for value in trial.known.values():
        if value.shape == trial.expected.shape:
            for layout in _LAYOUTS:
                for dim in range(value.dim() - 1):
                    yield from _turned(trial, value, layout, dim)


def _turned(trial: Trial, value: torch.Tensor, layout: str, dim: int) -> Iterator[Hint]:
    """With time along ``dim``: an angle for each step and pair, the same for all others."""
    if value.shape[dim] < _STEPS or value.numel() // value.shape[-1] // value.shape[dim] < _ROWS:
        return
    before, after = _pairs(value, layout), _pairs(trial.actual, layout)
    others = [place for place in range(value.dim() - 1) if place != dim]
    angle = (after * before.conj()).sum(others, keepdim=True)
    turn = angle / angle.abs().clamp_min(1e-300)
    if trial.left(_whole(before * turn, layout), trial.actual) is None or float(turn.angle().abs().max()) < _TURN:
        return
    other = next(one for one in _LAYOUTS if one != layout)
    pairs = _pairs(value, other)
    text = f"turned in {other} pairs in place of {layout} ones it agrees"
    yield from trial.told(Cause.ROTARY, text, _whole(pairs * turn, other))
    yield from trial.told(Cause.ROTARY, "turned the other way round it agrees", _whole(before * turn.conj(), layout))
    for by, word in ((1, "later"), (-1, "earlier")):
        ours = _whole(before * turn.roll(-by, dim), layout).narrow(dim, 0 if by > 0 else 1, value.shape[dim] - 1)
        theirs = trial.expected.narrow(dim, 0 if by > 0 else 1, value.shape[dim] - 1)
        left = trial.left(ours, theirs)
        if left is not None:
            text = f"turned by the angles of one position {word} it agrees ({trial.support(left)})"
            yield Hint(Cause.SHIFT, text)


def _pairs(value: torch.Tensor, layout: str) -> torch.Tensor:
    """As complex numbers."""
    if layout == "half-split":
        first, second = value.chunk(2, -1)
        return torch.complex(first.contiguous(), second.contiguous())
    return torch.view_as_complex(value.reshape(*value.shape[:-1], -1, 2).contiguous())


def _whole(pairs: torch.Tensor, layout: str) -> torch.Tensor:
    if layout == "half-split":
        return torch.cat((pairs.real, pairs.imag), -1)
    return torch.view_as_real(pairs).flatten(-2)


HYPOTHESES: tuple[Hypothesis, ...] = (_rotary,)
