"""Plainly: a module's settings and a call's arguments as JSON can hold them, to be built again without a pickle.

Numbers, strings and lists are themselves; what JSON has not is an object with one key that says what it is: ``tuple``,
``dict``, ``float``, ``dtype``, ``device``, ``size``, ``set``, ``weakref``, ``namespace``, ``import`` (what can be
imported, by module and name), ``partial``, ``named`` (a named tuple), ``object`` (an instance and its attributes). What a
caller knows better, tensors for one, it gives itself.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import sys
import weakref
from collections.abc import Callable, Mapping
from enum import Enum
from types import SimpleNamespace
from typing import Any

import torch

__all__ = ["Known", "UnplainError", "importable", "plainly"]

Known = Callable[[Any], Any]
"""What stands for a value, ``None`` for one that it does not know."""

_DEEPEST = 12
_LOOKED_IN = (torch, torch.nn.functional, math, operator)


class UnplainError(ValueError):
    """A value that cannot be written plainly; the text says what it is."""


def plainly(value: Any, known: Known = lambda _: None, depth: int = 0) -> Any:
    """A value as JSON has it; raises ``UnplainError`` for what cannot be built again."""
    if value is None or isinstance(value, Enum) or type(value) in {bool, int, str}:
        return {"import": importable(value)} if isinstance(value, Enum) else value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if depth > _DEEPEST:
        raise UnplainError("nested too deeply, or in itself")
    stands = known(value)
    if stands is not None:
        return stands
    simple = _of_torch(value)
    return simple if simple is not None else _nested(value, lambda part: plainly(part, known, depth + 1))


def _of_torch(value: Any) -> dict[str, Any] | None:
    if isinstance(value, torch.Tensor):
        raise UnplainError("a tensor that is nobody's")
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    return {"size": list(value)} if isinstance(value, torch.Size) else None


def _nested(value: Any, inner: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"named": [importable(type(value)), [inner(part) for part in value]]}
    made = _MADE.get(type(value))
    if made is not None:
        return made(value, inner)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return {"import": importable(value)}
    return {"object": [importable(type(value)), {name: inner(part) for name, part in _attributes(value).items()}]}


_MADE: dict[type, Callable[[Any, Callable[[Any], Any]], Any]] = {
    list: lambda value, inner: [inner(part) for part in value],
    tuple: lambda value, inner: {"tuple": [inner(part) for part in value]},
    set: lambda value, inner: {"set": [inner(part) for part in value]},
    frozenset: lambda value, inner: {"set": [inner(part) for part in value]},
    dict: lambda value, inner: {"dict": [[inner(key), inner(part)] for key, part in value.items()]},
    weakref.ref: lambda value, inner: {"weakref": inner(value())},
    functools.partial: lambda value, inner: {
        "partial": [inner(value.func), inner(list(value.args)), inner(dict(value.keywords))]
    },
    SimpleNamespace: lambda value, inner: {"namespace": {name: inner(part) for name, part in vars(value).items()}},
}


def _attributes(value: Any) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (torch.nn.Module, Mapping)) or not hasattr(value, "__dict__"):
        raise UnplainError(f"a {type(value).__name__}")
    attributes: dict[str, Any] = vars(value)
    return attributes


def importable(value: Any) -> str:
    """``module:name``, from where the same object is imported; raises ``UnplainError`` where there is no such place."""
    module, name = _place(value)
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value:
        own = name.rpartition(".<locals>.")[2] or type(value).__name__
        where = ", defined inside of a function" if "<locals>" in name else ""
        raise UnplainError(f"{own}{where}" if isinstance(value, type) else f"a {type(value).__name__} {own}{where}")
    return f"{module}:{name}"


def _place(value: Any) -> tuple[str, str]:
    if isinstance(value, Enum):
        return type(value).__module__, f"{type(value).__qualname__}.{value.name}"
    name = getattr(value, "__qualname__", "") or getattr(value, "__name__", "")
    module = getattr(value, "__module__", None)
    if isinstance(module, str) and "." not in name.replace("<locals>.", ""):
        return module, name
    short = getattr(value, "__name__", "")
    holder = next((one for one in _LOOKED_IN if getattr(one, short, None) is value), None)
    return (holder.__name__, short) if holder is not None else (str(module), name)
