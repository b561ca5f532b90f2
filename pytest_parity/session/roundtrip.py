"""The round trip of a candidate's own tensors through the reference's arrangement, bit for bit, before any is used."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from pytest_parity.compare.dtypes import same_bits
from pytest_parity.errors import NameMapError
from pytest_parity.names import BoundNames
from pytest_parity.names.layout import Layout
from pytest_parity.names.moves import to_candidate, to_reference

__all__ = ["check_round_trip"]


def check_round_trip(names: BoundNames, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ``NameMapError`` where a rearranged tensor (by ``names.path``) does not come back as it was."""
    for layout in {id(one): one for one in names.layouts.values()}.values():
        own = [tensors[name] for name in layout.candidate if name in tensors and not tensors[name].is_meta]
        if len(own) == len(layout.candidate) and len({tensor.dtype for tensor in own}) == 1:  # else structures differ
            _check(layout, tensors, names)


def _check(layout: Layout, tensors: Mapping[str, torch.Tensor], names: BoundNames) -> None:
    there = {name: to_reference(layout, name, tensors.__getitem__) for name in layout.reference}
    for name in layout.candidate:
        own, back = tensors[name].detach(), to_candidate(layout, name, there.__getitem__)
        if own.shape != back.shape or own.dtype is not back.dtype or not same_bits(_flat(own), _flat(back)):
            raise NameMapError(
                f"name rule {' and '.join(layout.rules)}: {names.back(name)} {tuple(own.shape)} does not come back bit "
                f"for bit from {', '.join(f'{one} {shape}' for one, shape in layout.reference.items())}"
            )


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(-1)
