"""Judge: the verdict on one site, from a tensor of the candidate and the reference's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

import torch

from pytest_parity.compare.dtypes import dtype_name, is_exact, same_bits
from pytest_parity.compare.metrics import Accumulator
from pytest_parity.compare.pieces import Pieces, Scratch
from pytest_parity.compare.region import Region
from pytest_parity.compare.screen import Screen
from pytest_parity.compare.spread import Spreading
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import torch_dtype
from pytest_parity.result import Metrics, Noise, Spread, Tolerance, Verdict

__all__ = ["EXACTLY", "Outcome", "Source", "StreamJudge", "before_values", "from_metrics", "judge"]

EXACTLY = Tolerance(0.0, 0.0, "integers and booleans are exact")
_CHUNK = 1 << 17
"""Elements at a time of two tensors in memory."""

_Chunks = Callable[[], Iterator[torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided about one site.

    ``tolerance`` is the one that was applied (none where values were not looked at), ``metrics`` are there unless the
    verdict is ``equal`` or ``close`` or values could not be compared, ``elements`` counts the compared ones, ``noise`` is
    there where the noise floor decided, ``spread`` where there are no metrics and it was asked for.
    """

    verdict: Verdict
    tolerance: Tolerance | None = None
    metrics: Metrics | None = None
    detail: str = ""
    elements: int = 0
    noise: Noise | None = None
    spread: Spread | None = None


class Source(Protocol):
    """What ``StreamJudge`` needs of a ``Golden``."""

    def chunks(self, entry: Entry, buffer: torch.Tensor) -> Iterator[torch.Tensor]:
        """The tensor as flat pieces that live in ``buffer`` (uint8) one after the other."""

    def tensor(self, entry: Entry) -> torch.Tensor:
        """The whole tensor, in memory of its own."""


def judge(
    actual: torch.Tensor | None,
    expected: torch.Tensor | None,
    tolerance: Tolerance,
    *,
    region: Region | None = None,
    allow_dtype: bool = False,
    measure: bool = False,
) -> Outcome:
    """The verdict on two tensors of any dtype, strides and device, or on their absence.

    Bitwise equality decides first; then ``|actual - expected| <= atol + rtol * |expected|``, element by element. A NaN
    agrees with a NaN in its place and an infinity with the same infinity; nothing else agrees with either. float16 and
    bfloat16 are compared in float32, float64 in float64, complex numbers by the modulus of the difference, integers and
    booleans exactly, whatever the tolerance. Another dtype is a verdict of its own (``allow_dtype`` compares the values
    instead, in a dtype that holds both), and so is another shape. Two empty tensors of one shape are ``equal`` with 0
    elements, and so are two Nones.

    ``measure`` asks for the spread of what passes and is not equal. Raises ``UsageError`` where ``region`` does not fit
    the shape.
    """
    expected_like = None if expected is None else (tuple(expected.shape), expected.dtype)
    early = before_values(actual, expected_like)
    if early is not None:
        return early
    assert actual is not None
    assert expected is not None
    if region is not None:
        return _within_region(actual, expected, tolerance, region, allow_dtype=allow_dtype, measure=measure)
    scratch = Scratch()
    theirs = Pieces(expected, scratch, "expected")
    return _values(
        actual,
        lambda: theirs.of(_CHUNK),
        expected.dtype,
        tolerance,
        allow_dtype=allow_dtype,
        scratch=scratch,
        measure=measure,
    )


class StreamJudge:
    """Judges tensors against a golden's, which are read in chunks: no copy of either side is kept.

    Verdicts are those of ``judge``. The memory used is ``buffer_bytes`` to read into and work buffers of a few times
    that size; a valid region is the exception, which takes the whole tensor.
    """

    def __init__(self, golden: Source, buffer_bytes: int = 1 << 20, *, measure: bool = False) -> None:
        self._golden = golden
        self._measure = measure
        with torch.inference_mode(mode=False):
            self._buffer = torch.empty(buffer_bytes, dtype=torch.uint8, device="cpu")
        self._scratch = Scratch()

    def __call__(
        self,
        entry: Entry,
        actual: torch.Tensor | None,
        tolerance: Tolerance,
        *,
        region: Region | None = None,
        allow_dtype: bool = False,
    ) -> Outcome:
        """The verdict on ``actual`` against the golden's ``entry``; raises what reading raises (``GoldenError``)."""
        expected = None if entry.dtype == NONE else (entry.shape, torch_dtype(entry))
        early = before_values(actual, expected)
        if early is not None:
            return early
        assert actual is not None
        assert expected is not None
        if region is not None:
            return _within_region(
                actual,
                self._golden.tensor(entry),
                tolerance,
                region,
                allow_dtype=allow_dtype,
                measure=self._measure,
            )
        return _values(
            actual,
            lambda: self._golden.chunks(entry, self._buffer),
            expected[1],
            tolerance,
            allow_dtype=allow_dtype,
            scratch=self._scratch,
            measure=self._measure,
        )


