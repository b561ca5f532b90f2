"""The elements of a site that fails, as a report shows them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pytest_parity.compare.closeup import Closeups
from pytest_parity.compare.region import LengthRegion
from pytest_parity.golden import Golden, GoldenWriter
from pytest_parity.result import Closeup
from pytest_parity.site import Kind, Site

Keep = Callable[..., Any]


def look(keep: Keep, ours: torch.Tensor, theirs: torch.Tensor, *, buffer_bytes: int = 1 << 20) -> Closeup:
    golden, (entry,) = keep(theirs)
    found = Closeups(golden, buffer_bytes).value(entry, ours, None)
    assert found is not None
    histogram = found.histogram
    assert sum(histogram.counts) + histogram.equal + histogram.nonfinite == theirs.numel()
    return found


def test_the_farthest_elements_come_first_with_their_place_and_both_values(keep: Keep):
    theirs = torch.zeros(3, 8)
    ours = theirs.clone()
    ours[2, 1], ours[0, 3], ours[1, 7] = 0.5, -2.0, 1.0
    worst = look(keep, ours, theirs).worst
    assert [one.index for one in worst] == [(0, 3), (1, 7), (2, 1)]
    assert [(one.here, one.reference) for one in worst] == [(-2.0, 0.0), (1.0, 0.0), (0.5, 0.0)]


def test_at_most_ten_are_told_and_of_equally_far_ones_the_first(keep: Keep):
    theirs = torch.zeros(40)
    ours = torch.ones(40)
    ours[33] = 2.0
    worst = look(keep, ours, theirs).worst
    assert [one.index for one in worst] == [(33,), *((place,) for place in range(9))]


def test_pieces_of_a_tensor_tell_the_same_as_the_whole(keep: Keep):
    generator = torch.Generator().manual_seed(0)
    theirs = torch.randn(50, 20, generator=generator)
    ours = theirs + 1e-3 * torch.randn(50, 20, generator=generator)
    golden, (entry,) = keep(theirs)
    assert Closeups(golden, 64).value(entry, ours, None) == Closeups(golden).value(entry, ours, None)


def test_the_histogram_counts_by_powers_of_ten(keep: Keep):
    theirs = torch.zeros(6, dtype=torch.float64)
    ours = torch.tensor([0.0, 1.5e-3, -1.2e-3, 1.5e-1, 1.5, 1.6], dtype=torch.float64)
    histogram = look(keep, ours, theirs).histogram
    starts = {
        round(histogram.start + place * histogram.width, 2): count
        for place, count in enumerate(histogram.counts)
        if count
    }
    assert histogram.width == 0.25
    assert starts == {-3.0: 2, -1.0: 1, 0.0: 2}
    assert histogram.equal == 1


def test_a_wide_histogram_has_few_bars(keep: Keep):
    theirs = torch.zeros(600, dtype=torch.float64)
    ours = torch.tensor([10.0 ** (place - 300) for place in range(600)], dtype=torch.float64)
    assert len(look(keep, ours, theirs).histogram.counts) <= 48


def test_what_is_not_finite_is_the_worst_and_a_nan_agrees_with_a_nan(keep: Keep):
    theirs = torch.tensor([1.0, math.nan, 2.0, math.inf, 5.0])
    ours = torch.tensor([9.0, math.nan, math.nan, math.inf, math.inf])
    found = look(keep, ours, theirs)
    assert [one.index for one in found.worst] == [(2,), (4,), (0,)]
    assert (found.histogram.equal, found.histogram.nonfinite) == (2, 2)


@pytest.mark.parametrize(
    ("ours", "theirs", "here", "reference"),
    [
        (torch.tensor([5, 2**62]), torch.tensor([5, 2**62 + 1]), 2**62, 2**62 + 1),
        (torch.tensor([False, True]), torch.tensor([False, False]), True, False),
        (torch.tensor([0.1]), torch.tensor([0.2]), 0.1, 0.2),
        (torch.tensor([3 + 4j]), torch.tensor([0j]), 5.0, 0.0),
        (torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([2.0], dtype=torch.bfloat16), 1.0, 2.0),
    ],
    ids=["integers", "booleans", "as short as it is", "moduli", "bfloat16"],
)
def test_values_are_told_as_they_are(keep: Keep, ours, theirs, here, reference):
    worst = look(keep, ours, theirs).worst[0]
    assert (worst.here, worst.reference) == (here, reference)
    assert type(worst.here) is type(here)


def test_equal_tensors_have_none(keep: Keep):
    golden, (entry,) = keep(torch.ones(4))
    assert Closeups(golden).value(entry, torch.ones(4), None) is None


def test_padding_is_left_out_and_places_are_those_of_the_whole(keep: Keep):
    theirs = torch.zeros(2, 4)
    ours = torch.tensor([[0.0, 1.0, 9.0, 9.0], [0.0, 0.0, 2.0, 9.0]])
    golden, (entry,) = keep(theirs)
    found = Closeups(golden).value(entry, ours, LengthRegion(1, (2, 3)))
    assert found is not None
    assert [one.index for one in found.worst] == [(1, 2), (0, 1)]
    assert found.histogram.equal == 3


def test_of_an_update_what_was_added_is_told(tmp_path):
    start, new = torch.tensor([100.0, 100.0]), torch.tensor([101.0, 102.0])
    writer = GoldenWriter(tmp_path, "case")
    writer.write(0, 0, Site(Kind.WEIGHT, "w"), start)
    writer.write(0, 1, Site(Kind.UPDATED_WEIGHT, "w"), new)
    writer.finish_step(0, {})
    writer.commit(provenance={}, settings={}, structure={}, history=[])
    with Golden.find(tmp_path, "case") as golden:
        begun, entry = golden.entries(0)
        found = Closeups(golden).update(entry, begun, torch.tensor([101.0, 105.0]), None)
        own = Closeups(golden).update(entry, begun, torch.tensor([1.0, 5.0]), torch.zeros(2))
    assert found is not None
    assert [(one.index, one.here, one.reference) for one in found.worst] == [((1,), 5.0, 2.0)]
    assert own == found
