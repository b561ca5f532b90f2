"""Valid: where a test says that a batch's padded tensors are valid, and the regions that this makes of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pytest_parity.compare.region import LengthRegion, MaskRegion, Region, few, plain_dims
from pytest_parity.errors import UsageError

__all__ = ["Lengths", "Mask", "Valid", "resolve"]

Lengths = Sequence[int] | torch.Tensor | str | Callable[[Any], Any]
Mask = torch.Tensor | str | Callable[[Any], Any]

_ABSENT = object()
_MATRIX = 2


@dataclass(frozen=True, eq=False)
class Valid:
    """Which positions are compared: by ``lengths`` along ``dim``, or by a ``mask``; one of the two.

    ``lengths``: of example ``i`` (an index of dimension 0) the first ``lengths[i]`` positions along ``dim``. They are
    integers, one per example: a sequence, a 1-D integer tensor, the path of such a value in the batch (``"audio_len"``,
    ``"labels.length"``), or a function from the batch to one.

    ``mask``: where a boolean tensor is true; the tensor itself, its path in the batch, or a function from the batch. It
    covers the first dimensions of the tensors compared, or those that ``dim`` names: ``Valid(mask="mask", dim=(0, 2))``
    for a mask of shape (B, T) and tensors of shape (B, C, T), for which ``dim=2`` is short. Where it has size 1 it
    stands for every position.
    """

    dim: int | tuple[int, ...] | None = None
    lengths: Lengths | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing, or two things."""
        if (self.lengths is None) == (self.mask is None):
            raise UsageError(
                "Valid takes lengths or a mask, one of the two: Valid(dim=1, lengths='audio_len'), Valid(mask='mask')"
            )
        if self.lengths is not None and (isinstance(self.dim, bool) or not isinstance(self.dim, int) or not self.dim):
            raise UsageError(
                f"Valid(dim={self.dim!r}, lengths=...): lengths count along one dimension, and dimension 0 holds the "
                "examples: Valid(dim=1, lengths=...)"
            )


def resolve(valid: Mapping[str, Valid], batch: Any) -> dict[str, Region]:
    """The regions of one batch, in the order of ``valid``; raises ``UsageError`` for lengths and masks that are none."""
    return {pattern: _region(pattern, one, batch) for pattern, one in valid.items()}


def _region(pattern: str, valid: Valid, batch: Any) -> Region:
    if not isinstance(valid, Valid):
        raise UsageError(
            f"valid {pattern!r}: {_describe(valid)} is no Valid; write as in {{{pattern!r}: Valid(dim=1, lengths='len')}}"
        )
    if valid.lengths is not None:
        assert isinstance(valid.dim, int)
        return LengthRegion(valid.dim, _lengths(pattern, valid.lengths, batch))
    return _mask(pattern, valid, batch)


def _lengths(pattern: str, lengths: Lengths, batch: Any) -> tuple[int, ...]:
    value = _found(pattern, lengths, batch)
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, (list, tuple)) and all(type(length) is int for length in plain):
        return tuple(plain)
    raise UsageError(f"valid {pattern!r}: lengths must be integers, one per example; got {_describe(value)}")


def _mask(pattern: str, valid: Valid, batch: Any) -> MaskRegion:
    value = _found(pattern, valid.mask, batch)
    mask = torch.as_tensor(value) if hasattr(value, "dtype") else value
    if not isinstance(mask, torch.Tensor) or mask.dtype is not torch.bool or not mask.dim():
        hint = "; a mask of 0 and 1 becomes one by batch['mask'] != 0" if isinstance(mask, torch.Tensor) else ""
        raise UsageError(
            f"valid {pattern!r}: a mask is a boolean tensor, true where values are compared; got {_describe(value)}{hint}"
        )
    inside = mask.detach().cpu().clone()
    dims = valid.dim
    if isinstance(dims, int):
        dims = (0, dims) if inside.dim() == _MATRIX else (dims,)
    dims = tuple(range(inside.dim())) if dims is None else tuple(dims)
    if len(dims) != inside.dim():
        raise UsageError(
            f"valid {pattern!r}: dim={plain_dims(dims)} names {len(dims)} dimensions for a mask of shape {tuple(inside.shape)}"
        )
    return MaskRegion(dims, inside)


def _found(pattern: str, given: Any, batch: Any) -> Any:
    """What was given itself, or found in the batch."""
    if isinstance(given, str):
        return _lookup(pattern, given, batch)
    return given(batch) if callable(given) and not isinstance(given, torch.Tensor) else given


def _lookup(pattern: str, path: str, batch: Any) -> Any:
    value = batch
    for name in path.split("."):
        child = _child(value, name)
        if child is _ABSENT:
            raise UsageError(f"valid {pattern!r}: the batch has no {path!r}: no {name!r} among {_names(value)}")
        value = child
    return value


def _child(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name, _ABSENT)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return value[int(name)] if name.isdecimal() and int(name) < len(value) else _ABSENT
    return getattr(value, name, _ABSENT)


def _names(value: Any) -> str:
    if isinstance(value, Mapping):
        names = [str(key) for key in value]
    elif isinstance(value, (list, tuple)):
        names = list(getattr(value, "_fields", None) or map(str, range(len(value))))
    else:
        names = [name for name in getattr(value, "__dict__", {}) if not name.startswith("_")]
    return few(names) if names else f"the parts of a {type(value).__name__}"


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    return f"{type(value).__name__} {value!r:.60}"
