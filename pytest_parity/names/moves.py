"""Moving tensors by a proven layout, from the candidate's arrangement into the reference's and back.

What is a view of a tensor stays one: nothing is copied where a fused tensor is looked at part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch

from pytest_parity.names.bound import BoundNames
from pytest_parity.names.layout import Fill, Gather, Layout, Recipe, View

__all__ = ["in_reference", "states_in_reference", "to_candidate", "to_reference"]

Give = Callable[[str], "torch.Tensor"]
"""A tensor of the other side, by its name."""


def to_reference(layout: Layout, name: str, give: Give) -> torch.Tensor:
    """A tensor of the reference, made of the candidate's."""
    return _made(layout.to_reference[name], layout.reference[name], give)


def to_candidate(layout: Layout, name: str, give: Give) -> torch.Tensor:
    """A tensor of the candidate, made of the reference's."""
    return _made(layout.to_candidate[name], layout.candidate[name], give)


def in_reference(
    names: BoundNames, tensors: Mapping[str, torch.Tensor | None]
) -> Iterator[tuple[str, torch.Tensor | None]]:
    """Tensors by ``names.path`` of the candidate's as the reference's: those that are rearranged come together.

    A layout of which a tensor is not among them does not come; one of which a tensor is ``None`` comes as ``None``.
    """
    done: set[int] = set()
    for name, tensor in tensors.items():
        layout = names.layouts.get(name)
        if layout is None:
            yield name, tensor
        elif id(layout) not in done and tensors.keys() >= layout.candidate.keys():
            done.add(id(layout))
            yield from _whole(layout, tensors)


def states_in_reference(
    names: BoundNames, states: Mapping[str, Mapping[str, torch.Tensor]]
) -> Iterator[tuple[str, str, torch.Tensor]]:
    """An optimizer's state of rearranged tensors (path, then leaf) as the reference's: name, leaf, value.

    State with the tensor's shape is rearranged as it is. Anything else (``step``) is shared: each of the reference's
    has it if all of the candidate's agree; those that do not come side by side, which no recorded one equals.
    """
    for layout in {id(one): one for name, one in names.layouts.items() if name in states}.values():
        held = [states.get(name, {}) for name in layout.candidate]
        for leaf in (leaf for leaf in held[0] if all(leaf in state for state in held)):
            values = {name: states[name][leaf] for name in layout.candidate}
            shapes = {name: tuple(value.shape) for name, value in values.items()}
            if layout.elementwise(leaf, shapes, layout.candidate):
                yield from ((name, leaf, to_reference(layout, name, values.__getitem__)) for name in layout.reference)
            else:
                shared = _shared(list(values.values()))
                yield from ((name, leaf, shared) for name in layout.reference)


def _shared(values: list[torch.Tensor]) -> torch.Tensor:
    if all(value.shape == values[0].shape and torch.equal(value, values[0]) for value in values):
        return values[0]
    return torch.cat([value.detach().reshape(-1) for value in values])


def _whole(layout: Layout, tensors: Mapping[str, torch.Tensor | None]) -> Iterator[tuple[str, torch.Tensor | None]]:
    own = {name: tensor for name in layout.candidate if (tensor := tensors[name]) is not None}
    for name in layout.reference:
        yield name, None if len(own) < len(layout.candidate) else to_reference(layout, name, own.__getitem__)


def _made(recipe: Recipe, shape: tuple[int, ...], give: Give) -> torch.Tensor:
    if isinstance(recipe, View):
        return _view(_contiguous(give(recipe.source)), recipe)
    if isinstance(recipe, Gather):
        flat = torch.cat([_contiguous(give(source)).view(-1) for source in recipe.sources])
        return flat[torch.from_numpy(recipe.numbers).to(flat.device)]
    return _filled(recipe, shape, give)


def _filled(recipe: Fill, shape: tuple[int, ...], give: Give) -> torch.Tensor:
    made: torch.Tensor | None = None
    for place in recipe.places:
        source = give(place.source).detach()
        if made is None:
            made = torch.empty(shape, dtype=source.dtype, device=source.device)
        _view(made, place).copy_(source)
    assert made is not None
    return made


def _view(contiguous: torch.Tensor, view: View) -> torch.Tensor:
    return contiguous.as_strided(view.shape, view.strides, contiguous.storage_offset() + view.offset)


def _contiguous(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return (tensor if tensor.layout is torch.strided else tensor.to_dense()).contiguous()
