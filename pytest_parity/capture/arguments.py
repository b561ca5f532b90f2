"""Arguments: with what a module was called, besides tensors, so that it can be called so again."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from pytest_parity.capture.modules import Leaving
from pytest_parity.capture.plainly import UnplainError, plainly
from pytest_parity.capture.tree import leaves

__all__ = ["Arguments", "called_with"]

Arguments = dict[str, Any]
"""``args`` and ``kwargs``, plainly: a tensor is ``{"input": "in.0"}``, the leaf of its site. Or ``refused``, why not."""


def called_with(call: Leaving) -> Arguments | None:
    """A call's arguments; ``None`` where they are tensors by position, and no more, which their sites say."""
    if not call.kwargs and all(isinstance(value, torch.Tensor) for value in call.args):
        return None
    ordered = [*call.args, *_in_order(call.module, call.kwargs)]
    places: dict[int, str] = {}
    place = 0
    for value in ordered:
        found = [(leaf, tensor) for leaf, tensor in leaves(value, f"in.{place}") if tensor is not None]
        place += bool(found)
        places.update({id(tensor): leaf for leaf, tensor in reversed(found) if id(tensor) not in places})

    def known(value: Any) -> Any:
        return {"input": places[id(value)]} if isinstance(value, torch.Tensor) and id(value) in places else None

    try:
        return {
            "args": [plainly(value, known) for value in call.args],
            "kwargs": {name: plainly(value, known) for name, value in call.kwargs.items()},
        }
    except UnplainError as error:
        return {"refused": str(error)}


def _in_order(module: torch.nn.Module, kwargs: dict[str, Any]) -> list[Any]:
    """Keyword arguments as sites number them: in the order of the forward's signature."""
    try:
        order = list(inspect.signature(module.forward).parameters)
    except (TypeError, ValueError):
        return list(kwargs.values())
    first = [kwargs[name] for name in order if name in kwargs]
    return first + [value for name, value in kwargs.items() if name not in order]
