"""Padding: whether two tensors hold the same, padded to another size, with another value or on the other side.

A tensor is looked at as rows (its first dimension) of positions along another dimension; what is compared is bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pytest_parity.compare.dtypes import bits
from pytest_parity.result import Pad, Padding, Plain

__all__ = ["padding_between"]

_RANK = 2
_RUN = 2
"""Of one size, two constant ends are called padding from so many positions on: a single one may well be content."""


def padding_between(here: torch.Tensor, golden: torch.Tensor, lengths: Sequence[torch.Tensor]) -> Padding | None:
    """In what their padding differs, where everything else is the same; ``None`` where that is not so, or not proved.

    Two contiguous tensors on the CPU of one dtype, whose sizes differ in one dimension behind the first, or in none.
    Padding is what ends every row in one value on either side; or, on one side alone, what is behind ``lengths``, which
    are integers of shape ``(rows,)`` that both batches have. Sizes that differ by something else are no padding.
    """
    if here.dim() != golden.dim() or here.dim() < _RANK or not here.numel() or not golden.numel():
        return None
    uneven = [dim for dim in range(here.dim()) if here.shape[dim] != golden.shape[dim]]
    if len(uneven) > 1 or 0 in uneven:
        return None
    for dim in uneven or range(1, here.dim()):
        sides = _Rows.of(here, dim), _Rows.of(golden, dim)
        found = _same_side(*sides) or _other_side(*sides) or _behind(*sides, lengths)
        if found is not None:
            return Padding(dim, *found)
    return None


@dataclass(frozen=True, slots=True)
class _Rows:
    """A tensor's bits as ``(rows, positions, words of a position)``."""

    bits: torch.Tensor
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: torch.Tensor, dim: int) -> _Rows:
        moved = tensor.movedim(dim, 1).contiguous()
        return cls(bits(moved).view(moved.shape[0], moved.shape[1], -1), tensor.dtype)

    @property
    def length(self) -> int:
        return self.bits.shape[1]

    def flipped(self) -> _Rows:
        return _Rows(self.bits.flip(1), self.dtype)

    def equal(self, other: _Rows) -> torch.Tensor:
        """Which positions are the same as the other's, as far as both have them: ``(rows, positions)``."""
        both = min(self.length, other.length)
        return _every(self.bits[:, :both] == other.bits[:, :both])

    def element(self, row: int, position: int) -> torch.Tensor:
        """The bits of the first element at a position."""
        return self.bits[row, position, : self.dtype.itemsize // self.bits.element_size()]

    def only_value(self, where: torch.Tensor) -> Plain | None:
        """The one value at all positions ``where`` holds; ``None`` where there are several, or no position."""
        if not bool(where.any()):
            return None
        row, position = (int(one) for one in where.nonzero()[0])
        value = self.element(row, position)
        return self.plain(value) if bool(_holds(self.bits[where], value).all()) else None

    def plain(self, value: torch.Tensor) -> Plain:
        """Bits as a value."""
        item = value.contiguous().view(self.dtype).item()
        return str(item) if isinstance(item, complex) else item


def _holds(positions: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Which of ``(positions, words)`` hold the value's bits throughout."""
    return _every(_every(positions.view(len(positions), -1, value.numel()) == value))


def _every(mask: torch.Tensor) -> torch.Tensor:
    """``mask.all(-1)``, which torch is slow at where there is but one."""
    return mask.squeeze(-1) if mask.shape[-1] == 1 else mask.all(-1)


def _same_side(here: _Rows, golden: _Rows) -> tuple[Pad, Pad] | None:
    """Both padded on the right, or both on the left."""
    for side, turn in _TURNS.items():
        ours, theirs = turn(here), turn(golden)
        same = _runs(ours.equal(theirs))
        tails = _from(same, ours.length), _from(same, theirs.length)
        values = ours.only_value(tails[0]), theirs.only_value(tails[1])
        if any(value is None and bool(tail.any()) for value, tail in zip(values, tails, strict=True)):
            continue
        runs = (ours.length - same)[(same > 0) & (same < ours.length)]  # of rows that are not all padding
        proper = bool((same > 0).any()) if ours.length != theirs.length else bool((runs >= _RUN).any())
        if proper:
            return Pad(side, values[0]), Pad(side, values[1])
    return None


def _identity(rows: _Rows) -> _Rows:
    return rows


_TURNS: dict[str, Callable[[_Rows], _Rows]] = {"right": _identity, "left": _Rows.flipped}


def _from(starts: torch.Tensor, length: int) -> torch.Tensor:
    """Positions of each row from its start on: ``(rows, length)``."""
    return torch.arange(length, device="cpu") >= starts[:, None]


def _other_side(here: _Rows, golden: _Rows) -> tuple[Pad, Pad] | None:
    """One padded on the left, the other on the right."""
    found = _left_and_right(here, golden)
    if found is not None:
        return Pad("left", found[0]), Pad("right", found[1])
    found = _left_and_right(golden, here)
    return None if found is None else (Pad("right", found[1]), Pad("left", found[0]))


def _left_and_right(left: _Rows, right: _Rows) -> tuple[Plain, Plain] | None:
    """The two pad values, if the first is padded on the left and the second on the right.

    The longer one is padded in every row. The shorter may not be: its value is the longer's, or the first row's.
    """
    whole = left.length == right.length
    moved = [row for row in range(len(left.bits)) if not (whole and torch.equal(left.bits[row], right.bits[row]))]
    if not moved:
        return None
    own = left.element(moved[0], 0), right.element(moved[0], -1)
    longer = own[left.length < right.length]
    for values in ((longer, longer), own):
        if _aligned(left, right, moved, values):
            return left.plain(values[0]), right.plain(values[1])
    return None


def _aligned(left: _Rows, right: _Rows, rows: list[int], values: tuple[torch.Tensor, torch.Tensor]) -> bool:
    """Whether each row is the same between the two pad values, and not all rows are those alone."""
    proper = False
    whole = min(left.length, right.length)
    for row in rows:
        ours, theirs = left.bits[row], right.bits[row]
        starts, ends = _holds(ours, values[0]), _holds(theirs, values[1])
        before, behind = _run(starts), _run(ends.flip(0))
        # what is valid may itself begin in the pad value: its first other element stands at one place in both
        counts = left.length - before + _run(_holds(theirs, values[0])), whole
        if not any(
            0 < count <= whole
            and left.length - count <= before
            and right.length - count <= behind
            and torch.equal(ours[left.length - count :], theirs[:count])
            for count in counts
        ):
            return False
        proper |= not bool((starts | _holds(ours, values[1])).all())
    return proper


def _runs(holding: torch.Tensor) -> torch.Tensor:
    """How many positions of each row hold, before the first that does not."""
    first = holding.to(torch.uint8).argmin(1)
    return torch.where(holding.all(1), holding.shape[1], first)


def _run(holding: torch.Tensor) -> int:
    return int(_runs(holding[None]))


def _behind(here: _Rows, golden: _Rows, lengths: Sequence[torch.Tensor]) -> tuple[Pad, Pad] | None:
    """Both padded on the right behind the same lengths, at least one of them with one value."""
    same = here.equal(golden)
    both = same.shape[1]
    for given in lengths:
        counts = given.to(torch.int64)
        if counts.shape != (len(same),) or not 0 < int(counts.min()) <= int(counts.max()) <= both:
            continue
        if bool((same | _from(counts, both)).all()):
            values = here.only_value(_from(counts, here.length)), golden.only_value(_from(counts, golden.length))
            if values != (None, None):
                return Pad("right", values[0]), Pad("right", values[1])
    return None
