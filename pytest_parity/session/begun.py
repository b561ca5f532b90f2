"""What an optimizer's step of the reference began with, for a rule in closed form: in float64, read when asked."""

from __future__ import annotations

import math
from functools import cached_property

import torch

from pytest_parity.diagnose.hints.rules import Begin
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.site import Kind, Site

__all__ = ["Begun"]

_COUNTS = ("step", "state_step", "t")
"""Leaves of a state in which optimizers count their steps."""


class Begun:
    """The beginnings of one optimizer's step; ``held`` are the reference's names of its parameters."""

    def __init__(self, golden: Golden, step: int, place: int, held: frozenset[str]) -> None:
        self._golden = golden
        self.step = step
        self._held = held
        self._states: dict[str, dict[str, Entry]] = {}
        for entry in golden.entries(step):
            if entry.site.kind is Kind.OPTIMIZER and entry.site.optimizer == place:
                self._states.setdefault(entry.site.path, {})[entry.site.leaf] = entry

    def knows(self, path: str) -> bool:
        """Whether the golden has a parameter's weight and gradient."""
        return self._entry(Kind.WEIGHT, path) is not None and self._entry(Kind.GRADIENT, path) is not None

    def weight(self, path: str) -> torch.Tensor:
        """The weight."""
        return self._tensor(self._entry(Kind.WEIGHT, path))

    def begin(self, path: str) -> Begin:
        """All of it."""
        entries = {leaf: entry for leaf, entry in self._states.get(path, {}).items() if entry.dtype != NONE}
        state = {leaf: self._tensor(entry) for leaf, entry in entries.items()}
        counted = next((state[leaf] for leaf in _COUNTS if leaf in state and state[leaf].numel() == 1), None)
        taken = self.step if counted is None else int(counted)
        return Begin(
            weight=self.weight(path),
            gradient=self._tensor(self._entry(Kind.GRADIENT, path)),
            state=state,
            count=taken + 1,
            total=self.total,
        )

    @cached_property
    def total(self) -> float:
        """The norm of all gradients that the optimizer holds."""
        entries = (self._entry(Kind.GRADIENT, path) for path in self._held)
        squares = [float(self._tensor(entry).square().sum()) for entry in entries if entry is not None]
        return math.sqrt(sum(squares))

    def _entry(self, kind: Kind, path: str) -> Entry | None:
        entry = self._golden.entry(self.step, Site(kind, path))
        return None if entry is None or entry.dtype == NONE else entry

    def _tensor(self, entry: Entry | None) -> torch.Tensor:
        assert entry is not None
        return self._golden.tensor(entry).double()
