"""Joins: a tensor that is several others, one after the other or stacked, found by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from pytest_parity.names.expression import Expression, concat, part_of, sliced, stack, transposed, unstacked

__all__ = ["Join", "find_join", "holds", "same_content", "sibling"]

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Join:
    """``whole`` is the ``parts`` along ``dim``: concatenated, or stacked; ``turned`` are parts that lie transposed in it."""

    whole: str
    parts: tuple[str, ...]
    dim: int
    stacked: bool = False
    turned: bool = False

    def of_parts(self) -> Expression:
        """The whole, made of the parts."""
        parts = [transposed(part) if self.turned else part for part in self.parts]
        return stack(*parts, dim=self.dim) if self.stacked else concat(*parts, dim=self.dim)

    def of_whole(self, parts: Tensors) -> Iterator[tuple[str, Expression]]:
        """Each part, made of the whole."""
        lengths = [_length(parts[name], self) for name in self.parts]
        start = 0
        for place, (name, length) in enumerate(zip(self.parts, lengths, strict=True)):
            if self.stacked:
                piece = unstacked(self.whole, index=place, dim=self.dim)
            elif len(set(lengths)) == 1:
                piece = part_of(self.whole, index=place, of=len(lengths), dim=self.dim)
            else:
                piece = sliced(self.whole, start=start, stop=start + length, dim=self.dim)
            start += length
            yield name, transposed(piece) if self.turned else piece


def same_content(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are equal, which most are found not to be by their first element."""
    if one.shape != other.shape or one.dtype is not other.dtype:
        return False
    first = (0,) * one.dim()
    return one.numel() == 0 or (bool(one[first] == other[first]) and torch.equal(one, other))


def find_join(name: str, whole: torch.Tensor, parts: Tensors) -> Join | None:
    """How a tensor is made of at least two of ``parts``; ``None`` where it is not, or not in one way alone."""
    ways = (Join(name, (), dim, stacked, turned) for dim in range(whole.dim()) for stacked, turned in _WAYS)
    return next((found for way in ways if (found := _filled(way, whole, parts)) is not None), None)


_WAYS = ((False, False), (False, True), (True, False))


def _filled(way: Join, whole: torch.Tensor, parts: Tensors) -> Join | None:
    dims = whole.dim() - way.stacked
    if dims == 0 or (way.turned and dims != 2):  # noqa: PLR2004 -- a matrix
        return None
    able = {name: part.mT if way.turned else part for name, part in parts.items() if part.dim() == dims}
    used: list[str] = []
    start = 0
    while start < whole.shape[way.dim]:
        fitting = [name for name, part in able.items() if name not in used and _is_at(start, part, whole, way)]
        if len(fitting) != 1:
            return None
        used += fitting
        start += 1 if way.stacked else able[fitting[0]].shape[way.dim]
    return replace(way, parts=tuple(used)) if len(used) > 1 else None


def _is_at(start: int, part: torch.Tensor, whole: torch.Tensor, way: Join) -> bool:
    if way.stacked:
        return same_content(whole.select(way.dim, start), part)
    length = part.shape[way.dim]
    if length == 0 or start + length > whole.shape[way.dim]:
        return False
    return same_content(whole.narrow(way.dim, start, length), part)


def _length(part: torch.Tensor, join: Join) -> int:
    return 1 if join.stacked else part.shape[1 - join.dim if join.turned else join.dim]


def sibling(join: Join, name: str) -> Join | None:
    """The same join of another tensor of the same modules, ``name`` being the other whole: the bias of a weight."""
    module, _, leaf = join.whole.rpartition(".")
    other, _, own = name.rpartition(".")
    parts = [part.rpartition(".") for part in join.parts]
    if other != module or own == leaf or any(part[2] != leaf for part in parts):
        return None
    return Join(name, tuple(f"{part[0]}.{own}" if part[0] else own for part in parts), 0, join.stacked)


def holds(join: Join, whole: torch.Tensor, parts: Tensors) -> bool:
    """Whether the whole is these parts."""
    pieces = [parts[name].mT if join.turned else parts[name] for name in join.parts if name in parts]
    if len(pieces) < len(join.parts):
        return False
    try:
        made = torch.stack(pieces, join.dim) if join.stacked else torch.cat(pieces, join.dim)
    except RuntimeError:
        return False
    return same_content(whole, made)
