"""Beginning: what a step of the reference began with, as the candidate has it arranged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch

from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.names import BoundNames
from pytest_parity.names.moves import to_candidate
from pytest_parity.site import Kind

__all__ = ["Beginning"]


class Beginning:
    """Weights, gradients and optimizer state of one step, by ``names.path`` of the candidate's tensors; read when asked."""

    def __init__(self, entries: Iterable[Entry], names: BoundNames, read: Callable[[Entry], torch.Tensor]) -> None:
        self._names = names
        self._read = read
        self.weights: dict[str, Entry] = {}
        """By the reference's names."""
        self._gradients: dict[str, Entry] = {}
        self._states: dict[tuple[str, int], dict[str, Entry]] = {}
        for entry in entries:
            site = entry.site
            if site.kind is Kind.WEIGHT:
                self.weights[site.path] = entry
            elif site.kind is Kind.GRADIENT:
                self._gradients[site.path] = entry
            elif site.kind is Kind.OPTIMIZER:
                self._states.setdefault((site.path, site.optimizer), {})[site.leaf] = entry

    def shape(self, name: str) -> tuple[int, ...] | None:
        """What the candidate's tensor has to have; ``None`` where the golden does not hold all of its weights."""
        layout = self._names.layouts.get(name)
        if layout is None:
            return self.weights[name].shape if name in self.weights else None
        return layout.candidate[name] if self.weights.keys() >= layout.reference.keys() else None

    def weight(self, name: str) -> torch.Tensor:
        """The weight; its shape was asked for before."""
        return self._arranged(name, self.weights)

    def has_gradient(self, name: str) -> bool:
        """Whether the golden says what the gradient was, be it ``None``."""
        return all(one in self._gradients for one in self._names.tensors(name))

    def gradient(self, name: str) -> torch.Tensor | None:
        """The gradient; ``None`` where the reference's, or a part's of it, was."""
        if any(self._gradients[one].dtype == NONE for one in self._names.tensors(name)):
            return None
        return self._arranged(name, self._gradients)

    def state(self, name: str | None, place: int) -> dict[str, torch.Tensor]:
        """The state that an optimizer held for a parameter.

        What has the parameter's shape is rearranged as it is. Anything else (``step``) is shared by all of it, and not
        there where the parts do not agree.
        """
        if name is None:
            return {}
        held = {one: self._states.get((one, place), {}) for one in self._names.tensors(name)}
        first = next(iter(held.values()))
        leaves = [leaf for leaf in first if all(leaf in state for state in held.values())]
        layout = self._names.layouts.get(name)
        if layout is None:
            return {leaf: self._read(first[leaf]) for leaf in leaves}
        found = {}
        for leaf in leaves:
            entries = {one: state[leaf] for one, state in held.items()}
            if layout.elementwise(leaf, {one: entry.shape for one, entry in entries.items()}, layout.reference):
                found[leaf] = self._arranged(name, entries)
            else:
                values = [self._read(entry) for entry in entries.values()]
                if all(value.shape == values[0].shape and torch.equal(value, values[0]) for value in values):
                    found[leaf] = values[0]
        return found

    def _arranged(self, name: str, entries: Mapping[str, Entry]) -> torch.Tensor:
        layout = self._names.layouts.get(name)
        if layout is None:
            return self._read(entries[name])
        return to_candidate(layout, name, lambda one: self._read(entries[one]))
