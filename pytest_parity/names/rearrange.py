"""Expressions evaluated on numpy arrays; on arrays of element numbers that says where every element comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pytest_parity.names.expression import Expression, Source

__all__ = ["Numbers", "evaluate"]

Numbers: TypeAlias = NDArray[np.int64]


def evaluate(source: Source, arrays: Mapping[str, Numbers]) -> Numbers:
    """The candidate's array; raises ``ValueError`` with the operation and the shapes where they do not fit."""
    if isinstance(source, str):
        return arrays[source]
    parts = [evaluate(one, arrays) for one in source.sources]
    try:
        made: Numbers = _OPERATIONS[source.operation](parts, **dict(source.options))
    except (ValueError, IndexError) as error:  # numpy's AxisError is both
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ValueError(f"{_call(source)} does not fit {shapes}: {error}") from None
    return made


def _call(expression: Expression) -> str:
    options = ", ".join(f"{name}={value!r}" for name, value in expression.options)
    return f"{expression.operation}({options})"


def _part(parts: list[Numbers], index: int, of: int, dim: int) -> Numbers:
    (array,) = parts
    size = array.shape[dim]
    if of < 1 or size % of:
        raise ValueError(f"{size} is no multiple of {of}")
    step = size // of
    return _slice(parts, _counted(index, of) * step, (_counted(index, of) + 1) * step, dim)


def _slice(parts: list[Numbers], start: int, stop: int, dim: int) -> Numbers:
    (array,) = parts
    if not 0 <= start < stop <= array.shape[dim]:
        raise ValueError(f"{start} to {stop} is no range within {array.shape[dim]}")
    return array.take(np.arange(start, stop), axis=dim)


def _unstack(parts: list[Numbers], index: int, dim: int) -> Numbers:
    (array,) = parts
    return np.asarray(array.take(_counted(index, array.shape[dim]), axis=dim))


def _counted(index: int | str, of: int) -> int:
    """An index, which was a wildcard where it is text."""
    if isinstance(index, str) and not index.isdigit():
        raise ValueError(f"index {index!r} is no number")
    if not 0 <= int(index) < of:
        raise ValueError(f"index {index} is none of 0 to {of - 1}")
    return int(index)


def _reshape(parts: list[Numbers], shape: tuple[int, ...]) -> Numbers:
    return parts[0].reshape(shape)


def _rotary(parts: list[Numbers], heads: int, layout: str, dim: int, size: int | None = None) -> Numbers:
    (array,) = parts
    rows = np.moveaxis(array, dim, 0)
    if heads < 1 or len(rows) % heads:
        raise ValueError(f"{len(rows)} is no multiple of {heads} heads")
    width = len(rows) // heads
    turned = width if size is None else size
    if turned % 2 or not 0 < turned <= width:
        raise ValueError(f"{turned} rotated dimensions of a head of {width}")
    order = np.arange(turned)
    pairs = order.reshape(-1, 2).T if layout == "half" else order.reshape(2, -1).T
    head = np.concatenate([pairs.reshape(-1), np.arange(turned, width)])
    order = (np.arange(heads)[:, None] * width + head).reshape(-1)
    return np.moveaxis(rows[order], 0, dim)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "concat": lambda parts, dim: np.concatenate(parts, axis=dim),
    "stack": lambda parts, dim: np.stack(parts, axis=dim),
    "part_of": _part,
    "sliced": _slice,
    "unstacked": _unstack,
    "transposed": lambda parts, dim0, dim1: np.swapaxes(parts[0], dim0, dim1),
    "permuted": lambda parts, dims: np.transpose(parts[0], dims),
    "reshaped": _reshape,
    "rotary": _rotary,
}
