"""Metrics: how far two tensors are apart, in one pass over pieces, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pytest_parity.compare.dtypes import is_exact
from pytest_parity.compare.pieces import Pieces, Scratch
from pytest_parity.compare.screen import widened
from pytest_parity.result import Metrics, Tolerance

__all__ = ["Accumulator", "metrics", "unravel"]

_BLOCK = 1 << 16
"""Elements at a time: the blocks in float64 stay in the processor's cache."""

_ZERO = torch.zeros((), dtype=torch.float64, device="cpu")


def metrics(actual: torch.Tensor, expected: torch.Tensor, tolerance: Tolerance) -> Metrics:
    """The metrics of two tensors of one shape, of any dtypes, strides and devices, as ``result.Metrics`` defines them.

    Both sides are taken to float64 (complex128), which holds every value of the narrower dtypes, and sums run there. Of
    complex numbers the modulus of the difference counts, the inner product's real part, and the worst element's values
    are moduli. Where both sides are integers or booleans the tolerance does not apply: any difference mismatches, and
    the allowed bound is 0.
    """
    accumulator = Accumulator(tolerance, actual.dtype, expected.dtype, Scratch())
    pieces = Pieces(actual, Scratch()), Pieces(expected, Scratch())
    for ours, theirs in zip(pieces[0].of(_BLOCK), pieces[1].of(_BLOCK), strict=True):
        accumulator.add(ours, theirs)
    return accumulator.result(actual.shape)


