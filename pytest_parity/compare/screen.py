"""Screen: the cheap pass, which says "all within tolerance" of a pair of pieces, or leaves it to the metrics."""

from __future__ import annotations

import torch

from pytest_parity.compare.dtypes import screen_dtype
from pytest_parity.compare.pieces import Scratch
from pytest_parity.compare.spread import Spreading
from pytest_parity.result import Tolerance

__all__ = ["Screen", "UpdateScreen", "widened"]

_GUARD = 16
"""Roundings of the work dtype by which the screen is stricter than the rule."""


class Screen:
    """``|a-r| <= atol + rtol*|r|`` over the pieces of one site, as ``max(|a-r| - rtol*|r|) <= atol``.

    Computed in the work dtype (float32, or float64 for float64) with both numbers of the tolerance made smaller by more
    than the rounding on the way can add, so that a pass here is a pass of the rule in exact arithmetic; what is nearer
    to the bound, and whatever holds a NaN or an infinity, is for the metrics to decide. ``largest`` is the reference's
    largest magnitude so far, followed only until it is above ``atol``. ``spread`` takes what is measured besides.
    """

    def __init__(
        self, tolerance: Tolerance, dtype: torch.dtype, scratch: Scratch, spread: Spreading | None = None
    ) -> None:
        self.spread = spread
        self._scratch = scratch
        self._work = screen_dtype(dtype)
        guard = 0.0 if self._work is None else 1.0 - _GUARD * torch.finfo(self._work).eps
        self._rtol = tolerance.rtol * guard
        self._zeros_pass = tolerance.rtol >= 1
        self._bound = tolerance.atol * guard
        self._atol = tolerance.atol
        self.largest = 0.0

    @property
    def vacuous(self) -> bool:
        """Whether zeros would pass, as far as the pieces seen tell: see ``Accumulator``."""
        return self._zeros_pass or self.largest <= self._atol > 0

    def __call__(self, actual: torch.Tensor, expected: torch.Tensor) -> bool:
        """Whether two flat pieces of one dtype are certainly within tolerance."""
        work = self._work
        if work is None:
            return False
        actual = widened(actual, work, "wide_actual", self._scratch)
        expected = widened(expected, work, "wide_expected", self._scratch)
        distance = self._scratch.take("distance", work, actual.numel())
        torch.sub(actual, expected, out=distance).abs_()
        if self.spread is not None:
            self.spread.add(distance, expected)
        distance.sub_(self._magnitude(expected), alpha=self._rtol)
        return float(distance.amax()) <= self._bound

    def _magnitude(self, expected: torch.Tensor) -> torch.Tensor:
        size = self._scratch.take("size", expected.dtype, expected.numel())
        torch.abs(expected, out=size)
        if self.vacuous:
            self.largest = max(self.largest, float(size.amax()))
        return size


class UpdateScreen(Screen):
    """The same for an update, new minus start, with the rounding of the weights allowed for."""

    def __init__(
        self,
        tolerance: Tolerance,
        dtype: torch.dtype,
        scratch: Scratch,
        slack: float,
        spread: Spreading | None = None,
    ) -> None:
        super().__init__(tolerance, dtype, scratch, spread)
        epsilon = 0.0 if self._work is None else torch.finfo(self._work).eps
        self._slack = slack * (1.0 - _GUARD * epsilon)
        self._own_rtol = self._rtol - 4 * epsilon  # each of two updates is rounded, by less than eps of the larger

    def update(
        self, new: torch.Tensor, begun: torch.Tensor | None, expected: torch.Tensor, start: torch.Tensor
    ) -> bool:
        """Whether flat pieces are certainly within tolerance: new weights, their start, and the reference's of both.

        ``begun`` is None where the two starts are one; then no update of the candidate's own needs to be rounded.
        """
        work, scratch = self._work, self._scratch
        if work is None:
            return False
        new = widened(new, work, "wide_actual", scratch)
        expected = widened(expected, work, "wide_expected", scratch)
        start = widened(start, work, "wide_start", scratch)
        distance = scratch.take("distance", work, new.numel())
        moved = torch.sub(expected, start, out=scratch.take("moved", work, new.numel()))
        if begun is None:
            torch.sub(new, expected, out=distance)
        else:
            torch.sub(new, widened(begun, work, "wide_begun", scratch), out=distance).sub_(moved)
        size = self._magnitude(moved)
        distance.abs_()
        if self.spread is not None:
            self.spread.add(distance, moved)
        distance.sub_(torch.abs(expected, out=moved), alpha=self._slack)
        distance.sub_(size, alpha=self._rtol if begun is None else self._own_rtol)
        return float(distance.amax()) <= self._bound


def widened(piece: torch.Tensor, dtype: torch.dtype, name: str, scratch: Scratch) -> torch.Tensor:
    """A piece in another dtype: itself, or a copy in the scratch buffer ``name``."""
    return piece if piece.dtype is dtype else scratch.take(name, dtype, piece.numel()).copy_(piece)
