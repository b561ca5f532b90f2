"""Trees: nested values of tensors, flattened to named leaves and, for batches, put together again."""

from __future__ import annotations

import copy
import dataclasses
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from pytest_parity.errors import CaptureError

__all__ = ["Spec", "children", "leaves", "pack", "unpack", "with_parts"]

Spec = dict[str, Any]
"""A batch's tree without its tensors, as JSON can hold it."""

_PLAIN = (bool, int, float, str)


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, torch.Tensor | None]]:
    """Yield every tensor (or ``None``) of a nested output with its path: ``"out"``, ``"out.1"``, ``"out.logits"``.

    Mappings, sequences, named tuples (by index), dataclasses and simple namespaces are entered; plain values and
    objects of other classes are passed over. A ``None`` is a leaf, since a tensor in its place is a difference.
    """
    if isinstance(value, torch.Tensor) or value is None:
        yield prefix, value
        return
    parts = children(value)
    if parts is not None:
        for name, child in parts:
            yield from leaves(child, f"{prefix}.{name}" if prefix else str(name))


def children(value: Any) -> list[tuple[Any, Any]] | None:
    """What a tree's node holds, by key, index or field; ``None`` for what is no node."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    if isinstance(value, SimpleNamespace):
        return list(vars(value).items())
    return None


def with_parts(value: Any, parts: list[tuple[Any, Any]]) -> Any:
    """A node like ``value`` that holds ``parts``, which are named as its children are."""
    if isinstance(value, tuple):
        items = [part for _, part in parts]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    twin = copy.copy(value)
    for key, part in parts:
        if isinstance(value, (Mapping, list)):
            twin[key] = part
        else:
            object.__setattr__(twin, key, part)
    return twin


def pack(value: Any, name: str) -> tuple[Spec, list[tuple[str, torch.Tensor]]]:
    """Take a batch apart: its spec, and its tensors with their paths in the order of the spec.

    A batch is any tree of mappings, sequences, dataclasses and namespaces over tensors, numpy arrays and plain values
    (``None``, bool, int, float, str). Anything else raises ``CaptureError`` with its place; nothing is pickled.
    """
    tensors: list[tuple[str, torch.Tensor]] = []
    spec = _pack(value, "", name, tensors)
    paths = [path for path, _ in tensors]
    if len(set(paths)) < len(paths):
        twice = next(path for place, path in enumerate(paths) if path in paths[:place])
        raise CaptureError(f"{name} has two tensors at {twice!r}; rename a key, so that each has a path of its own")
    return spec, tensors


def _pack(value: Any, path: str, name: str, tensors: list[tuple[str, torch.Tensor]]) -> Spec:
    if isinstance(value, torch.Tensor):
        tensors.append((path, value))
        return {"variable" if value.requires_grad else "tensor": path}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        tensors.append((path, torch.from_numpy(np.ascontiguousarray(value))))
        return {"array": path}
    if value is None or isinstance(value, _PLAIN):
        return {"plain": value}
    parts = children(value)
    if parts is None:
        raise CaptureError(
            f"{name} holds a {type(value).__name__} at {path or 'its root'}, and a golden keeps tensors, numpy arrays, "
            "None, bool, int, float and str in dicts, lists, tuples, dataclasses and namespaces. "
            "Convert it in the loader's collate_fn, or leave it out of the batch."
        )
    if hasattr(value, "_fields"):
        parts = list(zip(value._fields, value, strict=True))
    specs = [
        [_key(key, path, name), _pack(child, f"{path}.{key}" if path else str(key), name, tensors)]
        for key, child in parts
    ]
    return {_container(value): specs}


def _container(value: Any) -> str:
    if isinstance(value, Mapping):
        return "dict"
    if isinstance(value, tuple):
        return "namedtuple" if hasattr(value, "_fields") else "tuple"
    return "list" if isinstance(value, list) else "namespace"


def _key(key: Any, path: str, name: str) -> str | int:
    if isinstance(key, (str, int)):
        return key
    raise CaptureError(f"{name} has a dict with the key {key!r} at {path or 'its root'}; keys are str or int")


def unpack(spec: Spec, tensor: Callable[[str], torch.Tensor]) -> Any:
    """Put a batch together again; ``tensor`` gives the one at a path. Dataclasses come back as ``SimpleNamespace``."""
    ((kind, content),) = spec.items()
    if kind == "plain":
        return content
    if kind in {"tensor", "variable"}:  # a variable requires a gradient
        return tensor(content).requires_grad_(kind == "variable")
    if kind == "array":
        return tensor(content).cpu().numpy()
    children = [(key, unpack(child, tensor)) for key, child in content]
    return _built(kind, children)


def _built(kind: str, children: list[tuple[Any, Any]]) -> Any:
    values = [child for _, child in children]
    if kind == "dict":
        return dict(children)
    if kind == "namespace":
        return SimpleNamespace(**{str(key): child for key, child in children})
    if kind == "namedtuple":
        return namedtuple("Batch", [str(key) for key, _ in children])(*values)  # noqa: PYI024
    return tuple(values) if kind == "tuple" else values
