"""Derivative: whether a module's backward pass is the derivative of its forward pass, tried in float64 along a direction.

For output gradients ``v`` and directions ``u`` of the inputs and parameters, ``<J^T v, u>`` is what backward gives, and
``<v, (f(x + h u) - f(x - h u)) / 2h>`` what the forward says it must be. Nothing of the reference is needed for that; so
among modules that may have made a gradient wrong it finds the one whose backward is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Any

import torch

from pytest_parity.capture.tree import children, leaves, with_parts

__all__ = ["WRONG", "derivative_error"]

WRONG = 2e-5
"""A larger error is no rounding of float64, nor a kink that the step happens to cross."""
_STEP = 1e-6
_SEED = 20


def derivative_error(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    call: Callable[..., Any],
    *,
    seconds: float = inf,
) -> float | None:
    """How far backward is from the derivative of the forward, as a share; ``None`` where that cannot be told.

    ``call`` calls the module, under the same random streams each time. Parameters and buffers are float64 while it runs,
    and afterwards the same objects with the same values. Every input and parameter takes two calls: after ``seconds`` it
    is given up.
    """
    try:
        with _widened(module), torch.enable_grad():
            return _error(module, args, kwargs, call, monotonic() + seconds)
    except Exception:  # noqa: BLE001  it is the user's code, in a dtype that it may not be made for
        return None


def _error(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], call: Callable[..., Any], until: float
) -> float | None:
    inputs = {
        leaf: tensor.detach().double().requires_grad_()
        for leaf, tensor in leaves((args, kwargs), "in")
        if tensor is not None and tensor.is_floating_point()
    }
    parameters = [one for one in module.parameters() if one.requires_grad]
    points = [*inputs.values(), *parameters]
    generator = torch.Generator().manual_seed(_SEED)
    directions = [_drawn(one, generator) * _size(one) for one in points]

    def outputs() -> list[torch.Tensor]:
        if monotonic() > until:
            raise TimeoutError
        given = _put((args, kwargs), {leaf: one.clone() for leaf, one in inputs.items()}, "in")
        found = (tensor for _, tensor in leaves(call(*given[0], **given[1])))
        return [one for one in found if one is not None and one.is_floating_point()]

    there = outputs()
    weights = [_drawn(one, generator) for one in there]
    able = [(one, weight) for one, weight in zip(there, weights, strict=True) if one.requires_grad]
    gradients: tuple[torch.Tensor | None, ...] = (None,) * len(points)
    if able and points:
        gradients = torch.autograd.grad([one for one, _ in able], points, [w for _, w in able], allow_unused=True)
    parts = [
        0.0 if gradient is None else float((gradient * direction).sum())
        for gradient, direction in zip(gradients, directions, strict=True)
    ]
    expected = [_along(point, direction, outputs, weights) for point, direction in zip(points, directions, strict=True)]
    scale = max(map(abs, (*parts, *expected)), default=0.0)
    worst = max((abs(a - b) for a, b in zip(parts, expected, strict=True)), default=0.0)
    return worst / scale if scale else None


def _along(
    point: torch.Tensor,
    direction: torch.Tensor,
    outputs: Callable[[], list[torch.Tensor]],
    weights: list[torch.Tensor],
) -> float:
    """The derivative of ``<weights, outputs>`` along a direction of one input or parameter, by central differences."""
    start, sides = point.detach().clone(), []
    with torch.no_grad():
        for sign in (1, -1):
            point.copy_(start + sign * _STEP * direction)
            sides.append(sum(float((one * weight).sum()) for one, weight in zip(outputs(), weights, strict=True)))
        point.copy_(start)
    return (sides[0] - sides[1]) / (2 * _STEP)


def _put(value: Any, wide: dict[str, torch.Tensor], prefix: str) -> Any:
    """The same tree with these tensors in place, whatever dtype those had."""
    if isinstance(value, torch.Tensor):
        return wide.get(prefix, value)
    parts = children(value)
    if not parts:
        return value
    return with_parts(value, [(key, _put(part, wide, f"{prefix}.{key}")) for key, part in parts])


def _drawn(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, dtype=torch.float64, generator=generator).to(like.device)


def _size(tensor: torch.Tensor) -> float:
    """The typical magnitude of its values."""
    return float(tensor.detach().square().mean().sqrt()) or 1.0 if tensor.numel() else 1.0


@contextmanager
def _widened(module: torch.nn.Module) -> Iterator[None]:
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    try:
        for one in (*module.parameters(), *module.buffers()):
            if one.is_floating_point():
                kept.append((one, one.data))
                one.data = one.data.double()
        yield
    finally:
        for one, data in kept:
            one.data = data
