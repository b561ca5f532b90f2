"""A layout: tensors of the candidate that are the same numbers as tensors of the reference, differently arranged.

Every element is numbered on the reference's side, the rules are applied to the numbers, and what comes out must hold
each number exactly once: then the way back exists, and is read off the same numbers. What moves tensors later is not
the rules again but this: a strided view where it is one, else a table of element numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NoReturn, TypeAlias

import numpy as np

from pytest_parity.errors import NameMapError
from pytest_parity.names.expression import Expression
from pytest_parity.names.rearrange import Numbers, evaluate

__all__ = ["REARRANGED", "Fill", "Gather", "Layout", "Recipe", "Ruled", "View", "prove"]

REARRANGED = " (rearranged)"
"""Behind the candidate's own name of a tensor that is no tensor of the reference as it is, but by a layout."""

Shape: TypeAlias = "tuple[int, ...]"
Shapes: TypeAlias = "Mapping[str, Shape]"


@dataclass(frozen=True, slots=True)
class View:
    """A strided view of one contiguous tensor; ``strides`` and ``offset`` count elements."""

    source: str
    shape: Shape
    strides: Shape
    offset: int


@dataclass(frozen=True, slots=True)
class Fill:
    """Each source's elements go to a strided view of what is made; together they are all of it."""

    places: tuple[View, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Elements by number, of the sources one behind the other."""

    sources: tuple[str, ...]
    numbers: Numbers


Recipe: TypeAlias = "View | Fill | Gather"


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Tensors of either side that hold the same elements, and how to make each of one side from the other's."""

    candidate: Shapes
    reference: Shapes
    to_candidate: Mapping[str, Recipe]
    to_reference: Mapping[str, Recipe]
    rules: tuple[str, ...]
    """The user's, as they were written."""

    def elementwise(self, leaf: str, shapes: Shapes, own: Shapes) -> bool:
        """Whether an optimizer's state of these tensors goes with their elements, as ``exp_avg`` does and ``step`` not.

        ``own`` is the side that they are of. A state with the tensor's shape does, except for a scalar's ``step``.
        """
        return all(shapes[name] == own[name] and (shapes[name] != () or leaf != "step") for name in shapes)


@dataclass(frozen=True, slots=True)
class Ruled:
    """A tensor of the candidate, what it is made of (the reference's names), and the rule that says so."""

    own: str
    shape: Shape
    expression: Expression
    rule: str

    @property
    def name(self) -> str:
        """Its name in a layout, which no name of the reference can be."""
        return self.own + REARRANGED


def prove(tensors: Sequence[Ruled], reference: Shapes) -> Layout:
    """The layout of tensors whose rules share tensors of the reference.

    Raises ``NameMapError`` where a shape does not come out, an element is used twice, or one is left over.
    """
    names = tuple(dict.fromkeys(leaf for tensor in tensors for leaf in tensor.expression.leaves()))
    shapes = {name: reference[name] for name in names}
    numbered, starts = {}, _starts(shapes)
    for name, shape in shapes.items():
        numbered[name] = np.arange(starts[name], starts[name] + prod(shape)).reshape(shape)
    made = {tensor.name: _applied(tensor, numbered, shapes) for tensor in tensors}
    back = _inverted(tensors, made, shapes)
    return Layout(
        candidate={tensor.name: tensor.shape for tensor in tensors},
        reference=shapes,
        to_candidate={name: _recipe(name, made, back) for name in made},
        to_reference={name: _recipe(name, back, made) for name in back},
        rules=tuple(dict.fromkeys(tensor.rule for tensor in tensors)),
    )


def _starts(shapes: Shapes) -> dict[str, int]:
    starts, total = {}, 0
    for name, shape in shapes.items():
        starts[name] = total
        total += prod(shape)
    return starts


def _applied(tensor: Ruled, numbered: Mapping[str, Numbers], shapes: Shapes) -> Numbers:
    try:
        made = evaluate(tensor.expression, numbered)
    except ValueError as error:
        raise NameMapError(f"name rule {tensor.rule}: {error}") from None
    if made.shape != tensor.shape:
        of = ", ".join(f"{name} {shapes[name]}" for name in dict.fromkeys(tensor.expression.leaves()))
        raise NameMapError(
            f"name rule {tensor.rule}: it gives {made.shape}, and the candidate's {tensor.own} has {tensor.shape} "
            f"(of the reference's {of})"
        )
    return made


def _inverted(tensors: Sequence[Ruled], made: Mapping[str, Numbers], shapes: Shapes) -> dict[str, Numbers]:
    """For each tensor of the reference the numbers of its elements among the candidate's."""
    total = sum(map(prod, shapes.values()))
    flat = np.concatenate([array.reshape(-1) for array in made.values()])
    inverse = np.full(total, -1)
    inverse[flat] = np.arange(flat.size)
    if flat.size != total or bool((inverse < 0).any()):
        _refuse(tensors, np.bincount(flat, minlength=total), shapes)
    starts = _starts(shapes)
    return {name: inverse[starts[name] : starts[name] + prod(shape)].reshape(shape) for name, shape in shapes.items()}


def _refuse(tensors: Sequence[Ruled], used: Numbers, shapes: Shapes) -> NoReturn:
    """Say which elements are used more or less than once."""
    rules = list(dict.fromkeys(tensor.rule for tensor in tensors))
    said = f"name rule{'s' * (len(rules) > 1)} {' and '.join(rules)}"
    if bool((used > 1).any()):
        raise NameMapError(f"{said}: they overlap: {_elements(used > 1, shapes)} would be used twice")
    raise NameMapError(
        f"{said}: they leave a gap: {_elements(used < 1, shapes)} would be in no tensor of the candidate's "
        f"(there are rules for {', '.join(tensor.own for tensor in tensors)})"
    )


def _elements(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]], shapes: Shapes) -> str:
    """How many of the first tensor that has any of the chosen elements, and the first of them."""
    for name, start in _starts(shapes).items():
        own = chosen[start : start + prod(shapes[name])]
        if own.any():
            first = [int(place) for place in np.unravel_index(int(own.argmax()), shapes[name])]
            return f"{int(own.sum())} of the {own.size} elements of {name} {shapes[name]}, the first at {first},"
    raise AssertionError