def before_values(actual: torch.Tensor | None, expected: tuple[tuple[int, ...], torch.dtype] | None) -> Outcome | None:
    """The verdict where no value needs to be looked at, from the expected shape and dtype: absence and shapes."""
    if actual is None or expected is None:
        if actual is not None:
            return Outcome(Verdict.EXTRA, detail=f"None expected, got {_text(actual.shape, actual.dtype)}")
        if expected is not None:
            return Outcome(Verdict.MISSING, detail=f"{_text(*expected)} expected, got None")
        return Outcome(Verdict.EQUAL)
    if tuple(actual.shape) != expected[0]:
        return Outcome(Verdict.SHAPE, detail=f"shape {expected[0]} expected, got {tuple(actual.shape)}")
    return None


def from_metrics(accumulator: Accumulator, shape: Sequence[int], tolerance: Tolerance, *, detail: str = "") -> Outcome:
    """The verdict that full metrics give."""
    if accumulator.mismatched:
        verdict = Verdict.NONFINITE if accumulator.nonfinite else Verdict.DIFFERS
    else:
        verdict = Verdict.VACUOUS if accumulator.vacuous else Verdict.CLOSE
    metrics = accumulator.result(shape)
    if verdict is Verdict.CLOSE:
        return Outcome(verdict, tolerance, None, detail, accumulator.elements, spread=metrics.spread)
    return Outcome(verdict, tolerance, metrics, detail, accumulator.elements)


def _values(
    actual: torch.Tensor,
    chunks: _Chunks,
    expected: torch.dtype,
    tolerance: Tolerance,
    *,
    allow_dtype: bool,
    scratch: Scratch,
    measure: bool,
) -> Outcome:
    """Bits, then the screen, then in a second pass the metrics."""
    ours = Pieces(actual, scratch)
    exact = is_exact(actual.dtype, expected)
    applied = EXACTLY if exact else tolerance
    if actual.dtype is expected:
        spread = Spreading() if measure else None
        verdict = _first_pass(ours, chunks, None if exact else Screen(applied, expected, scratch, spread))
        if verdict is not None:
            told = spread.result(ours.elements) if spread is not None and verdict is Verdict.CLOSE else None
            return Outcome(verdict, applied, elements=ours.elements, spread=told)
    accumulator = Accumulator(applied, actual.dtype, expected, scratch)
    start = 0
    for chunk in chunks():
        stop = start + chunk.numel()
        accumulator.add(ours.take(start, stop), chunk)
        start = stop
    outcome = from_metrics(accumulator, actual.shape, applied)
    return outcome if actual.dtype is expected else _other_dtype(outcome, actual, expected, allow_dtype)


def _first_pass(ours: Pieces, chunks: _Chunks, screen: Screen | None) -> Verdict | None:
    """``equal`` or ``close`` where that is certain. Once a chunk differs, equality of the next ones decides nothing."""
    start = alike = 0
    equal = True
    for chunk in chunks():
        stop = start + chunk.numel()
        piece = ours.take(start, stop)
        equal = equal and same_bits(piece, chunk)
        if equal:
            alike += 1
        elif screen is None or not screen(piece, chunk):
            return None
        start = stop
    if equal:
        return Verdict.EQUAL
    if screen is None or screen.vacuous:
        return None
    if screen.spread is not None and alike:
        screen.spread.add_own(islice(chunks(), alike))
    return Verdict.CLOSE


def _other_dtype(outcome: Outcome, actual: torch.Tensor, expected: torch.dtype, allow_dtype: bool) -> Outcome:
    detail = f"{dtype_name(expected)} expected, got {dtype_name(actual.dtype)}"
    if allow_dtype:
        return replace(outcome, detail=f"{detail} (allowed)")
    values = "differ too" if outcome.verdict.fails else "agree within tolerance"
    return replace(outcome, verdict=Verdict.DTYPE, detail=f"{detail}; the values {values}")


def _within_region(
    actual: torch.Tensor,
    expected: torch.Tensor,
    tolerance: Tolerance,
    region: Region,
    *,
    allow_dtype: bool,
    measure: bool,
) -> Outcome:
    mask = region.mask(actual.shape)
    outcome = judge(
        actual.detach()[mask.to(actual.device)],
        expected.detach()[mask.to(expected.device)],
        tolerance,
        allow_dtype=allow_dtype,
        measure=measure,
    )
    if outcome.metrics is None:
        return outcome
    (at,) = outcome.metrics.worst_index
    index = tuple(int(place) for place in mask.nonzero()[at])
    return replace(outcome, metrics=replace(outcome.metrics, worst_index=index))


def _text(shape: Sequence[int], dtype: torch.dtype) -> str:
    return f"{dtype_name(dtype)} of shape {tuple(shape)}"
