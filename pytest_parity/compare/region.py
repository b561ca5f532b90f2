"""Valid regions: which positions of a padded tensor are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch

from pytest_parity.errors import UsageError
from pytest_parity.site import Kind, Site

__all__ = ["Lengths", "Region", "Valid", "match", "resolve"]

Lengths = Sequence[int] | torch.Tensor | str | Callable[[Any], Any]

_ABSENT = object()
_KINDS = frozenset({Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT, Kind.OUTPUT})


@dataclass(frozen=True)
class Valid:
    """Along ``dim`` only the first ``lengths[i]`` positions of example ``i`` (an index of dimension 0) are compared.

    ``lengths`` are integers, one per example: a sequence, a 1-D integer tensor, the path of such a value in the batch
    (``"audio_len"``, ``"labels.length"``), or a function from the batch to one.
    """

    dim: int
    lengths: Lengths


@dataclass(frozen=True, slots=True)
class Region:
    """A ``Valid`` whose lengths are known: for one batch."""

    dim: int
    lengths: tuple[int, ...]

    def mask(self, shape: Sequence[int]) -> torch.Tensor:
        """The compared positions: a boolean CPU tensor of ``shape``.

        Raises ``UsageError`` where the region does not fit ``shape`` or leaves nothing to compare.
        """
        dim = self._dimension(shape)
        size = shape[dim]
        longest = max(self.lengths, default=0)
        if longest > size or min(self.lengths, default=0) < 0:
            raise UsageError(f"{self._text()}: lengths {_few(self.lengths)} do not lie in 0..{size}, {_of(dim, shape)}")
        if longest == 0:
            raise UsageError(f"{self._text()} leaves nothing of shape {tuple(shape)} to compare: every length is 0")
        lengths = torch.tensor(self.lengths, device="cpu")
        inside = torch.arange(size, device="cpu") < lengths[:, None]
        broadcast = [1] * len(shape)
        broadcast[0], broadcast[dim] = shape[0], size
        return inside.view(broadcast).expand(tuple(shape))

    def _dimension(self, shape: Sequence[int]) -> int:
        rank = len(shape)
        dim = self.dim + rank if self.dim < 0 else self.dim
        if not 0 < dim < rank:
            raise UsageError(
                f"{self._text()} does not fit shape {tuple(shape)}: dim must be 1 to {rank - 1}, "
                f"or counted from the end; dimension 0 holds the examples"
            )
        if len(self.lengths) != shape[0]:
            raise UsageError(
                f"{self._text()} does not fit shape {tuple(shape)}: {len(self.lengths)} lengths for {shape[0]} examples"
            )
        return dim

    def _text(self) -> str:
        return f"valid region of dim={self.dim}"


def resolve(valid: Mapping[str, Valid], batch: Any) -> dict[str, Region]:
    """The regions of one batch, in the order of ``valid``; raises ``UsageError`` for lengths that are none."""
    return {pattern: Region(one.dim, _lengths(pattern, one.lengths, batch)) for pattern, one in valid.items()}


def match(regions: Mapping[str, Region], site: Site) -> Region | None:
    """The region that holds at ``site`` (the reference's), the last declared where several match.

    A pattern is a glob over the module's path, and for an output over its name; one with a ``/`` in it is matched
    against path and leaf, ``"encoder/out.0"``. Kinds other than input, activation, activation_gradient and output have
    no regions.
    """
    if not regions or site.kind not in _KINDS:
        return None
    leaf = f"{site.path}/{site.leaf}"
    for pattern, region in reversed(tuple(regions.items())):
        if fnmatchcase(leaf if "/" in pattern else site.path, pattern):
            return region
    return None


def _lengths(pattern: str, lengths: Lengths, batch: Any) -> tuple[int, ...]:
    value: Any = lengths
    if isinstance(lengths, str):
        value = _lookup(pattern, lengths, batch)
    elif callable(lengths) and not isinstance(lengths, torch.Tensor):
        value = lengths(batch)
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, (list, tuple)) and all(type(length) is int for length in plain):
        return tuple(plain)
    raise UsageError(f"valid {pattern!r}: lengths must be integers, one per example; got {_describe(value)}")


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
    return _few(names) if names else f"the parts of a {type(value).__name__}"


def _describe(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of {value.dtype} and shape {tuple(value.shape)}"
    return f"{type(value).__name__} {value!r:.60}"


def _few(items: Sequence[object], limit: int = 8) -> str:
    text = ", ".join(map(str, items[:limit]))
    return f"{text}, ... ({len(items)})" if len(items) > limit else text


def _of(dim: int, shape: Sequence[int]) -> str:
    return f"the size of dimension {dim} of shape {tuple(shape)}"
