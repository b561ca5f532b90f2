"""Pending: losses as a training step leaves them, floats or tensors of a device that is still computing, read later.

A tensor of a GPU is cloned there and read with all others of the last seconds in one copy: logging it does not wait for it.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from pytest_parity.curves.log import EPOCH_END
from pytest_parity.errors import UsageError

__all__ = ["numbers_of", "taken", "taken_series", "whole_number"]

_RESERVED = ("loss", EPOCH_END)


def taken(value: Any, what: str) -> Any:
    """A float, or a copy of a tensor that nobody changes any more. Raises ``UsageError`` unless it is one real number."""
    if isinstance(value, Real) and not isinstance(value, bool):  # Python's numbers, and numpy's
        return float(value)
    shape = getattr(value, "shape", None)
    if shape is None or not hasattr(value, "item"):
        raise UsageError(f"{what} is {value!r:.60}, not a number or a tensor that has one")
    if any(size != 1 for size in shape):
        raise UsageError(f"{what} has the shape {tuple(shape)}, and one number is logged; reduce it first: loss.mean()")
    if "complex" in str(value.dtype) or "bool" in str(value.dtype):
        raise UsageError(f"{what} has the dtype {value.dtype}, not that of a real number")
    if not hasattr(value, "detach") or value.device.type == "cpu":
        return float(value.item())
    if value.device.type == "meta":
        raise UsageError(f"{what} is a tensor of the device meta, which has no values")
    return value.detach().reshape(()).clone()


def taken_series(step: int, series: Mapping[str, Any]) -> list[tuple[str, int, Any]]:
    """What is logged of a step beside its loss; raises ``UsageError``."""
    for name in series:
        if name in _RESERVED or not isinstance(name, str) or not name:
            raise UsageError(f"step {step}: a series cannot be called {name!r}; the file has its own use for that")
    return [(f".{name}", step, taken(value, f"{name} of step {step}")) for name, value in series.items()]


def whole_number(what: str, number: Any) -> int:
    """A step's or epoch's number; raises ``UsageError`` unless it is one."""
    try:
        whole = operator.index(number)
    except TypeError:
        whole = 1 << 53
    if isinstance(number, bool) or not abs(whole) < 1 << 53:
        raise UsageError(f"{what} {number!r:.60}: a whole number is meant")
    return whole


def numbers_of(values: Sequence[Any]) -> list[float]:
    """The numbers that were ``taken``: one copy from each device."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, value in enumerate(values):
        if not isinstance(value, float):
            groups.setdefault((str(value.device), str(value.dtype)), []).append(index)
    read = list(values)
    for indices in groups.values():
        stacked = sys.modules["torch"].stack([values[index] for index in indices])
        for index, number in zip(indices, stacked.tolist(), strict=True):
            read[index] = float(number)
    return read
