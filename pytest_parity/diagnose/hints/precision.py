"""Precision: values that were rounded to bfloat16, float16 or TF32 on one side, itself or what they were computed of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from pytest_parity.diagnose.hints.trial import Hypothesis, Trial
from pytest_parity.report.words import number
from pytest_parity.result import Cause, Hint

__all__ = ["HYPOTHESES", "ROUNDED", "tf32"]

Rounding = Callable[[torch.Tensor], torch.Tensor]

_ENOUGH = 64
_ALL = 0.999
_FEW = 0.5
_WIDE = (torch.float32, torch.float64)
_DROPPED = 13
"""Bits of a float32's 23 that TF32 has not."""


def tf32(value: torch.Tensor) -> torch.Tensor:
    """A float32 rounded to the 10 bits that TF32 multiplies with, to the nearest."""
    words = value.float().contiguous().view(torch.int32)
    half = 1 << (_DROPPED - 1)
    return ((words + half) & ~((1 << _DROPPED) - 1)).view(torch.float32).to(value.dtype)


_ROUNDINGS: dict[str, Rounding] = {
    "bfloat16": lambda value: value.bfloat16().to(value.dtype),
    "float16": lambda value: value.half().to(value.dtype),
    "TF32": tf32,
}
_FLOAT32: Rounding = lambda value: value.float().to(value.dtype)  # noqa: E731


def _rounded(trial: Trial) -> Iterator[Hint]:
    """Every value of one side has few digits, those of the other have not, and rounded they are the same."""
    mine = trial.specimen
    if not trial.fits or mine.actual.dtype not in _WIDE or mine.actual.numel() < _ENOUGH:
        return
    found = dict(_ROUNDINGS)
    if mine.actual.dtype is torch.float64:
        found["float32"] = _FLOAT32
    for one, other, whose in (
        (mine.actual, mine.expected, "it is the reference's, rounded to"),
        (mine.expected, mine.actual, "the reference's is this, rounded to"),
    ):
        low, high = one.detach().cpu(), other.detach().cpu()
        shares = {name: share for name, rounding in found.items() if (share := _agreement(low, high, rounding))}
        if shares:
            agreed = number(100 * min(shares.values()))
            yield Hint(Cause.PRECISION, f"{whose} {' or '.join(shares)}: {agreed} % of the values, bit for bit")


def _agreement(one: torch.Tensor, other: torch.Tensor, rounding: Rounding) -> float | None:
    """The share of ``other`` that, rounded, is ``one``; ``None`` where too few are, or ``other`` is rounded as well."""
    telling = other != 0
    if int(telling.sum()) < _ENOUGH or not bool((rounding(one) == one).all()):
        return None
    if float((rounding(other) == other)[telling].double().mean()) > _FEW:
        return None
    share = float((rounding(other) == one).double().mean())
    return share if share >= _ALL else None


def _operands(trial: Trial) -> Iterator[Hint]:
    """A linear module or a convolution of operands that were rounded first, as TF32 and autocast do."""
    module, value = trial.module, next(iter(trial.specimen.inputs.values()), None)
    if value is None or not trial.fits or value.dtype not in _WIDE:
        return
    run = _product(module)
    if run is None or run(value, lambda one: one).shape != trial.expected.shape:
        return
    if trial.left(run(value, lambda one: one).double().cpu()) is None:
        return
    names = [name for name, one in _ROUNDINGS.items() if _is_near(trial, run(value, one).double().cpu(), one)]
    if names:
        text = f"it is computed of operands rounded to {' or '.join(names)}, the reference's of whole ones"
        yield Hint(Cause.PRECISION, text)


def _is_near(trial: Trial, found: torch.Tensor, rounding: Rounding) -> bool:
    """Whether a product of rounded operands is what is here, up to the rounding of the product itself."""
    if trial.left(found, trial.actual) is not None:
        return True
    return trial.left(rounding(found.float()).double(), trial.actual) is not None


def _product(module: torch.nn.Module | None) -> Callable[[torch.Tensor, Rounding], torch.Tensor] | None:
    if isinstance(module, torch.nn.Linear):
        return lambda value, rounding: functional.linear(rounding(value), rounding(module.weight), module.bias)
    if isinstance(module, torch.nn.modules.conv._ConvNd) and not module.transposed:  # noqa: SLF001
        forward = module._conv_forward  # noqa: SLF001
        return lambda value, rounding: forward(rounding(value), rounding(module.weight), module.bias)
    return None


ROUNDED: tuple[Hypothesis, ...] = (_rounded,)
HYPOTHESES: tuple[Hypothesis, ...] = (_operands,)
