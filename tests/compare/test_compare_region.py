from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_parity.compare.judge import judge
from pytest_parity.compare.region import LengthRegion, MaskRegion, Region, match
from pytest_parity.compare.valid import Valid, resolve
from pytest_parity.errors import UsageError
from pytest_parity.result import Tolerance, Verdict
from pytest_parity.site import Kind, Site

Batch = namedtuple("Batch", "audio lengths")  # noqa: PYI024  the plain kind is what is tested
EXACT = Tolerance(0.0, 0.0)
MASK = torch.tensor([[True, True, False], [True, False, True]])


def test_the_mask_keeps_the_first_positions_of_each_example():
    mask = LengthRegion(1, (3, 1)).mask((2, 3))
    assert mask.tolist() == [[True, True, True], [True, False, False]]
    assert torch.equal(LengthRegion(-1, (3, 1)).mask((2, 5, 3)), mask[:, None, :].expand(2, 5, 3))
    assert torch.equal(LengthRegion(1, (3, 1)).mask((2, 3, 4)), mask[:, :, None].expand(2, 3, 4))


@pytest.mark.parametrize(
    ("region", "shape", "message"),
    [
        (LengthRegion(3, (1, 2)), (2, 4, 5), r"dim=3 does not fit shape \(2, 4, 5\): dim must be 1 to 2"),
        (LengthRegion(0, (1, 2)), (2, 4), r"dim=0 does not fit shape \(2, 4\).*dimension 0 holds the examples"),
        (LengthRegion(-3, (1, 2)), (2, 4), r"dim=-3 does not fit"),
        (LengthRegion(1, (1, 2)), (3, 4), r"2 lengths for 3 examples"),
        (LengthRegion(1, (0, 0)), (2, 4), r"leaves nothing of shape \(2, 4\) to compare: every length is 0"),
        (LengthRegion(1, (1, 7)), (2, 4), r"lengths 1, 7 do not lie in 0..4, the size of dimension 1"),
        (LengthRegion(1, (1, -1)), (2, 4), r"lengths 1, -1 do not lie"),
        (LengthRegion(1, ()), (0, 4), r"leaves nothing"),
    ],
)
def test_a_region_that_does_not_fit_is_refused(region: Region, shape: tuple[int, ...], message: str):
    with pytest.raises(UsageError, match=message):
        region.mask(shape)


@pytest.mark.parametrize(
    ("lengths", "batch"),
    [
        ([4, 2], None),
        (torch.tensor([4, 2]), None),
        ("audio_len", {"audio_len": torch.tensor([4, 2])}),
        ("1", [torch.zeros(3), torch.tensor([4, 2])]),
        ("lengths", Batch(None, torch.tensor([4, 2]))),
        ("labels.size", {"labels": SimpleNamespace(size=[4, 2])}),
        (lambda batch: batch["n"] // 2, {"n": torch.tensor([8, 5])}),
    ],
)
def test_lengths_are_found_in_the_batch(lengths: Any, batch: Any):
    assert resolve({"encoder.*": Valid(dim=1, lengths=lengths)}, batch) == {"encoder.*": LengthRegion(1, (4, 2))}


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ("audio_length", r"valid 'encoder': the batch has no 'audio_length': no 'audio_length' among audio_len, x"),
        ("x.first", r"the batch has no 'x.first': no 'first' among 0, 1"),
        ("x.7", r"no '7' among 0, 1"),
        (torch.tensor([0.5, 1.0]), r"lengths must be integers, one per example; got a tensor of torch.float32"),
        (torch.tensor(3), r"got a tensor of torch.int64 and shape \(\)"),
        ([True, False], r"lengths must be integers"),
        (lambda batch: None, r"got NoneType None"),
    ],
)
def test_lengths_that_are_none_are_refused(lengths: Any, message: str):
    with pytest.raises(UsageError, match=message):
        resolve({"encoder": Valid(dim=1, lengths=lengths)}, {"audio_len": [1, 2], "x": [[1], [2]]})


def test_the_last_region_that_matches_holds():
    regions = {
        "encoder.*": LengthRegion(1, (1,)),
        "encoder.layers.*": LengthRegion(2, (2,)),
        "encoder/out.0": LengthRegion(1, (3,)),
    }
    shape = (1, 4, 4)
    assert match(regions, Site(Kind.ACTIVATION, "encoder.layers.0", 0), shape) == LengthRegion(2, (2,))
    assert match(regions, Site(Kind.INPUT, "encoder.pre", 0, "in.0"), shape) == LengthRegion(1, (1,))
    assert match(regions, Site(Kind.ACTIVATION, "encoder", 0, "out.0"), shape) == LengthRegion(1, (3,))
    assert match(regions, Site(Kind.ACTIVATION, "encoder", 0, "out.1"), shape) is None
    assert match({}, Site(Kind.ACTIVATION, "encoder", 0), shape) is None


@pytest.mark.parametrize("region", [LengthRegion(1, (3, 1)), LengthRegion(-1, (3, 1)), MaskRegion((0, 1), MASK)])
@pytest.mark.parametrize("kind", [Kind.INPUT, Kind.ACTIVATION, Kind.OUTPUT])
def test_what_lacks_the_dimension_is_compared_whole(region: Region, kind: Kind):
    assert match({"*": region}, Site(kind, "encoder", 0, "in.1"), (2,)) is None


def test_an_input_that_it_does_not_fit_is_compared_whole_and_another_tensor_is_refused():
    regions = {"enc*": LengthRegion(1, (3, 1))}
    assert match(regions, Site(Kind.INPUT, "encoder", 0, "in.1"), (1, 5)) is None
    with pytest.raises(UsageError) as caught:
        match(regions, Site(Kind.ACTIVATION, "encoder", 0, "out.1"), (1, 5))
    assert str(caught.value) == (
        "activation/encoder#0/out.1: valid region of dim=1 does not fit shape (1, 5): 2 lengths for 1 examples. It is that "
        "of 'enc*'; a pattern with a leaf, as in 'encoder/out.1', means one tensor of a module"
    )


