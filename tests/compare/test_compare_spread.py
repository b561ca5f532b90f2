"""The spread of what passes: what a second look at both tensors, whole and in float64, would say."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from pytest_parity.compare.dtypes import dtype_name
from pytest_parity.compare.judge import Outcome, StreamJudge, judge
from pytest_parity.compare.region import LengthRegion
from pytest_parity.compare.update import UpdateJudge
from pytest_parity.golden.entry import Entry
from pytest_parity.result import Tolerance, Verdict
from pytest_parity.site import Kind, Site

TOLERANCE = Tolerance(1e-3, 1e-6)
LONG = 3 << 17
"""Elements of several chunks."""


class Held:
    """A golden of tensors in memory, read in chunks of half a megabyte."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        self.tensors = tensors
        self.entries = [
            Entry(
                Site(Kind.OUTPUT, str(place)),
                0,
                place,
                dtype_name(one.dtype),
                tuple(one.shape),
                "",
                "",
                place,
                one.nbytes,
            )
            for place, one in enumerate(tensors)
        ]

    def chunks(self, entry: Entry, buffer: torch.Tensor) -> Iterator[torch.Tensor]:
        del buffer
        yield from self.tensors[entry.offset].reshape(-1).split(1 << 17)

    def tensor(self, entry: Entry) -> torch.Tensor:
        return self.tensors[entry.offset]


def agrees(outcome: Outcome, distance: torch.Tensor, reference: torch.Tensor) -> None:
    assert outcome.verdict is Verdict.CLOSE
    assert outcome.spread is not None
    far, own = distance.double().abs(), reference.double()
    assert outcome.spread.max_abs == pytest.approx(float(far.max()), rel=1e-4)
    assert outcome.spread.mean_abs == pytest.approx(float(far.mean()), rel=1e-4)
    assert outcome.spread.rmse == pytest.approx(float(far.square().mean().sqrt()), rel=1e-4)
    assert outcome.spread.std == pytest.approx(float(far.std(correction=0)), rel=1e-3, abs=outcome.spread.rmse / 100)
    assert outcome.spread.relative_l2 == pytest.approx(float(far.norm() / own.norm()), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("moved", [slice(None), slice(LONG - 5, LONG), slice(0, 5)])
def test_of_a_value(dtype: torch.dtype, moved: slice):
    reference = torch.randn(LONG, generator=torch.Generator().manual_seed(0)).to(dtype)
    actual = reference.clone()
    tolerance = Tolerance(2e-2, 1e-6) if dtype is torch.bfloat16 else TOLERANCE
    actual[moved] *= 1 + 2 * torch.finfo(dtype).eps
    distance = actual.double() - reference.double()
    held = Held(reference)
    agrees(StreamJudge(held, measure=True)(held.entries[0], actual, tolerance), distance, reference)
    agrees(judge(actual, reference, tolerance, measure=True), distance, reference)


@pytest.mark.parametrize("moved", [slice(None), slice(LONG - 5, LONG)])
def test_of_an_update_it_is_the_updates(moved: slice):
    start = torch.randn(LONG, generator=torch.Generator().manual_seed(0))
    expected = start + 1.0
    actual = expected.clone()
    actual[moved] += 1e-4
    held = Held(expected, start)
    outcome = UpdateJudge(held, measure=True)(*held.entries, actual, None, Tolerance(1e-2, 1e-6))
    agrees(outcome, actual.double() - expected.double(), expected.double() - start.double())


def test_within_a_valid_region():
    reference = torch.randn(2, 5)
    actual = reference * (1 + 1e-4)
    actual[1, 3:] = 9.0
    outcome = judge(actual, reference, TOLERANCE, region=LengthRegion(1, (5, 3)), measure=True)
    inside = LengthRegion(1, (5, 3)).mask((2, 5))
    agrees(outcome, (actual - reference)[inside], reference[inside])


def test_of_differences_whose_squares_float32_cannot_hold():
    reference = torch.full((4,), 1e-25)
    outcome = judge(reference * (1 + 1e-6), reference, Tolerance(1e-3, 0.0), measure=True)
    assert outcome.spread is not None
    assert 0 < outcome.spread.rmse < 1e-30


def test_nothing_is_measured_unasked():
    reference = torch.randn(8)
    assert judge(reference * (1 + 1e-6), reference, TOLERANCE).spread is None
    assert judge(reference.clone(), reference, TOLERANCE, measure=True).spread is None


def test_a_reference_of_zeros_has_no_relative_error():
    outcome = judge(torch.full((4,), 1e-9), torch.tensor([0.0, 0.0, 0.0, 1.0]) * 0, Tolerance(0.5, 1e-8), measure=True)
    assert outcome.verdict is Verdict.VACUOUS
    assert outcome.metrics is not None
    assert math.isinf(outcome.metrics.spread.relative_l2)