class Accumulator:
    """The metrics of a site whose pieces arrive one after the other, in row-major order."""

    def __init__(
        self, tolerance: Tolerance, actual: torch.dtype, expected: torch.dtype, scratch: Scratch | None = None
    ) -> None:
        self._exact = is_exact(actual, expected)
        self._rtol, self._atol = (0.0, 0.0) if self._exact else (tolerance.rtol, tolerance.atol)
        self._wide = torch.complex128 if actual.is_complex or expected.is_complex else torch.float64
        self._scratch = scratch or Scratch()
        self.elements = self.mismatched = self.nonfinite_actual = self.nonfinite_expected = 0
        self.nonfinite = False
        """Whether the actual value is not finite where the reference has another one."""
        self._finite = 0
        self._max_abs = self._max_rel = self._largest = self._sum = 0.0
        self._squares = self._actual_squares = self._expected_squares = self._product = 0.0
        self._worst = _Worst()

    @property
    def vacuous(self) -> bool:
        """Whether zeros would have passed: ``atol`` is not below the reference's largest magnitude, or ``rtol`` not below 1."""
        return not self._exact and (self._rtol >= 1 or self._largest <= self._atol > 0)

    def add(self, actual: torch.Tensor, expected: torch.Tensor, slack: torch.Tensor | None = None) -> None:
        """Take two flat pieces of one length; ``slack`` (float64) is allowed besides, element by element."""
        for start in range(0, actual.numel(), _BLOCK):
            block = slice(start, start + _BLOCK)
            self._block(actual[block], expected[block], None if slack is None else slack[block])

    def result(self, shape: Sequence[int]) -> Metrics:
        """The metrics of all pieces; ``shape`` is the tensor's, for the worst element's index."""
        norms = math.sqrt(self._actual_squares), math.sqrt(self._expected_squares)
        return Metrics(
            elements=self.elements,
            mismatched=self.mismatched,
            max_abs=self._max_abs,
            max_rel=self._max_rel,
            rmse=math.sqrt(self._squares / self._finite) if self._finite else 0.0,
            relative_l2=_ratio(math.sqrt(self._squares), norms[1]),
            cosine=_cosine(self._product, *norms),
            reference_max=self._largest,
            worst_index=unravel(self._worst.position, shape) if self.elements else (),
            worst_actual=self._worst.actual,
            worst_expected=self._worst.expected,
            worst_allowed=self._worst.allowed,
            nonfinite_actual=self.nonfinite_actual,
            nonfinite_expected=self.nonfinite_expected,
            mean_abs=self._sum / self._finite if self._finite else 0.0,
        )

    def _block(self, actual: torch.Tensor, expected: torch.Tensor, slack: torch.Tensor | None) -> None:
        count = actual.numel()
        ours = widened(actual, self._wide, "ours", self._scratch)
        theirs = widened(expected, self._wide, "theirs", self._scratch)
        distance = self._distance(ours, theirs)
        if self._exact:
            # int64 beyond 2**53 rounds in float64: whether two differ is decided before, and a difference is at least 1
            distance = torch.where(actual != expected, distance.clamp_(min=1.0), 0.0)
        if math.isfinite(float(distance.amax())):
            self._measure(ours, theirs, distance, slack, None)
        else:
            self._split(ours, theirs, distance, slack)
        self.elements += count

    def _distance(self, ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        distance = self._scratch.take("far", torch.float64, ours.numel())
        if self._wide is torch.float64:
            return torch.sub(ours, theirs, out=distance).abs_()
        return torch.abs(ours - theirs, out=distance)

    def _split(
        self, ours: torch.Tensor, theirs: torch.Tensor, distance: torch.Tensor, slack: torch.Tensor | None
    ) -> None:
        """A block with elements that are not finite: those agree only with themselves, the others are measured."""
        finite_ours, finite_theirs = torch.isfinite(ours), torch.isfinite(theirs)
        self.nonfinite_actual += int((~finite_ours).sum())
        self.nonfinite_expected += int((~finite_theirs).sum())
        both = finite_ours & finite_theirs
        wrong = ~(both | (ours == theirs) | (torch.isnan(ours) & torch.isnan(theirs)))
        if bool(wrong.any()):
            self.mismatched += int(wrong.sum())
            infected = wrong & ~finite_ours
            self._unbounded(infected if bool(infected.any()) else wrong, ours, theirs, bool(infected.any()))
        kept = both.nonzero().view(-1)
        if kept.numel():
            self._measure(ours[kept], theirs[kept], distance[kept], None if slack is None else slack[kept], kept)

    def _unbounded(self, wrong: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor, infected: bool) -> None:
        """No allowance helps ``wrong``: the first of them is the worst, or the first with a non-finite actual value."""
        self.nonfinite |= infected
        if self._worst.excess == math.inf and (self._worst.infected or not infected):
            return
        at = int(wrong.to(torch.uint8).argmax())
        actual, expected = _number(ours[at]), _number(theirs[at])
        allowed = self._atol + self._rtol * abs(expected) if math.isfinite(expected) else 0.0
        self._worst = _Worst(math.inf, self.elements + at, actual, expected, allowed, infected)

    def _measure(
        self,
        ours: torch.Tensor,
        theirs: torch.Tensor,
        distance: torch.Tensor,
        slack: torch.Tensor | None,
        positions: torch.Tensor | None,
    ) -> None:
        count = distance.numel()
        size = torch.abs(theirs, out=self._scratch.take("magnitude", torch.float64, count))
        excess = torch.sub(
            distance, size, alpha=self._rtol, out=self._scratch.take("excess", torch.float64, count)
        )  # beyond atol
        if slack is not None:
            excess.sub_(slack)
        self._finite += count
        self._max_abs = max(self._max_abs, float(distance.amax()))
        self._sum += float(distance.sum())
        self._largest = max(self._largest, float(size.amax()))
        self._squares += float(torch.dot(distance, distance))
        self._expected_squares += float(torch.dot(size, size))
        self._actual_squares += float(torch.vdot(ours, ours).real)
        self._product += float(torch.vdot(theirs, ours).real)
        self._relative(distance, size, excess)
        top = float(excess.amax())
        if top > self._atol:
            self.mismatched += int(torch.count_nonzero(excess > self._atol))
        if top > self._worst.excess:
            at = int(excess.argmax())
            position = self.elements + (at if positions is None else int(positions[at]))
            allowed = self._atol + self._rtol * float(size[at]) + (0.0 if slack is None else float(slack[at]))
            self._worst = _Worst(top, position, _number(ours[at]), _number(theirs[at]), allowed)

    def _relative(self, distance: torch.Tensor, size: torch.Tensor, excess: torch.Tensor) -> None:
        ratio = torch.div(distance, size, out=self._scratch.take("ratio", torch.float64, distance.numel()))
        top = float(ratio.amax())
        if math.isnan(top):
            top = float(torch.fmax(ratio, _ZERO, out=ratio).amax())  # 0/0 is NaN: the sides agree on a zero
        if not math.isfinite(top):
            on_zero = torch.where(excess > self._atol, math.inf, 0.0)
            top = float(torch.where(size == 0, on_zero, ratio).amax())
        self._max_rel = max(self._max_rel, top)


@dataclass(frozen=True, slots=True)
class _Worst:
    """The element that exceeds its allowance the most; ``excess`` is how much it does beyond ``atol``."""

    excess: float = -math.inf
    position: int = 0
    actual: float = 0.0
    expected: float = 0.0
    allowed: float = 0.0
    infected: bool = False
    """Whether the actual value is not finite."""


def _number(value: torch.Tensor) -> float:
    return float(value.abs()) if value.is_complex() else float(value)


def unravel(position: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The index of a row-major position."""
    index: list[int] = []
    for size in reversed(shape):
        position, at = divmod(position, size)
        index.append(at)
    return tuple(reversed(index))


def _ratio(part: float, whole: float) -> float:
    if whole == 0:
        return 0.0 if part == 0 else math.inf
    return part / whole


def _cosine(product: float, actual: float, expected: float) -> float:
    """1 for two zero vectors, 0 for one of them; kept within -1 to 1 against rounding."""
    if actual == 0 or expected == 0:
        return 1.0 if actual == expected else 0.0
    return max(-1.0, min(1.0, product / actual / expected))