def _recipe(name: str, wanted: Mapping[str, Numbers], other: Mapping[str, Numbers]) -> Recipe:
    """How to make a tensor of one side: ``wanted`` are that side's element numbers, in terms of the ``other`` side."""
    numbers = wanted[name]
    starts = _starts({source: array.shape for source, array in other.items()})
    start = _starts({target: array.shape for target, array in wanted.items()})[name]
    touched = [source for source in other if len(wanted) == 1 or _any_within(other[source], start, numbers.size)]
    if len(touched) == 1:
        view = _view(touched[0], numbers, starts[touched[0]])
        if view is not None:
            return view
    if sum(other[source].size for source in touched) == numbers.size:  # nothing of them goes elsewhere
        places = [_view(source, other[source], start) for source in touched]
        found = tuple(place for place in places if place is not None)
        if len(found) == len(places):
            return Fill(found)
    local, behind = numbers.copy(), 0
    for source in touched:
        own = (numbers >= starts[source]) & (numbers < starts[source] + other[source].size)
        local[own] += behind - starts[source]
        behind += other[source].size
    return Gather(tuple(touched), local)


def _any_within(numbers: Numbers, start: int, size: int) -> bool:
    if numbers.size == 0 or int(numbers.max()) < start or int(numbers.min()) >= start + size:
        return False
    return bool(((numbers >= start) & (numbers < start + size)).any())


def _view(source: str, numbers: Numbers, start: int) -> View | None:
    """The view of ``source``, whose elements count from ``start``, that has these numbers, if they are regular."""
    if numbers.size == 0:
        return None
    first = int(numbers.reshape(-1)[0])
    strides, expected = [], np.array(first)
    for dim, size in enumerate(numbers.shape):
        place = tuple(1 if other == dim else 0 for other in range(numbers.ndim))
        stride = int(numbers[place]) - first if size > 1 else 1
        strides.append(stride)
        expected = expected[..., None] + np.arange(size) * stride
    if min(strides, default=0) < 0 or not np.array_equal(expected, numbers):
        return None
    return View(source, numbers.shape, tuple(strides), first - start)
