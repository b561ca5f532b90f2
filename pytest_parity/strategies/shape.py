"""Shapes, and the sizes that the tensors of one input have in common."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pytest_parity.errors import UsageError

__all__ = ["Shape", "Side", "any_shapes", "as_shape", "as_side", "shapes", "size"]

Side = int | SearchStrategy[int]
"""A dimension's size: a number, or a strategy of one (``size("batch", 1, 4)``, ``integers(1, 9)``)."""

Shape = SearchStrategy[tuple[int, ...]]


def size(name: str, smallest: int = 1, largest: int = 8) -> SearchStrategy[int]:
    """A size by name: wherever the name stands in one input it is the same number. Shrinks to ``smallest``.

    The bounds belong to the name, and are to be the same at each of its places.
    """
    _check_bounds(f"size({name!r}, {smallest}, {largest})", smallest, largest)
    return st.shared(st.integers(smallest, largest), key=f"pytest_parity.size {name}")


def shapes(*sides: Side) -> Shape:
    """Shapes of a known rank: ``shapes(size("batch"), size("time"), 64)``."""
    return st.tuples(*map(as_side, sides))


def any_shapes(*, smallest_rank: int = 1, largest_rank: int = 3, smallest: int = 1, largest: int = 8) -> Shape:
    """Shapes of any rank and size within the bounds. Shrinks to few dimensions, then to small ones."""
    _check_bounds("any_shapes", smallest_rank, largest_rank)
    _check_bounds("any_shapes", smallest, largest)
    sides = st.lists(st.integers(smallest, largest), min_size=smallest_rank, max_size=largest_rank)
    return sides.map(tuple)


def as_side(side: Side) -> SearchStrategy[int]:
    """A size as a strategy; raises ``UsageError`` on what is none."""
    if isinstance(side, SearchStrategy):
        return side
    if isinstance(side, bool) or not isinstance(side, int) or side < 0:
        raise UsageError(f"{side!r} is no size: give a number from 0, or a strategy as size('time', 1, 16)")
    return st.just(side)


def as_shape(shape: Shape | tuple[Side, ...] | list[Side]) -> Shape:
    """A shape as a strategy; a tuple's sides may be strategies themselves."""
    if isinstance(shape, SearchStrategy):
        return shape
    if isinstance(shape, (tuple, list)):
        return shapes(*shape)
    raise UsageError(f"shape={shape!r}: give a tuple of sizes, shape=(2, size('time'), 8), or a strategy of shapes")


def _check_bounds(what: str, smallest: int, largest: int) -> None:
    if not 0 <= smallest <= largest:
        raise UsageError(f"{what}: the smallest is {smallest}, the largest {largest}; give 0 <= smallest <= largest")
