"""Spread: how far the elements of a site are apart in sum, gathered from distances that another pass computes anyway."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from pytest_parity.result import Spread

__all__ = ["Spreading"]


class Spreading:
    """The spread of a site whose pieces arrive one after the other; those that are equal need not come."""

    def __init__(self) -> None:
        self._largest = self._sum = self._squares = self._own = 0.0

    def add(self, distance: torch.Tensor, expected: torch.Tensor) -> None:
        """Take a piece: ``|a-r|``, and ``r`` in the same floating dtype, all of it finite."""
        self._largest = max(self._largest, float(distance.amax()))
        self._sum += float(distance.sum())
        squares = float(torch.dot(distance, distance))
        if squares == 0.0 or not math.isfinite(squares):  # beyond what the work dtype holds, perhaps
            wide = distance.double()
            squares = float(torch.dot(wide, wide))
        self._squares += squares
        self.add_own([expected])

    def add_own(self, pieces: Iterable[torch.Tensor]) -> None:
        """Take pieces of ``r`` where the two are equal."""
        for piece in pieces:
            flat = piece if piece.dtype in {torch.float32, torch.float64} else piece.float()
            self._own += float(torch.dot(flat, flat))

    def result(self, elements: int, *, reference: float | None = None) -> Spread:
        """Of all ``elements``; ``reference`` is ``||r||``, where it is known already."""
        norm = math.sqrt(self._own) if reference is None else reference
        error = math.sqrt(self._squares)
        relative = error / norm if norm else math.inf if error else 0.0
        count = max(elements, 1)
        return Spread(self._largest, self._sum / count, error / math.sqrt(count), relative)
