"""Handing over: a recorded batch in the place of the one that a script has drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from pytest_parity.capture import Spec, leaves, pack, unpack
from pytest_parity.capture.tree import children, with_parts
from pytest_parity.errors import UsageError

__all__ = ["handed_over"]

_SHOWN = 8


def handed_over(own: Any, spec: Spec, tensor: Callable[[str], torch.Tensor], where: str) -> Any:
    """The recorded batch as the script has its own: its classes, with the recorded tensors and plain values.

    What of it the golden has not stays the script's own. A batch without a tensor (a number, from a loader that stands in
    for the data) is replaced whole. Raises ``UsageError`` where the script's batch lacks a tensor of the golden's.
    """
    if not any(one is not None for _, one in leaves(own)):
        return unpack(spec, tensor)
    theirs, ours = _paths(spec), [path for path, _ in pack(own, where)[1]]
    if not set(theirs) <= set(ours):
        raise UsageError(
            f"{where}: the golden's has {_listed(theirs)}, and this script's {_listed(ours)}, so that the one cannot take the "
            "other's place; give the loader's batches the same keys, or leave batches='recorded' out to have the script's "
            "own compared"
        )
    return _refilled(own, spec, tensor)


def _refilled(own: Any, spec: Spec, tensor: Callable[[str], torch.Tensor]) -> Any:
    parts = children(own)
    ((kind, content),) = spec.items()
    if parts is None or not isinstance(content, list) or kind == "plain":
        return unpack(spec, tensor)
    names = getattr(own, "_fields", [key for key, _ in parts])
    recorded = {str(key): child for key, child in content}
    return with_parts(
        own,
        [
            (key, _refilled(child, recorded[str(name)], tensor) if str(name) in recorded else child)
            for name, (key, child) in zip(names, parts, strict=True)
        ],
    )


def _paths(spec: Spec) -> list[str]:
    """The tensors of a batch, in its own order."""
    ((kind, content),) = spec.items()
    if kind in {"tensor", "variable", "array"}:
        return [content]
    return [path for _, child in content for path in _paths(child)] if kind != "plain" else []


def _listed(paths: Sequence[str]) -> str:
    shown = ", ".join(path or "one tensor" for path in paths[:_SHOWN])
    return f"{shown}, and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown
