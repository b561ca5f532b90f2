"""Masking rewrites: a mask inverted, left out, or off by one, where the module's own code applies or makes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from pytest_parity.diagnose.hints.operations import Operation, Rewrite, Shaped
from pytest_parity.diagnose.hints.rewriting import Change, at, fixed, passed, with_argument
from pytest_parity.result import Cause

__all__ = ["mask_rewrites"]

_FILLS = (float("-inf"), -1e4, -1e9, torch.finfo(torch.float32).min, 0.0)
_NEXT = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt"}
_ATTENTION = (
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_attention_math",
)
_CAUSAL = 4
"""Where the fused kernels of the CPU and of flash attention take ``is_causal``."""


def mask_rewrites(operations: Sequence[Operation]) -> Iterator[Change]:
    """All of one run, the plainest first."""
    for make in (_left_out, _inverted, _compared, _triangles, _causal, _moved, _filled):
        for operation in operations:
            yield from make(operation)


def _masks(operation: Operation) -> Iterator[tuple[int, Shaped]]:
    """Which arguments mask: booleans of a fill or a choice, numbers that are added and large where they mask."""
    for place, one in enumerate(operation.args):
        if isinstance(one, Shaped) and _masking(operation.name, place, one):
            yield place, one


def _masking(name: str, place: int, one: Shaped) -> bool:
    if name in {"masked_fill", "masked_fill_"}:
        return place == 1
    if name == "where":
        return place == 0
    return name in {"add", "add_"} and one.masks


def _left_out(operation: Operation) -> Iterator[Change]:
    if operation.name in {"masked_fill", "masked_fill_"}:
        yield at(Cause.MASK, "without its mask", operation, passed)
    for place, _ in _masks(operation) if operation.name in {"add", "add_"} else ():
        yield at(Cause.MASK, "without its mask", operation, with_argument(place, torch.zeros_like))
    if isinstance(operation.kwargs.get("attn_mask"), Shaped):
        yield at(Cause.MASK, "without its mask", operation, _masked(torch.zeros_like))


def _inverted(operation: Operation) -> Iterator[Change]:
    for place, one in _masks(operation):
        change = torch.logical_not if one.dtype is torch.bool else _turned
        yield at(Cause.MASK, "with its mask inverted", operation, with_argument(place, change))
    if isinstance(operation.kwargs.get("attn_mask"), Shaped):
        yield at(Cause.MASK, "with its mask inverted", operation, _masked(_turned))


def _turned(mask: torch.Tensor) -> torch.Tensor:
    """Zeros for what is large, and the reverse."""
    if mask.dtype is torch.bool:
        return ~mask
    return torch.where(mask == 0, mask.min(), torch.zeros_like(mask))


def _masked(change: Callable[[torch.Tensor], torch.Tensor]) -> Rewrite:
    def rewrite(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args, **{**kwargs, "attn_mask": change(kwargs["attn_mask"])})

    return rewrite


def _compared(operation: Operation) -> Iterator[Change]:
    """A limit that is in, and should be out, or the reverse."""
    other = _NEXT.get(operation.name)
    if other is not None:

        def rewrite(_func: Callable[..., Any], args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
            return getattr(torch, other)(*args)

        signs = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
        text = f"with {signs[other]} in place of {signs[operation.name]} where its mask is made"
        yield at(Cause.MASK, text, operation, rewrite)


def _triangles(operation: Operation) -> Iterator[Change]:
    if operation.name in {"tril", "triu", "tril_", "triu_"}:
        own = int(operation.number or 0)
        kind = operation.name.rstrip("_")
        for other in (own - 1, own + 1):
            text = f"with diagonal {other} in place of {own} in its {kind}"
            yield at(Cause.MASK, text, operation, _triangle(kind, other))
        turned = "triu" if kind == "tril" else "tril"
        yield at(Cause.MASK, f"with {turned} in place of {kind}", operation, _triangle(turned, own))


def _upper(logits: torch.Tensor) -> torch.Tensor:
    return logits + torch.full_like(logits, float("-inf")).triu(1)


def _triangle(kind: str, diagonal: int) -> Rewrite:
    return lambda _func, args, _kwargs: getattr(torch, kind)(args[0], diagonal)


def _moved(operation: Operation) -> Iterator[Change]:
    """A mask that begins or ends one too early or too late."""
    found = [(place, one) for place, one in _masks(operation)]
    named = operation.kwargs.get("attn_mask")
    for place, one in [*found, *([(-1, named)] if isinstance(named, Shaped) else [])]:
        for dim in range(len(one.shape) - 1, -1, -1):
            if one.shape[dim] <= 2:  # noqa: PLR2004
                continue
            for by in (1, -1):
                change = _slid(dim, by)
                rewrite = _masked(change) if place < 0 else with_argument(place, change)
                yield at(Cause.MASK, f"with its mask moved by {by} along dim {dim}", operation, rewrite)


def _slid(dim: int, by: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Moved by one; what comes in at the end is what was there."""

    def change(mask: torch.Tensor) -> torch.Tensor:
        size = mask.shape[dim]
        places = (torch.arange(size, device=mask.device) - by).clamp(0, size - 1)
        return mask.index_select(dim, places)

    return change


def _filled(operation: Operation) -> Iterator[Change]:
    if operation.name in {"masked_fill", "masked_fill_"} and isinstance(operation.args[2], (int, float)):
        for value in _FILLS:
            if value != operation.args[2]:
                text = f"filled with {value:g} in place of {operation.args[2]:g} where it masks"
                yield at(Cause.MASK, text, operation, with_argument(2, fixed(value)))


def _causal(operation: Operation) -> Iterator[Change]:
    if operation.name == "_softmax" and len(set(operation.tensors[0].shape[-2:])) == 1:
        yield at(Cause.MASK, "with a causal mask before its softmax", operation, with_argument(0, _upper))
    if operation.name in _ATTENTION[:2]:
        own = operation.args[_CAUSAL] if len(operation.args) > _CAUSAL else False
        text = "without is_causal" if own else "with is_causal=True"

        def rewrite(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return func(*args[:3], 0.0 if len(args) < _CAUSAL else args[3], not own, **kwargs)

        yield at(Cause.MASK, text, operation, rewrite)
