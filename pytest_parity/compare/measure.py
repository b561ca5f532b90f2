"""Measure: the two statistics of a site against a golden's tensor, read in chunks; and the verdict of the noise floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from pytest_parity.compare.dtypes import is_exact, same_bits
from pytest_parity.compare.floor import Distance, default_factor, noise_of, verdict_of
from pytest_parity.compare.judge import Outcome, Source, StreamJudge, before_values
from pytest_parity.compare.pieces import Pieces, Scratch
from pytest_parity.compare.region import Region
from pytest_parity.compare.update import UpdateJudge
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.noise import Floor
from pytest_parity.golden.reader import torch_dtype
from pytest_parity.result import Tolerance, Verdict

__all__ = ["FloorJudge", "Meter", "fits"]

_NOTHING = Tolerance(0.0, 0.0)
_Pairs = Iterator[tuple[torch.Tensor, torch.Tensor]]
_Aligned = Iterator[tuple[torch.Tensor, "torch.Tensor | None", torch.Tensor, torch.Tensor]]


class Meter:
    """Measures tensors of a golden's shapes and dtypes. Memory as ``StreamJudge``."""

    def __init__(self, golden: Source, buffer_bytes: int = 1 << 20, *, measure: bool = False) -> None:
        self._golden = golden
        self._measure = measure
        with torch.inference_mode(mode=False):
            self._buffers = [torch.empty(buffer_bytes, dtype=torch.uint8, device="cpu") for _ in range(2)]
        self._scratch = Scratch()

    def site(
        self,
        entry: Entry,
        actual: torch.Tensor,
        *,
        region: Region | None = None,
        reference: float = 0.0,
        precise: bool = False,
    ) -> Distance | None:
        """The distance of ``actual`` from the golden's; ``None`` where they are equal bit for bit, unless ``precise``.

        ``reference`` is the norm of the golden's tensor, ``precise`` measures that too, in float64.
        """
        ours, chunks = Pieces(actual, self._scratch), self._golden.chunks(entry, self._buffers[0])
        if region is not None:
            mask = region.mask(entry.shape)
            theirs = self._golden.tensor(entry)[mask]
            ours, chunks = Pieces(actual.detach()[mask.to(actual.device)], self._scratch), iter((theirs,))
        distance = Distance(
            torch_dtype(entry),
            self._scratch,
            expected=reference,
            count=ours.elements,
            precise=precise,
            measure=self._measure,
        )
        start, equal = 0, not precise
        for chunk in chunks:
            stop = start + chunk.numel()
            piece = ours.take(start, stop)
            equal = equal and same_bits(piece, chunk)
            if not equal:
                distance.add(piece, chunk)
            start = stop
        distance.elements = ours.elements
        return None if equal else distance

    def update(
        self,
        entry: Entry,
        start_entry: Entry,
        new: torch.Tensor,
        start: torch.Tensor | None,
        *,
        reference: float = 0.0,
        precise: bool = False,
    ) -> Distance | None:
        """The same of an update, new minus start; ``start`` is ``None`` where it is the golden's."""
        ours = Pieces(new, self._scratch, "new")
        distance = Distance(
            torch_dtype(entry),
            self._scratch,
            expected=reference,
            count=ours.elements,
            precise=precise,
            measure=self._measure,
        )
        equal = not precise
        for piece, begun, expected, expected_start in self._aligned(ours, start, entry, start_entry):
            own = None if begun is None or same_bits(begun, expected_start) else begun
            equal = equal and own is None and same_bits(piece, expected)
            if not equal:
                distance.add_update(piece, own, expected, expected_start)
        distance.elements = ours.elements
        return None if equal else distance

    def _aligned(self, ours: Pieces, start: torch.Tensor | None, entry: Entry, start_entry: Entry) -> _Aligned:
        begun = None if start is None else Pieces(start, self._scratch, "start")
        pairs: _Pairs = zip(
            self._golden.chunks(entry, self._buffers[0]),
            self._golden.chunks(start_entry, self._buffers[1]),
            strict=True,
        )
        at = 0
        for expected, expected_start in pairs:
            stop = at + expected.numel()
            yield ours.take(at, stop), None if begun is None else begun.take(at, stop), expected, expected_start
            at = stop


class FloorJudge:
    """Judges by the noise floor; what it cannot judge so (another shape or dtype, what is not finite) others judge."""

    def __init__(self, golden: Source, site: StreamJudge, update: UpdateJudge, *, measure: bool = False) -> None:
        self._meter = Meter(golden, measure=measure)
        self._site = site
        self._update = update

    def __call__(
        self, entry: Entry, actual: torch.Tensor, tolerance: Tolerance, floor: Floor, region: Region | None
    ) -> Outcome:
        """The verdict on ``actual`` against the golden's ``entry``: of one shape and dtype."""
        distance = self._meter.site(entry, actual, region=region, reference=floor.reference)
        outcome = _judged(distance, entry, tolerance, floor)
        if outcome is None or outcome.verdict.fails:
            full = self._site(entry, actual, _NOTHING, region=region)
            return _explained(full, outcome, tolerance)
        return outcome if distance is not None else replace(outcome, elements=_compared(entry, region))

    def update(
        self,
        entry: Entry,
        start_entry: Entry,
        new: torch.Tensor,
        start: torch.Tensor | None,
        *,
        tolerance: Tolerance,
        floor: Floor,
    ) -> Outcome:
        """The verdict on an update: four tensors of one shape and dtype."""
        distance = self._meter.update(entry, start_entry, new, start, reference=floor.reference)
        outcome = _judged(distance, entry, tolerance, floor)
        if outcome is None or outcome.verdict.fails:
            full = self._update(entry, start_entry, new, start, _NOTHING)
            return _explained(full, outcome, tolerance)
        return outcome if distance is not None else replace(outcome, elements=new.numel())


def fits(entry: Entry, actual: torch.Tensor | None) -> bool:
    """Whether the noise floor can judge: one shape, one dtype."""
    if actual is None or entry.dtype == NONE:
        return False
    dtype = torch_dtype(entry)
    return before_values(actual, (entry.shape, dtype)) is None and actual.dtype is dtype


def _judged(distance: Distance | None, entry: Entry, tolerance: Tolerance, floor: Floor) -> Outcome | None:
    """``None`` where a value that is not finite stands against another."""
    if distance is None:
        return Outcome(Verdict.EQUAL, tolerance)
    if distance.broken:
        return None
    assert tolerance.factor is not None
    dtype = torch_dtype(entry)
    noise = noise_of(distance, floor, tolerance.factor)
    verdict = verdict_of(noise, floor, exact=is_exact(dtype, dtype))
    if verdict is Verdict.BELOW_NOISE and floor.norm * default_factor(entry.dtype) < floor.reference:
        verdict = Verdict.VACUOUS  # it is the factor declared that lets zeros pass, not the noise
    spread = distance.spread(floor.reference)
    return Outcome(verdict, tolerance, elements=distance.elements, noise=noise, spread=spread)


def _explained(full: Outcome, judged: Outcome | None, tolerance: Tolerance) -> Outcome:
    """The metrics of a site that fails, with what the floor said."""
    if judged is None:
        return replace(full, tolerance=tolerance)
    return replace(full, verdict=judged.verdict, tolerance=tolerance, noise=judged.noise)


def _compared(entry: Entry, region: Region | None) -> int:
    count = 1
    for length in entry.shape:
        count *= length
    return count if region is None else int(region.mask(entry.shape).sum())
