"""Vacant: tensors that agree, and prove nothing: they have no element, or none that is finite."""

from __future__ import annotations

from dataclasses import replace

import torch

from pytest_parity.compare.judge import Outcome
from pytest_parity.compare.region import Region
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.result import Verdict
from pytest_parity.site import Kind

__all__ = ["all_nonfinite", "emptied", "finite", "hollow", "nonfinite"]

_ENDS = frozenset({Kind.OUTPUT, Kind.LOSS, Kind.GRADIENT})
"""Where a NaN ends up that arises anywhere in a step: these are looked through, the rest would cost a pass of its own."""


def emptied(entry: Entry, outcome: Outcome) -> Outcome:
    """``empty`` in the place of ``equal`` where the tensors have no element."""
    if entry.nbytes or entry.dtype == NONE or outcome.verdict.fails:
        return outcome
    return replace(
        outcome, verdict=Verdict.EMPTY, detail=f"no element (shape {entry.shape}), here and in the reference"
    )


def all_nonfinite(value: torch.Tensor) -> bool:
    """Whether nothing of a floating tensor that has elements is finite."""
    value = value.detach()
    if not value.numel() or not (value.is_floating_point() or value.is_complex()) or finite(value):
        return False
    return not bool(torch.isfinite(_wide(value)).any())


def hollow(outcome: Outcome, total: int) -> Outcome:
    """``empty`` in the place of ``equal`` where none of all ``total`` elements is finite."""
    detail = f"no finite element (of {total:,}), here and in the reference"
    return replace(outcome, verdict=Verdict.EMPTY, detail=detail, elements=0)


def nonfinite(entry: Entry, value: torch.Tensor | None, outcome: Outcome, region: Region | None) -> tuple[int, int]:
    """How many elements of an output, a loss or a gradient that agrees are not finite, and of how many."""
    if value is None or outcome.verdict.fails or entry.site.kind not in _ENDS or not value.numel():
        return 0, 0
    value = value.detach()
    if not (value.is_floating_point() or value.is_complex()) or finite(value):
        return 0, 0
    value = value.to_dense() if value.layout is not torch.strided else value
    chosen = value if region is None else value[region.mask(value.shape).to(value.device)]
    return int((~torch.isfinite(_wide(chosen))).sum()), chosen.numel()


def finite(value: torch.Tensor) -> bool:
    """Whether everything is finite for certain: the sum of what holds a NaN or an infinity is neither."""
    return bool(torch.isfinite(_wide(value).sum()))


def _wide(value: torch.Tensor) -> torch.Tensor:
    """Half precision overflows in a sum, and float8 has none."""
    return value if value.is_complex() or value.dtype is torch.float64 else value.float()
