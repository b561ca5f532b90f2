"""Moving: tensors by one unit in the last place, at random, from a seed: what must not matter to any result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from pytest_parity.capture import leaves, rebuilt
from pytest_parity.contract.structure import Structure
from pytest_parity.golden.entry import Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.session.reference import Reference
from pytest_parity.site import Kind

__all__ = ["MovedReference", "move_outputs", "moved"]

_ANY = 1 << 10
"""Wider than any dtype."""
_WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def moved(tensor: torch.Tensor, key: str, *, whole: bool = False) -> torch.Tensor:
    """A copy on the CPU, every element one unit in the last place up or down, as ``key`` says.

    Zeros stay zero (padding is padding), and so does what is not finite. A tensor whose values are all whole, and one of
    integers, is returned as it is: counts and masks have no last place; ``whole``: they are known to be no such thing.
    """
    if tensor.is_complex():
        return torch.view_as_complex(moved(torch.view_as_real(tensor.detach().resolve_conj()).contiguous(), key))
    word = _WORDS.get(tensor.element_size())
    if not tensor.is_floating_point() or word is None or not tensor.numel():
        return tensor
    if not whole and bool((tensor == tensor.round()).all()):
        return tensor
    values = tensor.detach().cpu().contiguous()
    generator = torch.Generator(device="cpu").manual_seed(_number(key))
    sign = torch.randint(0, 2, values.shape, dtype=torch.int8, generator=generator, device="cpu")
    nudged = (values.view(word) + (2 * sign - 1).to(word)).view(values.dtype)
    return torch.where((values != 0) & torch.isfinite(values) & torch.isfinite(nudged), nudged, values)


def _number(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


class MovedReference(Reference):
    """A golden whose trainable weights, gradients and floating inputs are moved; ``seed`` tells the draws apart."""

    def __init__(self, golden: Golden, seed: str) -> None:
        super().__init__(golden)
        self._seed = seed
        self.moves = False
        """Whether anything was moved so far: not where all there is are ids and whole values."""
        structure = golden.manifest["structure"]
        tensors = Structure.from_plain(structure).tensors if structure else {}
        self._trainable = frozenset(name for name, one in tensors.items() if one.trainable)

    def number(self, name: str) -> int:
        """A seed of this draw's own."""
        return _number(f"{self._seed}|{name}")

    def read(self, entry: Entry) -> torch.Tensor:
        """The tensor, moved if it is one of those."""
        value, site = super().read(entry), entry.site
        if site.kind in {Kind.BATCH, Kind.GRADIENT} or (site.kind is Kind.WEIGHT and site.path in self._trainable):
            return self.moved(value, f"{entry.step}|{site}")
        return value

    def moved(self, value: torch.Tensor, name: str, *, whole: bool = False) -> torch.Tensor:
        """A tensor moved as this draw says of a name; ``whole``: also where its numbers are."""
        found = moved(value, f"{self._seed}|{name}", whole=whole)
        self.moves = self.moves or found is not value
        return found


def move_outputs(model: torch.nn.Module, move: Callable[[torch.Tensor, str], torch.Tensor]) -> list[RemovableHandle]:
    """Have ``move`` what innermost modules return where moving their parameters would move nothing.

    That is in a narrower dtype than any parameter has: under autocast the last place of a parameter is below what its
    modules compute with; and in any dtype of a module that is frozen: behind ids, which stay, it would give the same
    bits in all draws, and to round is what it does all the same. Gradients pass as if nothing had been moved. Returns the
    hooks, to be removed; they come before those set later.
    """
    widths = [tensor.element_size() for tensor in model.parameters() if tensor.requires_grad]
    handles = []
    for name, one in model.named_modules():
        own = list(one.parameters())
        width = _ANY if own and not any(tensor.requires_grad for tensor in own) else min(widths, default=0)
        if width and next(one.children(), None) is None:
            handles.append(one.register_forward_hook(partial(_moved_output, name, width, move)))
    return handles


def _moved_output(
    name: str, width: int, move: Callable[[torch.Tensor, str], torch.Tensor], _module: Any, _args: Any, output: Any
) -> Any:
    if torch.compiler.is_compiling():
        return None
    narrow = {
        leaf: move(tensor, f"{name}|{leaf}")
        for leaf, tensor in leaves(output, "out")
        if tensor is not None and tensor.is_floating_point() and tensor.element_size() < width
    }
    return rebuilt(output, dict(narrow), "out") if narrow else None
