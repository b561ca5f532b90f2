"""Dtypes: their names on disk, how their values are compared, and their bits."""

from __future__ import annotations

import torch

__all__ = ["EXACT", "bits", "dtype_name", "is_exact", "rounding", "same_bits", "screen_dtype", "smallest"]

_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}

EXACT = frozenset(dtype for dtype in _NAMES if not dtype.is_floating_point and not dtype.is_complex)
"""Integers and booleans: no tolerance applies to them."""

_SCREENED = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}
_WORD = 4
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``, as a golden writes it."""
    return _NAMES[dtype]


def is_exact(actual: torch.dtype, expected: torch.dtype) -> bool:
    """Whether a pair is compared exactly: both sides are integers or booleans."""
    return actual in EXACT and expected in EXACT


def screen_dtype(dtype: torch.dtype) -> torch.dtype | None:
    """The dtype in which the cheap pass compares values of ``dtype``; ``None`` where there is no cheap pass."""
    return _SCREENED.get(dtype)


def rounding(dtype: torch.dtype) -> float:
    """The distance from 1 to the next number of a floating dtype; 0 for the exact ones."""
    return 0.0 if dtype in EXACT else float(torch.finfo(dtype).eps)


def smallest(dtype: torch.dtype, *, flushed: bool = False) -> float:
    """The distance from 0 to the next number of a floating dtype; 0 for the exact ones.

    ``flushed``: to the next *normal* one. Some kernels make zero of what is between, and others do not; those of float16
    compute in float32, and keep it.
    """
    if dtype in EXACT:
        return 0.0
    limits = torch.finfo(dtype)
    normal = float(limits.smallest_normal)
    return normal if flushed and dtype is not torch.float16 else normal * float(limits.eps)


def same_bits(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two flat, contiguous tensors of one dtype hold the same bits.

    Compared as 32-bit integers where the memory allows it: the fastest comparison that torch has for every width, one
    in which a NaN equals itself and ``-0.0`` is not ``0.0``.
    """
    word = torch.int32 if _in_words(actual) and _in_words(expected) else torch.uint8
    return torch.equal(actual.view(word), expected.view(word))


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The elements' bits of a contiguous tensor as integers, ``(elements, 1)``, or ``(elements, 2)`` of 128 bits: a view."""
    word = _WORDS[min(tensor.element_size(), 8)]
    return tensor.view(-1).view(word).view(tensor.numel(), tensor.element_size() // word.itemsize)


def _in_words(flat: torch.Tensor) -> bool:
    size = flat.element_size()
    return size % _WORD == 0 or ((flat.numel() * size) % _WORD == 0 and (flat.storage_offset() * size) % _WORD == 0)
