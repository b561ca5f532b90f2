"""Unlike: how two tensors that are not the same bit for bit differ: dtype, padding, shape or content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import torch

from pytest_parity.compare.dtypes import EXACT, bits, dtype_name, rounding, same_bits
from pytest_parity.compare.padding import padding_between
from pytest_parity.result import Content, DataFault, Leaf, LeafDifference, Plain

__all__ = ["described", "difference", "same"]

Array = np.ndarray[Any, Any]

_FEW = 16
"""Units in the last place of the largest magnitude that decoding, resampling or a sum in another order may move by."""
_GAIN_ROUNDINGS = 4
_RANKS = 5
"""Tensors of more dimensions are not tried in every order of them."""


def same(here: torch.Tensor, golden: torch.Tensor) -> bool:
    """Whether two contiguous tensors on the CPU have one dtype, one shape and the same bits."""
    return here.dtype == golden.dtype and here.shape == golden.shape and same_bits(here.view(-1), golden.view(-1))


def described(path: str, tensor: torch.Tensor) -> Leaf:
    """A tensor's path, dtype and shape."""
    return Leaf(path, dtype_name(tensor.dtype), tuple(tensor.shape))


def difference(
    here: tuple[str, torch.Tensor], golden: tuple[str, torch.Tensor], lengths: Sequence[torch.Tensor] = ()
) -> LeafDifference | None:
    """How two contiguous tensors on the CPU differ; ``None`` where they are the same.

    The first of these that holds: the same values in another dtype, the same values in another padding (``lengths``:
    see ``padding_between``), another shape, other content.
    """
    ours, theirs = here[1], golden[1]
    if same(ours, theirs):
        return None
    leaves = described(*here), described(*golden)
    if ours.shape == theirs.shape and ours.dtype != theirs.dtype and _equal_after_cast(ours, theirs):
        return LeafDifference(DataFault.DTYPE, *leaves)
    padding = padding_between(ours, theirs, lengths) if ours.dtype == theirs.dtype else None
    if padding is not None:
        return LeafDifference(DataFault.PADDING, *leaves, padding=padding, dim=_uneven(ours, theirs))
    if ours.shape != theirs.shape:
        dim, arrangement = _uneven(ours, theirs), _arrangement(ours, theirs)
        return LeafDifference(DataFault.SHAPE, *leaves, dim=dim, arrangement=arrangement)
    content = _content(ours, theirs)
    if not content.mismatched:  # beyond what either dtype holds
        return LeafDifference(DataFault.DTYPE, *leaves)
    return LeafDifference(DataFault.CONTENT, *leaves, content=content)


def _equal_after_cast(here: torch.Tensor, golden: torch.Tensor) -> bool:
    """Whether one of two floating tensors is the other, rounded; others must be the same both ways."""
    if here.is_complex() != golden.is_complex():
        real, other = (golden, here) if here.is_complex() else (here, golden)
        return bool(((other == real.to(other.dtype)) | (other.isnan() & real.isnan())).all())
    directions = [_cast_is(here, golden), _cast_is(golden, here)]
    return any(directions) if not {here.dtype, golden.dtype} & EXACT else all(directions)


def _cast_is(one: torch.Tensor, other: torch.Tensor) -> bool:
    cast = one.to(other.dtype)
    if other.dtype in EXACT:
        return same(cast, other)
    wide = torch.complex128 if other.is_complex() else torch.float64
    cast, other = cast.to(wide), other.to(wide)
    return bool(((cast == other) | (cast.isnan() & other.isnan())).all())


def _uneven(here: torch.Tensor, golden: torch.Tensor) -> int | None:
    """The dimension whose sizes differ, where it is one."""
    if here.dim() != golden.dim():
        return None
    dims = [dim for dim in range(here.dim()) if here.shape[dim] != golden.shape[dim]]
    return dims[0] if len(dims) == 1 else None


def _arrangement(here: torch.Tensor, golden: torch.Tensor) -> str:
    """What is proved of two tensors of different shapes: see ``LeafDifference.arrangement``."""
    if here.dtype != golden.dtype:
        return ""
    if here.numel() == golden.numel() > 1:
        if same_bits(here.view(-1), golden.view(-1)):
            return "reshaped"
        orders = permutations(range(golden.dim())) if here.dim() == golden.dim() <= _RANKS else ()
        turned = (golden.permute(order) for order in orders)
        return "transposed" if any(same(here, one.contiguous()) for one in turned if one.shape == here.shape) else ""
    dim = _uneven(here, golden)
    if dim is None:
        return ""
    shorter, longer = sorted((here, golden), key=lambda one: one.shape[dim])
    count, whole = shorter.shape[dim], longer.shape[dim]
    for name, start in (("beginning", 0), ("end", whole - count)):
        if shorter.numel() and same(shorter, longer.narrow(dim, start, count).contiguous()):
            return name
    return ""


