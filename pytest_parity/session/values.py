"""Values that a test names: tensors, arrays, numbers, and trees of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pytest_parity.capture import leaves
from pytest_parity.errors import UsageError

__all__ = ["is_leaf", "tensors"]


def is_leaf(value: Any) -> bool:
    """Whether a value is one tensor, array or number (or ``None``), and no tree."""
    return value is None or isinstance(value, (torch.Tensor, np.ndarray, np.number, bool, int, float))


def tensors(value: Any, name: str) -> Any:
    """A value with its numbers and arrays as tensors: a float is float64, an int is int64.

    Raises ``UsageError`` where there is no tensor in it.
    """
    if isinstance(value, torch.Tensor) or value is None:
        return value
    if isinstance(value, (np.ndarray, np.number)):
        return torch.as_tensor(value)
    if isinstance(value, (bool, int, float)):
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    if isinstance(value, Mapping):
        return {key: tensors(item, name) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tensors(item, name) for item in value]
    if not any(tensor is not None for _, tensor in leaves(value, "out")):
        raise UsageError(f"{name}: a {type(value).__name__} holds no tensor to compare; give the values without it")
    return value
