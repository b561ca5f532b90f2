"""Update: the verdict on an optimizer's step, by what it added to the weights.

The weights themselves hide the step: with a learning rate of 1e-3 a weight that never moved is within 1e-3 of the one
that did. So the update ``new - start`` is compared with the reference's. But a weight holds only so many digits, and
the update can be known no better than the weight: each side rounds ``start + update`` to within half a unit in the
last place, so two correct updates may be one unit apart however small they are. One unit is at most ``eps * |w|``, and
that is allowed besides: ``|da - dr| <= atol + rtol * |dr| + eps * max(|ref_new|, |ref_start|)``, ``eps`` of the weights'
dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import torch

from pytest_parity.compare.dtypes import is_exact, rounding, same_bits
from pytest_parity.compare.judge import EXACTLY, Outcome, Source, before_values, from_metrics, judge
from pytest_parity.compare.metrics import Accumulator
from pytest_parity.compare.pieces import Pieces, Scratch
from pytest_parity.compare.screen import UpdateScreen
from pytest_parity.compare.spread import Spreading
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import torch_dtype
from pytest_parity.result import Tolerance, Verdict

__all__ = ["UpdateJudge", "judge_update"]

_CHUNK = 1 << 17
_Pairs = Callable[[], Iterator[tuple[torch.Tensor, torch.Tensor]]]


def judge_update(
    new: torch.Tensor | None,
    start: torch.Tensor | None,
    ref_new: torch.Tensor | None,
    ref_start: torch.Tensor | None,
    tolerance: Tolerance,
) -> Outcome:
    """The verdict on the update ``new - start`` against ``ref_new - ref_start``, four tensors of one shape and dtype.

    ``start`` may be None: the step began at the reference's own start. Floating updates are subtracted in float64 and
    judged as the module says; integers and booleans (a BatchNorm's ``num_batches_tracked``) exactly, booleans by
    ``new`` alone. Another shape or dtype of ``new``, and a missing tensor, have the verdicts that ``judge`` gives them.
    """
    if new is None or ref_new is None or ref_start is None:
        return judge(new, ref_new, tolerance)
    for other in (ref_new, ref_start, start):
        if other is not None and (other.shape != new.shape or other.dtype is not new.dtype):
            return judge(new, other, tolerance)
    scratch = Scratch()
    first, second = Pieces(ref_new, scratch, "expected"), Pieces(ref_start, scratch, "ref_start")
    return _judge(new, start, lambda: zip(first.of(_CHUNK), second.of(_CHUNK), strict=True), tolerance, scratch)


class UpdateJudge:
    """The same against a golden's tensors, read in chunks; memory as ``StreamJudge``."""

    def __init__(self, golden: Source, buffer_bytes: int = 1 << 20, *, measure: bool = False) -> None:
        self._golden = golden
        self._measure = measure
        with torch.inference_mode(mode=False):
            self._buffers = [torch.empty(buffer_bytes, dtype=torch.uint8, device="cpu") for _ in range(2)]
        self._scratch = Scratch()

    def __call__(
        self,
        entry: Entry,
        start_entry: Entry,
        new: torch.Tensor | None,
        start: torch.Tensor | None,
        tolerance: Tolerance,
    ) -> Outcome:
        """``entry`` is the updated weight in the golden, ``start_entry`` the same weight at the step's start."""
        expected = None if entry.dtype == NONE else (entry.shape, torch_dtype(entry))
        early = before_values(new, expected)
        if early is not None:
            return early
        assert new is not None
        same = (start_entry.shape, start_entry.dtype) == (entry.shape, entry.dtype)
        if not same or new.dtype is not torch_dtype(entry):
            return judge_update(new, start, self._golden.tensor(entry), self._golden.tensor(start_entry), tolerance)
        return _judge(
            new, start, lambda: self._pairs(entry, start_entry), tolerance, self._scratch, measure=self._measure
        )

    def _pairs(self, entry: Entry, start_entry: Entry) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return zip(
            self._golden.chunks(entry, self._buffers[0]),
            self._golden.chunks(start_entry, self._buffers[1]),
            strict=True,
        )


def _judge(
    new: torch.Tensor,
    start: torch.Tensor | None,
    pairs: _Pairs,
    tolerance: Tolerance,
    scratch: Scratch,
    *,
    measure: bool = False,
) -> Outcome:
    ours = Pieces(new, scratch, "new")
    ours_start = None if start is None else Pieces(start, scratch, "start")
    exact = is_exact(new.dtype, new.dtype)
    applied = EXACTLY if exact else tolerance
    spread = Spreading() if measure else None
    screen = None if exact else UpdateScreen(applied, new.dtype, scratch, rounding(new.dtype), spread)
    verdict = _first_pass(ours, ours_start, pairs, screen)
    if verdict is not None:
        told = spread.result(ours.elements) if spread is not None and verdict is Verdict.CLOSE else None
        return Outcome(verdict, applied, elements=ours.elements, spread=told)
    accumulator = Accumulator(applied, new.dtype, new.dtype, scratch)
    for piece, begun, expected, expected_start in _aligned(ours, ours_start, pairs):
        _add(accumulator, piece, expected_start if begun is None else begun, expected, expected_start)
    return from_metrics(accumulator, new.shape, applied)


def _first_pass(ours: Pieces, ours_start: Pieces | None, pairs: _Pairs, screen: UpdateScreen | None) -> Verdict | None:
    equal, alike = True, 0
    for piece, begun, expected, expected_start in _aligned(ours, ours_start, pairs):
        own = None if begun is None or same_bits(begun, expected_start) else begun
        equal = equal and own is None and same_bits(piece, expected)
        if equal:
            alike += 1
        elif screen is None or not screen.update(piece, own, expected, expected_start):
            return None
    if equal:
        return Verdict.EQUAL
    if screen is None or screen.vacuous:
        return None
    if screen.spread is not None and alike:
        screen.spread.add_own(new.float() - start.float() for new, start in islice(pairs(), alike))
    return Verdict.CLOSE


def _aligned(
    ours: Pieces, ours_start: Pieces | None, pairs: _Pairs
) -> Iterator[tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor]]:
    at = 0
    for expected, expected_start in pairs():
        stop = at + expected.numel()
        begun = None if ours_start is None else ours_start.take(at, stop)
        yield ours.take(at, stop), begun, expected, expected_start
        at = stop


def _add(
    accumulator: Accumulator,
    new: torch.Tensor,
    start: torch.Tensor,
    expected: torch.Tensor,
    expected_start: torch.Tensor,
) -> None:
    if new.dtype is torch.bool:
        accumulator.add(new, expected)
    elif is_exact(new.dtype, new.dtype):
        accumulator.add(new - start, expected - expected_start)
    else:
        wide = torch.complex128 if new.is_complex() else torch.float64
        weight, weight_start = expected.to(wide), expected_start.to(wide)
        slack = torch.maximum(weight.abs(), weight_start.abs()).mul_(rounding(new.dtype))
        accumulator.add(new.to(wide) - start.to(wide), weight - weight_start, slack)
