"""Rotary rewrites: pairs that a module's own code takes from two halves, taken side by side, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from pytest_parity.diagnose.hints.operations import Operation
from pytest_parity.diagnose.hints.rewriting import Change
from pytest_parity.result import Cause

__all__ = ["rotary_rewrites"]

_PAIR = 2


def rotary_rewrites(operations: Sequence[Operation]) -> Iterator[Change]:
    """Every split of the last dimension in two and every joining of two, in the other convention, all at once."""
    names = {one.name for one in operations if _splits(one) or _joins(one)}
    if "cat" in names and names & {"split", "slice", "split_with_sizes"}:
        yield Change(Cause.ROTARY, "with its rotary pairs interleaved, and not half-split,", {}, "", _INTERLEAVED)
    if names >= {"stack", "slice"}:
        yield Change(Cause.ROTARY, "with its rotary pairs half-split, and not interleaved,", {}, "", _HALVES)


def _splits(one: Operation) -> bool:
    return one.name in {"split", "split_with_sizes", "slice"} and bool(one.tensors) and len(one.tensors[0].shape) > 1


def _joins(one: Operation) -> bool:
    parts = one.args[0] if one.args else None
    return one.name in {"cat", "stack"} and isinstance(parts, (list, tuple)) and len(parts) == _PAIR


def _halved(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A slice of one half of the last dimension: every second place instead; the reverse likewise."""
    found = func(*args, **kwargs)
    value, dim = args[0], (args[1] if len(args) > 1 else 0) % max(args[0].dim(), 1)
    size = value.shape[-1]
    if dim != value.dim() - 1 or found.shape[-1] * _PAIR != size:
        return found
    start, step = (args[2] if len(args) > 2 else 0) or 0, args[4] if len(args) > 4 else 1  # noqa: PLR2004
    if step == 1:
        return value[..., 0 if start == 0 else 1 :: _PAIR]
    return value.narrow(-1, 0 if start == 0 else size // _PAIR, size // _PAIR)


def _parted(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    found = func(*args, **kwargs)
    last = args[0].dim() - 1
    if (
        len(found) != _PAIR
        or (args[2] if len(args) > _PAIR else 0) % (last + 1) != last
        or len({one.shape for one in found}) > 1
    ):
        return found
    return [args[0][..., ::_PAIR], args[0][..., 1::_PAIR]]


def _woven(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    parts, dim = args[0], args[1] if len(args) > 1 else 0
    if len(parts) != _PAIR or dim % parts[0].dim() != parts[0].dim() - 1 or parts[0].shape != parts[1].shape:
        return func(*args, **kwargs)
    return torch.stack(list(parts), -1).flatten(-2)


def _laid(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    parts, dim = args[0], args[1] if len(args) > 1 else 0
    if len(parts) != _PAIR or dim % (parts[0].dim() + 1) != parts[0].dim():
        return func(*args, **kwargs)
    return torch.cat(list(parts), -1).reshape(*parts[0].shape, _PAIR)


_INTERLEAVED = {"split": _parted, "split_with_sizes": _parted, "slice": _halved, "cat": _woven}
_HALVES = {"slice": _halved, "stack": _laid}