def test_regions_hold_for_calls_and_outputs_only():
    regions = {"*": LengthRegion(1, (1,))}
    held = {kind for kind in Kind if match(regions, Site(kind, "x"), (1, 4)) is not None}
    assert held == {Kind.PROBE, Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT, Kind.OUTPUT}


def test_what_is_padded_is_not_compared_and_what_is_valid_is():
    reference = torch.arange(12.0).view(2, 6)
    candidate = reference.clone()
    candidate[1, 4:] = torch.nan
    region = LengthRegion(1, (6, 4))
    assert judge(candidate, reference, EXACT, region=region).verdict is Verdict.EQUAL
    assert judge(candidate, reference, EXACT).verdict is Verdict.NONFINITE
    candidate[1, 3] = 0
    outcome = judge(candidate, reference, EXACT, region=region)
    assert outcome.metrics is not None
    assert (outcome.verdict, outcome.elements, outcome.metrics.worst_index) == (Verdict.DIFFERS, 10, (1, 3))


def masked(dim: Any = None, mask: Any = MASK, batch: Any = None) -> Region:
    (region,) = resolve({"x": Valid(mask=mask, dim=dim)}, batch).values()
    return region


@pytest.mark.parametrize(
    ("dim", "mask", "shape", "expected"),
    [
        (None, MASK, (2, 3), MASK),
        (None, MASK, (2, 3, 4), MASK[:, :, None].expand(2, 3, 4)),
        (2, MASK, (2, 4, 3), MASK[:, None].expand(2, 4, 3)),
        (-1, MASK, (2, 4, 5, 3), MASK[:, None, None].expand(2, 4, 5, 3)),
        ((1, 0), MASK, (3, 2), MASK.T),
        ((2, 1), MASK, (5, 3, 2), MASK.T.expand(5, 3, 2)),
        (1, MASK[0], (2, 3), MASK[0].expand(2, 3)),
        (None, MASK[:, None], (2, 7, 3), MASK[:, None].expand(2, 7, 3)),
    ],
)
def test_a_mask_covers_the_dimensions_that_it_names(dim: Any, mask: Any, shape: Any, expected: torch.Tensor):
    region = masked(dim, mask)
    assert torch.equal(region.mask(shape), expected)
    assert region.count(shape) == int(expected.sum())


@pytest.mark.parametrize(
    ("mask", "batch"),
    [
        ("mask", {"mask": MASK}),
        (lambda batch: ~batch["pad"], {"pad": ~MASK}),
        ("mask", {"mask": MASK.numpy()}),
    ],
)
def test_a_mask_is_found_in_the_batch(mask: Any, batch: Any):
    assert torch.equal(masked(None, mask, batch).mask((2, 3)), MASK)


@pytest.mark.parametrize(
    ("dim", "mask", "shape", "message"),
    [
        (
            None,
            MASK,
            (2,),
            r"a mask of shape \(2, 3\) over dim=\(0, 1\) does not fit shape \(2,\): it has 1 dimensions",
        ),
        (None, MASK, (2, 4), r"3 is not 4, the size of dimension 1"),
        ((0, 0), MASK, (2, 3), r"does not fit"),
        ((0, 1, 2), MASK, (2, 3), r"names 3 dimensions for a mask of shape \(2, 3\)"),
        (None, MASK & False, (2, 3), r"leaves nothing of shape \(2, 3\) to compare: it is false everywhere"),
        (None, MASK.long(), (2, 3), r"a mask is a boolean tensor.*got a tensor of torch.int64.*!= 0"),
        (None, [[True]], (1, 1), r"got list"),
        (None, torch.tensor(True), (1,), r"boolean tensor"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(dim: Any, mask: Any, shape: Any, message: str):
    with pytest.raises(UsageError, match=message):
        masked(dim, mask).mask(shape)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "lengths or a mask, one of the two"),
        ({"dim": 1, "lengths": [1], "mask": MASK}, "lengths or a mask, one of the two"),
        ({"lengths": [1]}, r"Valid\(dim=None, lengths=...\): lengths count along one dimension"),
        ({"dim": (1, 2), "lengths": [1]}, "along one dimension"),
        ({"dim": 0, "lengths": [1]}, "dimension 0 holds the examples"),
    ],
)
def test_a_region_is_of_lengths_or_of_a_mask(arguments: Any, message: str):
    with pytest.raises(UsageError, match=message):
        Valid(**arguments)


def test_what_is_no_region_is_refused():
    with pytest.raises(UsageError, match=r"valid 'x': int 3 is no Valid; write as in"):
        resolve({"x": 3}, None)  # type: ignore[dict-item]


def test_how_many_positions_lengths_leave():
    assert LengthRegion(1, (3, 1)).count((2, 3, 4)) == 16
    assert LengthRegion(-1, (3, 1)).count((2, 5, 4)) == 20


def test_what_a_mask_leaves_out_is_not_compared():
    reference = torch.arange(6.0).view(2, 3)
    candidate = torch.where(MASK, reference, torch.inf)
    outcome = judge(candidate, reference, EXACT, region=masked())
    assert (outcome.verdict, outcome.elements) == (Verdict.EQUAL, 4)
    candidate[1, 2] = 0
    outcome = judge(candidate, reference, EXACT, region=masked())
    assert outcome.metrics is not None
    assert (outcome.verdict, outcome.metrics.worst_index) == (Verdict.DIFFERS, (1, 2))
