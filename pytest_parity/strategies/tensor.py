"""Tensors of any shape, dtype and magnitude, with edge values among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from pytest_parity.errors import UsageError
from pytest_parity.strategies.shape import Shape, Side, as_shape

__all__ = ["SEEDS", "as_dtype", "dtypes", "edge_values", "magnitudes", "tensors"]

Dtype = torch.dtype | SearchStrategy[torch.dtype]

_FLOATING = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_FILLS = ("zeros", "constant", "normal", "normal", "normal", "normal", "uniform")
"""What a tensor is filled with, the simplest first; what stands there often is drawn often."""
_CONSTANT = 1 / 3
"""Times a power of ten it is still not whole: the noise floor moves no tensor of whole numbers, which may be a mask."""
_EDGES = 4
"""How many edge values a tensor has at most."""

SEEDS = st.integers(0, 2**32 - 1)


def dtypes(*which: torch.dtype) -> SearchStrategy[torch.dtype]:
    """One of these dtypes, the first being the simplest; without any, one of float32, float64, bfloat16, float16."""
    for dtype in which:
        if not isinstance(dtype, torch.dtype):
            raise UsageError(f"dtypes({dtype!r}): give torch's own, as torch.float32")
    return st.sampled_from(which or _FLOATING)


def magnitudes(smallest: float = 1e-3, largest: float = 1e3) -> SearchStrategy[float]:
    """Powers of ten between the bounds: what a tensor's values are multiplied by. Shrinks to 1, or as near as it may."""
    if not (0 < smallest <= largest < math.inf):
        raise UsageError(f"magnitudes({smallest!r}, {largest!r}): give 0 < smallest <= largest, and finite")
    lowest, highest = math.ceil(math.log10(smallest) - 1e-9), math.floor(math.log10(largest) + 1e-9)
    if lowest > highest:
        raise UsageError(f"magnitudes({smallest!r}, {largest!r}): there is no power of ten between the two")
    return st.integers(lowest, highest).map(lambda power: 10.0**power)


def edge_values(
    dtype: torch.dtype = torch.float32, *, huge: bool = False, nonfinite: bool = False
) -> SearchStrategy[float]:
    """0, -0, 1, -1 and the smallest normal numbers of a floating dtype; ``huge``: its largest; ``nonfinite``: inf, nan.

    Two correct models need not overflow at the same place: ask for huge and non-finite values where that is to be seen.
    """
    if not dtype.is_floating_point:
        raise UsageError(f"edge_values({dtype}): it is no floating dtype")
    limits = torch.finfo(dtype)
    values = [0.0, -0.0, 1.0, -1.0, limits.tiny, -limits.tiny]
    values += [limits.max, limits.min] if huge else []
    values += [math.inf, -math.inf, math.nan] if nonfinite else []
    return st.sampled_from(values)


def tensors(
    shape: Shape | tuple[Side, ...] | list[Side],
    dtype: Dtype = torch.float32,
    *,
    magnitude: float | SearchStrategy[Any] = 1.0,
    elements: SearchStrategy[Any] | None = None,
    edges: SearchStrategy[float] | None = None,
) -> SearchStrategy[torch.Tensor]:
    """Tensors on the CPU: zeros, a constant (1/3; of integers 1), or random values from a drawn seed, times ``magnitude``.

    ``shape`` is a tuple of sizes, each a number or a strategy, or a strategy of shapes. ``edges`` are values that a few
    elements take, for instance ``edge_values()``. ``elements`` draws every element by itself instead: slow for large
    tensors, and it shrinks each. Integers are rounded, booleans are where a random value is above 0.
    """
    sizes, kinds = as_shape(shape), as_dtype(dtype)
    if elements is not None:
        return _each(sizes, kinds, elements)
    scale = magnitude if isinstance(magnitude, SearchStrategy) else st.just(magnitude)
    return _seeded(sizes, kinds, scale, edges)


def as_dtype(dtype: Dtype) -> SearchStrategy[torch.dtype]:
    """A dtype as a strategy."""
    return dtype if isinstance(dtype, SearchStrategy) else dtypes(dtype)


@st.composite
def _each(
    draw: DrawFn, sizes: Shape, kinds: SearchStrategy[torch.dtype], elements: SearchStrategy[Any]
) -> torch.Tensor:
    shape, dtype = draw(sizes), draw(kinds)
    count = math.prod(shape)
    values = draw(st.lists(elements, min_size=count, max_size=count))
    return torch.tensor(values, dtype=dtype, device="cpu").reshape(shape)


@st.composite
def _seeded(
    draw: DrawFn,
    sizes: Shape,
    kinds: SearchStrategy[torch.dtype],
    scale: SearchStrategy[Any],
    edges: SearchStrategy[float] | None,
) -> torch.Tensor:
    shape, dtype = draw(sizes), draw(kinds)
    parts = 2 if dtype.is_complex else 1
    count = math.prod(shape) * parts
    constant = _CONSTANT if dtype.is_floating_point or dtype.is_complex else 1.0
    values = _filled(draw, count, draw(scale), constant, wide=dtype in {torch.float64, torch.complex128})
    if edges is not None and count:
        for place, value in draw(st.lists(st.tuples(st.integers(0, count - 1), edges), max_size=_EDGES)):
            values[place] = value
    flat = torch.from_numpy(values)
    if dtype.is_complex:
        flat = torch.view_as_complex(flat.reshape(-1, 2))
    return _cast(flat, dtype).reshape(shape)


def _filled(draw: DrawFn, count: int, scale: float, constant: float, *, wide: bool) -> np.ndarray[Any, Any]:
    """``count`` values; of one seed the first values are the same, however many there are."""
    kind = np.float64 if wide else np.float32
    fill = draw(st.sampled_from(_FILLS))
    if fill in {"zeros", "constant"}:
        return np.full(count, constant * scale if fill == "constant" else 0.0, dtype=kind)
    generator = np.random.default_rng(draw(SEEDS))
    make: Callable[..., np.ndarray[Any, Any]] = generator.standard_normal if fill == "normal" else generator.random
    values = make(count, dtype=kind)
    drawn: np.ndarray[Any, Any] = (values if fill == "normal" else 2 * values - 1) * kind(scale)
    return drawn


def _cast(flat: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if dtype is torch.bool:
        return flat > 0
    if not dtype.is_floating_point and not dtype.is_complex:
        limits = torch.iinfo(dtype)
        return flat.double().round().clamp(max(limits.min, -(2**53)), min(limits.max, 2**53)).to(dtype)
    return flat.to(dtype)