@np.errstate(all="ignore")
def _content(here: torch.Tensor, golden: torch.Tensor) -> Content:
    ours, theirs = _wide(here), _wide(golden)
    if here.dtype == golden.dtype:
        wrong = (bits(here) != bits(golden)).any(1).numpy()
    else:
        wrong = (ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))
    first = int(wrong.argmax())
    finite = np.isfinite(ours) & np.isfinite(theirs)
    rows = here.shape[0] if here.dim() else 1
    distance = np.abs(_apart(ours, theirs, wrong & finite).astype(np.float64))
    largest = float(distance.max(initial=0.0))
    return Content(
        elements=here.numel(),
        mismatched=int(wrong.sum()),
        rows=rows,
        rows_mismatched=int(wrong.reshape(rows, -1).any(1).sum()) if rows else 0,
        nonfinite=int((wrong & ~finite).sum()),
        max_abs=largest,
        index=tuple(int(one) for one in np.unravel_index(first, tuple(here.shape))),
        here=_plain(here.view(-1)[first]),
        golden=_plain(golden.view(-1)[first]),
        **_character(here.dtype, golden.dtype, ours, theirs, wrong, finite=bool(finite.all()), largest=largest),
    )


def _wide(tensor: torch.Tensor) -> Array:
    """Flat, in a dtype that numpy has and in which differences can be taken."""
    flat = tensor.view(-1)
    if flat.is_complex():
        return flat.to(torch.complex128).numpy()
    if flat.dtype not in EXACT:
        return flat.to(torch.float64).numpy()
    values: Array = (flat if flat.dtype is torch.uint64 else flat.to(torch.int64)).numpy()
    return values


def _apart(ours: Array, theirs: Array, where: Array) -> Array:
    """``ours - theirs`` at some places: moduli of complex numbers, exact of integers."""
    one, other = ours[where], theirs[where]
    if np.uint64 in (one.dtype, other.dtype) or (one.dtype == other.dtype == np.int64 and _beyond(one, other)):
        one, other = one.astype(object), other.astype(object)
    apart: Array = one - other
    return np.hypot(apart.real, apart.imag) if np.iscomplexobj(apart) else apart


def _beyond(*values: Array) -> bool:
    """Whether a difference of these integers may not fit 64 bits."""
    return any(one.size and (one.min() < -(2**62) or one.max() >= 2**62) for one in values)


def _character(
    here: torch.dtype, golden: torch.dtype, ours: Array, theirs: Array, wrong: Array, *, finite: bool, largest: float
) -> dict[str, Any]:
    """Gain, ulps and shift, as far as they say all of it."""
    if here.is_complex or golden.is_complex or torch.bool in {here, golden} or not finite:
        return {}
    found: dict[str, Any] = {}
    if {here, golden} <= EXACT:
        apart = _apart(ours, theirs, wrong)
        if len(apart) > 1 and (apart == apart[0]).all():
            found["shift"] = int(apart[0])
    else:
        eps = max(rounding(here), rounding(golden))
        peak = float(np.abs(theirs.astype(np.float64)).max(initial=0.0))
        found["ulps"] = _ulps(largest, peak, eps)
    if not any(value is not None for value in found.values()):
        found["gain"] = _gain(ours.astype(np.float64), theirs.astype(np.float64), max(rounding(here), rounding(golden)))
    return found


def _ulps(largest: float, peak: float, eps: float) -> float | None:
    if peak == 0 or largest == 0:
        return None
    unit = math.ldexp(eps, math.frexp(peak)[1] - 1)
    return largest / unit if unit and largest <= _FEW * unit else None


def _gain(ours: Array, theirs: Array, eps: float) -> float | None:
    """The factor between two tensors, where at least two magnitudes show that it is one."""
    sizes = np.abs(theirs[theirs != 0])
    if not len(sizes) or (sizes == sizes[0]).all():
        return None
    top = sizes.max()
    gain = float(np.dot(ours, theirs / top) / np.dot(theirs, theirs / top))
    if not math.isfinite(gain) or gain == 0:
        return None
    far = np.abs(ours - gain * theirs) > _GAIN_ROUNDINGS * eps * np.abs(gain * theirs)
    return None if far.any() else gain


def _plain(value: torch.Tensor) -> Plain:
    item = value.item()
    return str(item) if isinstance(item, complex) else item
