"""Region: which positions of a padded tensor are compared, known for one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Protocol

import torch

from pytest_parity.compare.coverage import MASKS
from pytest_parity.errors import UsageError
from pytest_parity.site import Kind, Site

__all__ = ["LengthRegion", "MaskRegion", "Region", "few", "holding", "mask_site", "match", "plain_dims"]

_KINDS = frozenset({Kind.PROBE, Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT, Kind.OUTPUT})


class Region(Protocol):
    """The positions that are compared, known for one batch."""

    def has_dims(self, rank: int) -> bool:
        """Whether a tensor of so many dimensions has those that the region is about."""

    def mask(self, shape: Sequence[int]) -> torch.Tensor:
        """The compared positions: a boolean CPU tensor of ``shape``, which may share memory with itself.

        Raises ``UsageError`` where the region does not fit ``shape`` or leaves nothing to compare.
        """

    def count(self, shape: Sequence[int]) -> int:
        """How many positions of ``shape`` that are; raises as ``mask``."""


@dataclass(frozen=True, slots=True)
class LengthRegion:
    """Along ``dim`` the first ``lengths[i]`` positions of example ``i``."""

    dim: int
    lengths: tuple[int, ...]

    def has_dims(self, rank: int) -> bool:
        """Whether there is such a dimension, besides that of the examples."""
        return 0 < (self.dim + rank if self.dim < 0 else self.dim) < rank

    def mask(self, shape: Sequence[int]) -> torch.Tensor:
        """The compared positions: see ``Region``."""
        dim = self._fitting(shape)
        lengths = torch.tensor(self.lengths, device="cpu")
        inside = torch.arange(shape[dim], device="cpu") < lengths[:, None]
        broadcast = [1] * len(shape)
        broadcast[0], broadcast[dim] = shape[0], shape[dim]
        return inside.view(broadcast).expand(tuple(shape))

    def count(self, shape: Sequence[int]) -> int:
        """How many: see ``Region``."""
        dim = self._fitting(shape)
        return sum(self.lengths) * prod(shape) // (shape[0] * shape[dim])

    def _fitting(self, shape: Sequence[int]) -> int:
        """The dimension, from 0."""
        dim = self._dimension(shape)
        size = shape[dim]
        longest = max(self.lengths, default=0)
        if longest > size or min(self.lengths, default=0) < 0:
            raise UsageError(f"{self._text()}: lengths {few(self.lengths)} do not lie in 0..{size}, {_of(dim, shape)}")
        if longest == 0:
            raise UsageError(f"{self._text()} leaves nothing of shape {tuple(shape)} to compare: every length is 0")
        return dim

    def _dimension(self, shape: Sequence[int]) -> int:
        rank = len(shape)
        dim = self.dim + rank if self.dim < 0 else self.dim
        if not self.has_dims(rank):
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


@dataclass(frozen=True, slots=True, eq=False)
class MaskRegion:
    """Where ``inside``, a boolean CPU tensor over the dimensions ``dims`` of a tensor, is true."""

    dims: tuple[int, ...]
    inside: torch.Tensor

    def has_dims(self, rank: int) -> bool:
        """Whether every dimension of the mask is there."""
        return all(-rank <= dim < rank for dim in self.dims)

    def mask(self, shape: Sequence[int]) -> torch.Tensor:
        """The compared positions: see ``Region``."""
        dims = self._fitting(shape)
        order = sorted(range(len(dims)), key=lambda place: dims[place])
        broadcast = [1] * len(shape)
        for place, dim in enumerate(dims):
            broadcast[dim] = self.inside.shape[place]
        return self.inside.permute(order).reshape(broadcast).expand(tuple(shape))

    def count(self, shape: Sequence[int]) -> int:
        """How many: see ``Region``."""
        self._fitting(shape)
        return int(self.inside.sum()) * (prod(shape) // self.inside.numel())

    def _fitting(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The dimensions, from 0."""
        rank, sizes = len(shape), tuple(self.inside.shape)
        dims = tuple(dim + rank if dim < 0 else dim for dim in self.dims)
        where = f"valid region of a mask of shape {sizes} over dim={plain_dims(self.dims)}"
        if not all(0 <= dim < rank for dim in dims) or len(set(dims)) < len(dims):
            raise UsageError(f"{where} does not fit shape {tuple(shape)}: it has {rank} dimensions")
        wrong = [(dim, size) for dim, size in zip(dims, sizes, strict=True) if size not in {1, shape[dim]}]
        if wrong:
            dim, size = wrong[0]
            raise UsageError(
                f"{where} does not fit shape {tuple(shape)}: {size} is not {shape[dim]}, {_of(dim, shape)}"
            )
        if not bool(self.inside.any()):
            raise UsageError(f"{where} leaves nothing of shape {tuple(shape)} to compare: it is false everywhere")
        return dims


def mask_site(pattern: str) -> Site:
    """Where a golden keeps the mask of a region: with the batch, so that one that the batch holds takes no bytes."""
    return Site(Kind.BATCH, MASKS, leaf=pattern)


def holding(regions: Mapping[str, Region], site: Site, rank: int) -> list[str]:
    """The patterns that hold at ``site`` (the reference's), the one that counts last: the last declared.

    A pattern is a glob over the module's path, and for an output over its name; one with a ``/`` in it is matched
    against path and leaf, ``"encoder/out.0"``. Kinds other than probe, input, activation, activation_gradient and
    output have no regions, nor has a tensor of ``rank`` dimensions that lacks those that a region is about: lengths, or a masked
    mean.
    """
    if not regions or site.kind not in _KINDS:
        return []
    own = site.leaf.partition(".")[2] if site.kind is Kind.PROBE else site.leaf
    leaf = f"{site.path}/{own}"
    return [
        pattern
        for pattern, region in regions.items()
        if fnmatchcase(leaf if "/" in pattern else site.path, pattern) and region.has_dims(rank)
    ]


def match(regions: Mapping[str, Region], site: Site, shape: Sequence[int]) -> Region | None:
    """The region of a tensor of ``shape`` at ``site``: see ``holding``.

    An input that it does not fit is compared whole, since lengths, masks and positions go into a module beside what
    they are about. Raises ``UsageError`` for anything else that it does not fit.
    """
    patterns = holding(regions, site, len(shape))
    if not patterns:
        return None
    region = regions[patterns[-1]]
    try:
        region.count(shape)
    except UsageError as error:
        if site.kind is Kind.INPUT:
            return None
        leaf = f"{site.path}/{site.leaf or 'out'}"
        raise UsageError(
            f"{site}: {error}. It is that of {patterns[-1]!r}; a pattern with a leaf, as in {leaf!r}, means one tensor of "
            "a module"
        ) from None
    return region


def few(items: Sequence[object], limit: int = 8) -> str:
    """The first few of them, and how many there are."""
    text = ", ".join(map(str, items[:limit]))
    return f"{text}, ... ({len(items)})" if len(items) > limit else text


def _of(dim: int, shape: Sequence[int]) -> str:
    return f"the size of dimension {dim} of shape {tuple(shape)}"


def plain_dims(dims: tuple[int, ...]) -> int | tuple[int, ...]:
    """As they are written: one alone is a number."""
    return dims[0] if len(dims) == 1 else dims
