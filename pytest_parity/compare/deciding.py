"""Deciding: whether a tolerance or the noise floor has the say at a site, and the verdict that it gives."""

from __future__ import annotations

from dataclasses import replace

import torch

from pytest_parity.compare.dtypes import dtype_name
from pytest_parity.compare.floor import default_factor, of_squares
from pytest_parity.compare.judge import Outcome, StreamJudge
from pytest_parity.compare.measure import FloorJudge, fits
from pytest_parity.compare.region import Region
from pytest_parity.compare.tolerance import Tolerances
from pytest_parity.compare.update import UpdateJudge
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.noise import Floor
from pytest_parity.golden.reader import Golden, torch_dtype
from pytest_parity.result import Tolerance
from pytest_parity.site import Kind

__all__ = ["Deciding", "of_size"]


class Deciding:
    """Judges values of one golden's sites.

    ``tolerances`` are what was declared; ``factor`` of the noise floor holds where nothing was (``None``: the dtype's), and
    ``allow_dtype`` has values of another dtype compared, ``measure`` how far what passes is apart told.
    """

    def __init__(self, golden: Golden, *, factor: float | None, allow_dtype: bool, measure: bool = False) -> None:
        self._golden = golden
        self.tolerances = Tolerances()
        self.factor = factor
        self._allow_dtype = allow_dtype
        self._factors: dict[str, Tolerance] = {}
        self._judge = StreamJudge(golden, measure=measure)
        self._update = UpdateJudge(golden, measure=measure)
        self._by_floor = FloorJudge(golden, self._judge, self._update, measure=measure)

    def value(
        self, entry: Entry, value: torch.Tensor | None, call: Tolerance | None, *, region: Region | None
    ) -> Outcome:
        """The verdict on a value; ``call`` is a tolerance of this call only."""
        by_floor = self._floor(entry, value, call)
        if by_floor is None:
            tolerance = self._tolerance(entry, value, call)
            return self._judge(entry, value, tolerance, region=region, allow_dtype=self._allow_dtype)
        assert value is not None
        return self._by_floor(entry, value, *by_floor, region)

    def update(
        self,
        entry: Entry,
        start: Entry,
        new: torch.Tensor,
        own: torch.Tensor | None,
        call: Tolerance | None,
        *,
        led: bool,
    ) -> Outcome | None:
        """The verdict on an update, new minus start; ``own`` is its start (``None``: the golden's).

        ``led``: the candidate's own gradients led to it. ``None`` for weights of another dtype where that is allowed:
        they are compared as they are.
        """
        if self._allow_dtype and dtype_name(new.dtype) != entry.dtype:
            return None
        by_floor = self._floor(entry, new, call, own=led)
        if by_floor is not None and (start.shape, start.dtype) == (entry.shape, entry.dtype):
            tolerance, floor = by_floor
            return self._by_floor.update(entry, start, new, own, tolerance=tolerance, floor=floor)
        return self._update(entry, start, new, own, self._tolerance(entry, new, call))

    def what(self, entry: Entry, call: Tolerance | None = None) -> tuple[Tolerance, Floor | None]:
        """What decides about a value of the golden's own shape and dtype."""
        value = torch.empty(entry.shape, dtype=torch_dtype(entry), device="meta")
        return self._floor(entry, value, call) or (self._tolerance(entry, value, call), None)

    def _floor(
        self, entry: Entry, value: torch.Tensor | None, call: Tolerance | None, *, own: bool = False
    ) -> tuple[Tolerance, Floor] | None:
        """The factor and the floor that decide at a site; ``None`` where a tolerance does, or there is no floor."""
        noise = self._golden.noise
        if noise is None or not fits(entry, value):
            return None
        declared = self.tolerances.declared(entry.site, call)
        if declared is not None and declared.factor is None:
            return None
        floor = noise.of(entry.step, entry.order, own=own)
        if floor is None:
            return None
        tolerance = declared or self._factor_of(entry.dtype)
        return of_squares(tolerance, floor) if entry.site.kind is Kind.OPTIMIZER else tolerance, floor

    def _factor_of(self, dtype: str) -> Tolerance:
        known = self._factors.get(dtype)
        if known is None:
            factor = default_factor(dtype) if self.factor is None else self.factor
            known = self._factors[dtype] = Tolerance(0.0, 0.0, "noise floor", factor)
        return known

    def _tolerance(self, entry: Entry, value: torch.Tensor | None, call: Tolerance | None) -> Tolerance:
        dtype = entry.dtype if value is None else dtype_name(value.dtype)
        found = self.tolerances.of(entry.site, dtype, entry.dtype, call)
        if entry.site.kind is not Kind.PROBE or entry.dtype == NONE:
            return found
        return of_size(found, self._golden.tensor(entry))


def of_size(tolerance: Tolerance, expected: torch.Tensor) -> Tolerance:
    """A tolerance for a probe's output: atol is meant for numbers around 1, and those may be far larger."""
    largest = float(expected.abs().amax()) if expected.numel() else 0.0
    return replace(tolerance, atol=max(tolerance.atol, 2 * tolerance.rtol * largest))
