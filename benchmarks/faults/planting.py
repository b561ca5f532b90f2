"""Planting: how a forward is made to compute something else, as an edit of its code would.

What is changed is the ``forward`` of one module object, or what a parent's code calls where it calls a child: hooks
see a fault as they see code, and so does whoever calls the forward again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Backward", "around", "called_with", "held", "on_output", "scaled_backward", "with_held"]

Change = Callable[[Tensor], Tensor]


def around(module: nn.Module, wrapper: Callable[..., Any]) -> None:
    """Have ``wrapper(forward, *args, **kwargs)`` be the module's forward."""
    forward = module.forward

    @functools.wraps(forward)
    def changed(*args: Any, **kwargs: Any) -> Any:
        return wrapper(forward, *args, **kwargs)

    module.forward = changed


def on_output(module: nn.Module, change: Change) -> None:
    """Change what it returns; of several values the first."""

    def wrapper(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    around(module, wrapper)


def called_with(parent: nn.Module, child: str, change: Change) -> None:
    """Have the parent's code hand something else to a child: what it calls there is a function that calls the child."""
    module = parent.get_submodule(child)

    def call(given: Tensor, *args: Any, **kwargs: Any) -> Any:
        return module(change(given), *args, **kwargs)

    call.__dict__["weight"] = getattr(module, "weight", None)
    parent.__dict__[child] = call


def held(module: nn.Module, name: str) -> Tensor:
    """A parameter."""
    value = module._parameters[name]  # noqa: SLF001  what the module reads
    assert value is not None
    return value


@contextmanager
def _holding(module: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    parameters: dict[str, Any] = module._parameters  # noqa: SLF001
    before = {name: parameters[name] for name in values}
    flat = module.__dict__.get("_flat_weights")
    parameters.update(values)
    if flat is not None:
        module.__dict__["_flat_weights"] = [parameters[name] for name in module.__dict__["_flat_weights_names"]]
    try:
        yield
    finally:
        parameters.update(before)
        if flat is not None:
            module.__dict__["_flat_weights"] = flat


def with_held(module: nn.Module, changes: Mapping[str, Change]) -> None:
    """Have it compute with other weights than it holds; gradients flow through the change."""

    def wrapper(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with _holding(module, {name: change(held(module, name)) for name, change in changes.items()}):
            return forward(*args, **kwargs)

    around(module, wrapper)


class Backward(torch.autograd.Function):
    """The value itself, its gradient times a factor."""

    @staticmethod
    def forward(context: Any, value: Tensor, size: float) -> Tensor:
        """Keep the factor."""
        context.size = size
        return value.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply."""
        return gradients[0] * context.size, None


def scaled_backward(value: Tensor, size: float) -> Tensor:
    """The value, its gradient times ``size``."""
    result: Tensor = Backward.apply(value, size)  # type: ignore[no-untyped-call]
    return result
