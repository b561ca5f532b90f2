"""Arguments: the inputs of a pair, by name, and trees of them with other tensors."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pytest_parity.capture.tree import children, with_parts
from pytest_parity.errors import UsageError

__all__ = ["Arguments", "mapped", "positional_names"]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a model is called with: ``values`` by name, in order; ``keywords`` says whether they are passed by name."""

    values: dict[str, Any]
    keywords: bool

    @classmethod
    def of(cls, inputs: Any, names: list[str]) -> Arguments:
        """A dict is keyword arguments, a tuple positional ones, anything else the only one; ``names`` are the model's."""
        if isinstance(inputs, Mapping):
            return cls({_keyword(name): value for name, value in inputs.items()}, keywords=True)
        given = inputs if isinstance(inputs, tuple) and not hasattr(inputs, "_fields") else (inputs,)
        called = [*names[: len(given)], *map(str, range(len(names), len(given)))]
        return cls(dict(zip(called, given, strict=True)), keywords=False)

    def call(self, model: torch.nn.Module) -> Any:
        """Call a model with them."""
        return model(**self.values) if self.keywords else model(*self.values.values())


def positional_names(model: object) -> list[str]:
    """What a model calls its positional arguments; none where there is no model yet, or no signature."""
    if not isinstance(model, torch.nn.Module):
        return []
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A tree with other tensors."""
    if isinstance(value, torch.Tensor):
        return change(value)
    parts = children(value)
    if parts is None:
        return copy.copy(value)
    new = [(key, mapped(child, change)) for key, child in parts]
    return dict(new) if isinstance(value, Mapping) else with_parts(value, new)


def _keyword(name: Any) -> str:
    if not isinstance(name, str):
        raise UsageError(
            f"assert_equivalent: inputs is a dict with the key {name!r}, and a dict of inputs has the arguments' names; "
            "put an argument that is itself a dict into a tuple: inputs=({...},)"
        )
    return name
