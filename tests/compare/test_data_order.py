"""Whether a batch is the golden's, and in what way it is not."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pytest_parity.capture import pack
from pytest_parity.compare.data import batch_digest, counterparts, data_difference, pair_leaves
from pytest_parity.errors import GoldenError
from pytest_parity.result import DataDifference, DataFault, LeafDifference, Pad
from pytest_parity.strategies import edge_values, tensors

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EVERY_DTYPE = [
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn),
]

small = st.integers(1, 4)
any_dtype = st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool])
fields = st.lists(tensors((small, small), any_dtype, edges=edge_values(nonfinite=True)), min_size=1, max_size=4)


def leaves(batch: Any) -> list[tuple[str, torch.Tensor]]:
    return pack(batch, "the batch")[1]


def find(here: Any, golden: Any, digests: dict[int, str] | None = None, step: int = 3) -> DataDifference | None:
    return data_difference(step, leaves(golden), leaves(here), digests or {})


def differs(here: Any, golden: Any, digests: dict[int, str] | None = None) -> DataDifference:
    found = find(here, golden, digests)
    assert found is not None
    return found


def only(here: Any, golden: Any) -> LeafDifference:
    """What is said of the one tensor that differs."""
    (leaf,) = differs(here, golden).leaves
    return leaf


def audio() -> tuple[torch.Tensor, torch.Tensor]:
    """Utterances padded with 0 to the longest, and their lengths."""
    lengths = torch.tensor([10, 8, 7, 6])
    samples = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    return samples.masked_fill(torch.arange(10) >= lengths[:, None], 0.0), lengths


# the same


@many
@given(fields, st.randoms(use_true_random=False))
def test_no_difference_is_reported_of_the_same_values_under_other_names_and_strides(drawn, random):
    golden = {f"field_{place}": tensor for place, tensor in enumerate(drawn)}
    named = {f"own_{place}": tensor.T.contiguous().T for place, tensor in enumerate(drawn)}
    own = dict(random.sample(list(named.items()), len(named)))
    assert find(own, golden) is None
    assert find(golden, golden) is None
    assert batch_digest(leaves(own)) == batch_digest(leaves(golden))


@pytest.mark.parametrize("dtype", EVERY_DTYPE, ids=str)
def test_every_dtype_equals_itself_and_shows_a_change(dtype: torch.dtype):
    golden = torch.tensor([[1, 0, 1], [0, 0, 1]]).to(dtype)
    own = torch.tensor([[1, 0, 1], [0, 1, 1]]).to(dtype)
    assert find({"x": golden.clone()}, {"x": golden}) is None
    content = only({"x": own}, {"x": golden}).content
    assert content is not None
    assert (content.elements, content.mismatched, content.index) == (6, 1, (1, 1))
    assert content.max_abs == 1
    assert batch_digest([("x", own)]) != batch_digest([("x", golden)])


def test_a_nan_equals_one_of_the_same_bits_and_no_other():
    golden = torch.tensor([math.nan, 1.0])
    assert find([golden.clone()], [golden]) is None
    own = torch.tensor([0x7FC00001, 0x3F800000], dtype=torch.int32).view(torch.float32)
    content = only([own], [golden]).content
    assert content is not None
    assert (content.mismatched, content.nonfinite, content.max_abs) == (1, 1, 0.0)


def test_negative_zero_is_not_zero():
    content = only([torch.tensor([-0.0, 1.0])], [torch.tensor([0.0, 1.0])]).content
    assert content is not None
    assert (content.mismatched, content.nonfinite, content.max_abs) == (1, 0, 0.0)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0), (1,)])
def test_scalars_and_empty_tensors(shape: tuple[int, ...]):
    golden = torch.zeros(shape)
    assert find({"x": golden.clone()}, {"x": golden}) is None
    assert only({"x": golden.double()}, {"x": golden}).fault is DataFault.DTYPE
    assert only({"x": torch.zeros(*shape, 2)}, {"x": golden}).fault is DataFault.SHAPE
    if golden.numel():
        assert only({"x": golden + 1}, {"x": golden}).fault is DataFault.CONTENT


@dataclass
class Text:
    ids: torch.Tensor
    sample: Any


def test_nested_trees_are_looked_into_and_plain_values_are_not():
    ids = torch.arange(6).view(2, 3)
    golden = {"text": Text(ids, "/data/a.wav"), "pair": (np.ones(2), [torch.zeros(2)]), "id": 3}
    own = {"text": Text(ids.clone(), None), "pair": (np.ones(2), [torch.zeros(2)]), "id": 4}
    assert find(own, golden) is None
    assert batch_digest(leaves(own)) == batch_digest(leaves(golden))
    own["pair"] = (np.ones(2), [torch.ones(2)])
    leaf = only(own, golden)
    assert leaf.here is not None
    assert (leaf.fault, leaf.here.path) == (DataFault.CONTENT, "pair.1.0")


def test_a_digest_is_of_dtype_shape_and_bytes_whatever_order_fields_stand_in():
    zeros = [
        torch.zeros(2, 3),
        torch.zeros(3, 2),
        torch.zeros(2, 3, dtype=torch.int32),
        torch.zeros(6),
        torch.ones(2, 3),
    ]
    assert len({batch_digest([("x", one)]) for one in zeros}) == len(zeros)
    one, other = ("x", zeros[0]), ("y", zeros[1])
    assert batch_digest([one, other]) == batch_digest([other, one])
    assert len({batch_digest([one]), batch_digest([one, one]), batch_digest([one, other])}) == 3


def test_a_batch_of_strings_alone_has_no_digest():
    assert batch_digest(leaves(["a", "b"])) == ""
    assert find(["a"], ["b"]) is None
    assert differs(["a"], {"x": torch.ones(2)}).fault is DataFault.MISSING
    assert differs({"x": torch.ones(2)}, ["a"]).fault is DataFault.EXTRA


def test_a_gradient_is_not_asked_for():
    golden = torch.ones(2, 2)
    assert find([golden.clone().requires_grad_()], [golden]) is None


# a change is found


@many
@given(tensors((small, small, small), any_dtype), st.integers(0, 63), st.integers(0, 63))
def test_one_changed_element_is_found_and_counted(golden: torch.Tensor, element: int, bit: int):
    element %= golden.numel()
    own = golden.clone()
    raw = own.view(-1).view(torch.uint8).view(golden.numel(), -1)
    raw[element, bit // 8 % raw.shape[1]] ^= 1 if golden.dtype is torch.bool else 1 << (bit % 8)
    found = differs({"x": own}, {"x": golden})
    content = found.leaves[0].content if found.leaves else None
    assert content is not None, found
    assert (content.mismatched, content.rows_mismatched) == (1, 1)
    assert content.index == tuple(np.unravel_index(element, golden.shape))
    assert batch_digest([("x", own)]) != batch_digest([("x", golden)])


few = st.integers(0, 2)


@st.composite
def alike(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors of few values, in which everything can look like everything else."""
    rows, length = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    other = draw(st.sampled_from([length, length, draw(st.integers(1, 5))]))
    make = lambda count: torch.tensor(draw(st.lists(few, min_size=rows * count, max_size=rows * count)))  # noqa: E731
    return make(length).view(rows, length), make(other).view(rows, other)


@settings(many, max_examples=600)
@given(alike(), st.one_of(st.none(), st.lists(st.integers(1, 5), min_size=3, max_size=3)))
def test_what_is_said_is_proved(pair: tuple[torch.Tensor, torch.Tensor], lengths: list[int] | None):
    own, golden = pair
    beside = {} if lengths is None else {"lengths": torch.tensor(lengths[: len(own)])}
    found = find({"x": own, **beside}, {"x": golden, **beside})
    assert (found is None) == (own.shape == golden.shape and torch.equal(own, golden))
    if found is None:
        return
    if found.rows:
        assert torch.equal(own, golden[list(found.rows)])
        return
    (leaf,) = found.leaves
    if leaf.padding is not None:
        sides = (own, leaf.padding.here), (golden, leaf.padding.golden)
        assert all(padded_alike(*row) for row in zip(*(split(*side) for side in sides), strict=True))
        assert found.fault is DataFault.PADDING
    else:
        assert found.fault is (DataFault.CONTENT if own.shape == golden.shape else DataFault.SHAPE)
    if leaf.content is not None and leaf.content.shift is not None:
        assert set((own - golden).view(-1).tolist()) <= {0, leaf.content.shift}
    if leaf.content is not None and leaf.content.gain is not None:
        assert torch.equal(own.double(), golden * leaf.content.gain)


def split(rows: torch.Tensor, pad: Pad) -> list[dict[int, list[int]]]:
    """Of each row what may be valid, by its length: what is left if the rest is padding."""
    found = []
    for row in rows.tolist():
        if pad.side == "left":
            row.reverse()
        fits = [n for n in range(len(row) + 1) if pad.value is None or set(row[n:]) <= {pad.value}]
        found.append({n: row[:n][::-1] if pad.side == "left" else row[:n] for n in fits})
    return found


def padded_alike(here: dict[int, list[int]], golden: dict[int, list[int]]) -> bool:
    return any(here[count] == golden[count] for count in here.keys() & golden.keys())


# order


@many
@given(st.permutations(range(4)), st.data())
def test_rows_in_another_order(order: list[int], data: st.DataObject):
    x = data.draw(tensors((4, 3)))
    assume(len(torch.unique(x, dim=0)) == 4)
    golden = {"x": x, "label": torch.tensor([0, 1, 1, 0]), "rate": torch.tensor(16000)}
    own = {"x": x[order], "label": golden["label"][order], "rate": golden["rate"]}
    if order == [0, 1, 2, 3]:
        assert find(own, golden) is None
        return
    found = differs(own, golden)
    assert (found.fault, found.rows, found.unmoved, found.leaves) == (DataFault.ORDER, tuple(order), (), ())


@many
@given(st.permutations(range(4)), st.integers(0, 11))
def test_a_changed_value_besides_is_no_order(order: list[int], element: int):
    samples, lengths = audio()
    own = samples[order].clone()
    own.view(-1)[element] += 1
    found = differs({"audio": own, "lengths": lengths[order]}, {"audio": samples, "lengths": lengths})
    assert found.fault is DataFault.CONTENT
    other = differs({"audio": samples[order], "lengths": lengths + 1}, {"audio": samples, "lengths": lengths})
    assert other.fault is DataFault.CONTENT


def test_rows_that_occur_twice_stay_where_they_are():
    golden = torch.tensor([[1], [1], [2], [3]])
    assert differs([golden[[0, 2, 1, 3]]], [golden]).rows == (0, 2, 1, 3)


def test_rows_that_occur_twice_are_told_apart_by_the_other_tensors():
    golden = {"x": torch.tensor([1, 1, 2, 2]), "label": torch.tensor([0, 1, 1, 0])}
    found = differs({"x": golden["x"].flip(0), "label": golden["label"]}, golden)
    assert (found.rows, found.unmoved) == ((3, 2, 1, 0), ())


def test_tensors_whose_rows_do_not_follow_the_order_are_named():
    samples, lengths = audio()
    own = {"audio": samples[[1, 0, 2, 3]], "lengths": lengths, "rate": torch.tensor(16000)}
    found = differs(own, {"audio": samples, "lengths": lengths, "rate": torch.tensor(16000)})
    assert (found.fault, found.rows, found.unmoved) == (DataFault.ORDER, (1, 0, 2, 3), ("lengths",))


def test_the_batch_of_another_step():
    drawn = {step: {"x": torch.full((2, 3), float(step)), "y": torch.tensor([step, 0])} for step in range(6)}
    digests = {step: batch_digest(leaves(batch)) for step, batch in drawn.items()}
    own = {"label": drawn[5]["y"], "input": drawn[5]["x"]}
    found = differs(own, drawn[3], digests)
    assert (found.fault, found.batch, found.rows, found.leaves) == (DataFault.ORDER, 5, (), ())
    assert find(drawn[3], drawn[3], digests) is None
    assert differs({**own, "label": torch.tensor([7, 0])}, drawn[3], digests).batch is None


def test_a_tensor_of_its_own_besides_hides_no_order():
    drawn = [{"x": torch.randn(3, 2), "y": torch.tensor([step, 1, 2])} for step in range(3)]
    digests = {step: batch_digest(leaves(batch)) for step, batch in enumerate(drawn)}
    found = data_difference(1, leaves(drawn[1]), leaves({"id": torch.arange(3), **drawn[2]}), digests)
    assert found is not None
    assert (found.fault, found.batch) == (DataFault.ORDER, 2)
    rows = {"id": torch.arange(3), **{name: tensor[[2, 1, 0]] for name, tensor in drawn[1].items()}}
    found = data_difference(1, leaves(drawn[1]), leaves(rows), digests)
    assert found is not None
    assert (found.fault, found.rows) == (DataFault.ORDER, (2, 1, 0))
    extra = data_difference(1, leaves(drawn[1]), leaves({"id": torch.arange(3), **drawn[1]}), digests)
    assert extra is not None
    assert [leaf.fault for leaf in extra.leaves] == [DataFault.EXTRA]


def test_what_has_no_counterpart_is_left_out_of_a_digest():
    golden = leaves({"x": torch.ones(2, 3), "y": torch.ones(2)})
    own = leaves({"id": torch.arange(2), "label": torch.ones(2), "x": torch.ones(2, 3)})
    assert batch_digest(counterparts(golden, own)) == batch_digest(golden)


def test_of_several_steps_with_that_batch_the_nearest_is_named():
    digests = {0: "a", 1: batch_digest([("x", torch.ones(2))]), 3: "b"}
    digests[4] = digests[1]
    assert differs([torch.ones(2)], [torch.zeros(2)], digests).batch == 4


# where only a digest was kept


def test_a_digest_tells_the_same_another_step_and_an_unknown_batch():
    drawn = [[torch.full((2,), float(step))] for step in range(4)]
    digests = {step: batch_digest(leaves(batch)) for step, batch in enumerate(drawn)}
    assert data_difference(2, None, leaves(drawn[2]), digests) is None
    other = data_difference(2, None, leaves(drawn[0]), digests)
    assert other == DataDifference(2, DataFault.ORDER, batch=0, batches=4)
    unknown = data_difference(2, None, leaves([torch.full((2,), 9.0)]), digests)
    assert unknown == DataDifference(2, DataFault.UNKNOWN, batches=4)


def test_a_loader_that_ends_before_and_one_that_goes_on():
    digests = {0: "a", 1: "b"}
    assert data_difference(1, None, None, digests) == DataDifference(1, DataFault.MISSING, batches=2)
    assert data_difference(2, None, leaves([torch.ones(1)]), digests) == DataDifference(2, DataFault.EXTRA, batches=2)
    assert data_difference(2, None, None, digests) is None


@pytest.mark.parametrize("digests", [{}, {0: "a", 2: "b"}])
def test_nothing_kept_of_a_batch_is_an_error(digests: dict[int, str]):
    with pytest.raises(GoldenError, match=r"neither the batch of step 1 nor a digest of it.*record it again"):
        data_difference(1, None, leaves([torch.ones(1)]), digests)


# dtype


@pytest.mark.parametrize(
    ("own", "golden"),
    [
        (torch.tensor([3, 4], dtype=torch.int32), torch.tensor([3, 4])),
        (torch.tensor([True, False]), torch.tensor([1, 0])),
        (torch.tensor([1 / 3, math.nan], dtype=torch.float64), torch.tensor([1 / 3, math.nan])),
        (torch.tensor([1 / 3, 2.0]).bfloat16(), torch.tensor([1 / 3, 2.0])),
        (torch.tensor([1.0, 2.0]), torch.tensor([1, 2])),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0], dtype=torch.complex64)),
        (torch.tensor([1, 2], dtype=torch.uint64), torch.tensor([1, 2])),
    ],
)
def test_another_dtype(own: torch.Tensor, golden: torch.Tensor):
    leaf = only({"x": own}, {"x": golden})
    assert (leaf.fault, leaf.content) == (DataFault.DTYPE, None)
    assert leaf.here is not None
    assert leaf.golden is not None
    assert f"torch.{leaf.here.dtype}" == str(own.dtype)
    assert f"torch.{leaf.golden.dtype}" == str(golden.dtype)


@pytest.mark.parametrize(
    ("own", "golden"),
    [
        (torch.tensor([0, 0]), torch.tensor([0.5, -0.3])),  # what a cast would make of it
        (torch.tensor([True, True]), torch.tensor([1, 5])),
        (torch.tensor([3, 5], dtype=torch.int32), torch.tensor([3, 4])),
        (torch.tensor([3, 300], dtype=torch.int32), torch.tensor([3, 44], dtype=torch.uint8)),
        (torch.tensor([1 + 1j]), torch.tensor([1.0])),
    ],
)
def test_other_values_in_another_dtype_are_content(own: torch.Tensor, golden: torch.Tensor):
    leaf = only({"x": own}, {"x": golden})
    assert leaf.fault is DataFault.CONTENT
    assert leaf.here != leaf.golden


# padding


@many
@given(st.integers(1, 4), st.sampled_from([0.0, -1.0, math.nan]), st.sampled_from(["left", "right"]), st.booleans())
def test_padded_longer(count: int, value: float, side: str, features: bool):
    golden, _ = audio()
    golden = golden[:, :, None].expand(-1, -1, 3).contiguous() if features else golden
    rest = torch.full((4, count, *golden.shape[2:]), value)
    own = torch.cat([golden, rest] if side == "right" else [rest, golden], 1)
    for pair in ((own, golden), (golden, own)):
        leaf = only({"x": pair[0]}, {"x": pair[1]})
        assert leaf.fault is DataFault.PADDING
        assert leaf.padding is not None
        assert (leaf.padding.dim, leaf.padding.here.side, leaf.padding.golden.side) == (1, side, side)
        longer = leaf.padding.here if pair[0] is own else leaf.padding.golden
        assert longer.value == value or (math.isnan(value) and math.isnan(longer.value))


def test_padded_longer_in_the_last_dimension():
    golden = torch.randn(2, 3, 5)
    leaf = only({"x": torch.nn.functional.pad(golden, (0, 2))}, {"x": golden})
    assert leaf.padding is not None
    assert leaf.padding.dim == 2


def test_longer_by_something_else_is_shape():
    golden = torch.arange(8).view(2, 4)
    leaf = only({"x": torch.arange(12).view(2, 6)}, {"x": torch.arange(12).view(2, 6)[:, :4]})
    assert (leaf.fault, leaf.dim, leaf.arrangement) == (DataFault.SHAPE, 1, "beginning")
    padded = torch.nn.functional.pad(golden, (0, 2))
    padded[1, 1] = 9
    assert only({"x": padded}, {"x": golden}).fault is DataFault.SHAPE


def test_another_pad_value():
    golden = torch.tensor([[5, 6, 7, 0], [5, 6, 0, 0], [5, 0, 0, 0]])
    own = golden.masked_fill(golden == 0, -100)
    padding = only({"ids": own}, {"ids": golden}).padding
    assert padding is not None
    assert (padding.here, padding.golden) == (Pad("right", -100), Pad("right", 0))


def test_another_last_token_of_each_row_is_content():
    golden = torch.tensor([[5, 6, 2], [7, 8, 2]])
    assert only({"ids": torch.tensor([[5, 6, 3], [7, 8, 3]])}, {"ids": golden}).fault is DataFault.CONTENT


def test_the_other_side():
    samples, lengths = audio()
    own = torch.stack([torch.cat([row[size:], row[:size]]) for row, size in zip(samples, lengths, strict=True)])
    padding = only({"audio": own}, {"audio": samples}).padding
    assert padding is not None
    assert (padding.here, padding.golden) == (Pad("left", 0.0), Pad("right", 0.0))
    padding = only({"audio": torch.nn.functional.pad(samples, (0, 3), value=7.0)}, {"audio": own}).padding
    assert padding is None  # it ends in two pad values
    padding = only({"audio": samples.masked_fill(samples == 0, 7.0)}, {"audio": own}).padding
    assert padding is not None
    assert (padding.here, padding.golden) == (Pad("right", 7.0), Pad("left", 0.0))
    padding = only({"audio": torch.nn.functional.pad(samples, (0, 3))}, {"audio": own}).padding
    assert padding is not None
    assert (padding.here.side, padding.golden.side) == ("right", "left")


def test_the_other_side_of_values_that_begin_and_end_in_the_pad_value():
    golden = torch.tensor([[0, 4, 0, 0, 0], [1, 2, 3, 0, 0]])
    own = torch.tensor([[0, 0, 0, 4, 0], [0, 0, 1, 2, 3]])
    assert only({"x": own}, {"x": golden}).fault is DataFault.PADDING


def test_noise_behind_the_lengths_that_both_have():
    samples, lengths = audio()
    own = samples.clone()
    own[2, 7:] = torch.tensor([1.0, 2.0, 3.0])
    padding = only({"audio": own, "lengths": lengths}, {"audio": samples, "lengths": lengths}).padding
    assert padding is not None
    assert (padding.here.value, padding.golden.value) == (None, 0.0)
    assert only({"audio": own}, {"audio": samples}).fault is DataFault.CONTENT
    own[2, 6] = 9.0
    leaf = only({"audio": own, "lengths": lengths}, {"audio": samples, "lengths": lengths})
    assert leaf.fault is DataFault.CONTENT


# shape


@pytest.mark.parametrize(
    ("own", "dim", "arrangement"),
    [
        (torch.arange(12).view(3, 4)[:2], 0, "beginning"),
        (torch.arange(12).view(3, 4)[2:], 0, "end"),
        (torch.arange(12).view(3, 4) + torch.tensor([[0]]).expand(3, 1), None, None),
        (torch.arange(12).view(3, 4).T, None, "transposed"),
        (torch.arange(12).view(3, 1, 4), None, "reshaped"),
        (torch.arange(12).view(2, 6), None, "reshaped"),
        (torch.zeros(2, 3, dtype=torch.int64), None, ""),
        (torch.zeros(3, 3, dtype=torch.int64), 1, ""),
        (torch.arange(12).view(3, 4)[:2].float(), 0, ""),
    ],
)
def test_another_shape(own: torch.Tensor, dim: int | None, arrangement: str | None):
    found = find({"x": own}, {"x": torch.arange(12).view(3, 4)})
    if arrangement is None:
        assert found is None
        return
    assert found is not None
    (leaf,) = found.leaves
    assert (leaf.fault, leaf.dim, leaf.arrangement) == (DataFault.SHAPE, dim, arrangement)


# content


def character(own: torch.Tensor, golden: torch.Tensor) -> tuple[float | None, float | None, int | None]:
    content = only({"x": own}, {"x": golden}).content
    assert content is not None
    return content.gain, content.ulps, content.shift


@many
@given(tensors((4, 5)), st.sampled_from([32768.0, -1.0, 0.1, 1 / 3, 1.001]))
def test_a_gain(golden: torch.Tensor, factor: float):
    assume(len(torch.unique(golden.abs())) > 2)
    gain, ulps, shift = character(golden * factor, golden)
    assert (gain, ulps, shift) == (pytest.approx(factor, rel=1e-5), None, None)


def test_no_gain_where_one_element_is_another():
    golden, _ = audio()
    own = golden * 2
    own[0, 0] += 1
    assert character(own, golden) == (None, None, None)
    assert character(torch.full((3,), 2.0), torch.full((3,), 3.0)) == (None, None, None)


def test_integers_at_full_scale_are_a_gain_in_another_dtype():
    golden = torch.arange(-4, 5) / 32768
    assert character((golden * 32768).to(torch.int16), golden) == (32768.0, None, None)


def test_rounding():
    golden, _ = audio()
    gain, ulps, shift = character(torch.nextafter(golden, torch.tensor(9.0)), golden)
    assert (gain, shift) == (None, None)
    assert ulps is not None
    assert 0 < ulps <= 1
    assert character(golden + 1e-4, golden)[1] is None
    half = golden.half()
    assert character(half + half.abs().max() * 2**-11, half)[1] is not None


def test_ids_shifted_by_a_constant():
    golden = torch.tensor([[3, 4, 0], [5, 0, 0]])
    assert character(torch.where(golden > 0, golden + 1, 0), golden) == (None, None, 1)
    assert character(golden - 2, golden) == (None, None, -2)
    assert character(torch.tensor([[4, 6, 0], [5, 0, 0]]), golden) == (None, None, None)
    assert character(torch.tensor([[3, 5, 0], [5, 0, 0]]), golden) == (None, None, None)


def test_integers_beyond_what_a_float_holds():
    golden = torch.tensor([2**63 - 2, -(2**63), 7])
    content = only({"x": golden + 1}, {"x": golden}).content
    assert content is not None
    assert (content.mismatched, content.max_abs, content.shift) == (3, 1.0, 1)
    far = only({"x": torch.tensor([2**63 - 1])}, {"x": torch.tensor([-(2**63)])}).content
    assert far is not None
    assert far.max_abs == pytest.approx(2.0**64)


def test_what_is_not_finite_is_counted():
    content = only([torch.tensor([1.0, math.inf, 3.0])], [torch.tensor([1.0, 2.0, 5.0])]).content
    assert content is not None
    assert (content.mismatched, content.nonfinite, content.max_abs) == (2, 1, 2.0)


def test_another_field_in_its_place_is_named():
    samples, _ = audio()
    golden = {"clean": samples, "noisy": samples + 1}
    leaf = only({"clean": samples, "noisy": samples}, golden)
    assert (leaf.fault, leaf.swapped) == (DataFault.CONTENT, "clean")
    swapped = differs({"clean": samples + 1, "noisy": samples}, golden, {3: batch_digest(leaves(golden))})
    assert [leaf.swapped for leaf in swapped.leaves] == ["noisy", "clean"]


# pairs


def paired(golden: Any, own: Any) -> list[tuple[str | None, str | None]]:
    theirs, ours = leaves(golden), leaves(own)
    return [
        (None if left is None else theirs[left][0], None if right is None else ours[right][0])
        for left, right in pair_leaves(theirs, ours)
    ]


def test_pairs_are_by_path_then_content_then_shape():
    golden = {"audio": torch.zeros(2, 5), "len": torch.ones(2), "ids": torch.zeros(2, 3), "y": torch.zeros(4).int()}
    own = {"labels": torch.ones(4).int(), "tokens": torch.ones(2, 3), "length": torch.ones(2), "audio": torch.ones(2)}
    assert paired(golden, own) == [("audio", "audio"), ("len", "length"), ("ids", "tokens"), ("y", "labels")]


def test_pairs_of_one_shape_are_by_dtype():
    golden = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 3).int(), "c": torch.zeros(2, 3)}
    own = {"x": torch.ones(2, 3).int(), "y": torch.ones(2, 3), "z": torch.ones(2, 3) * 2}
    assert paired(golden, own) == [("a", "y"), ("b", "x"), ("c", "z")]


def test_pairs_of_another_dtype_or_size_and_what_is_left():
    golden = {"a": torch.zeros(2, 5), "b": torch.ones(3), "c": torch.zeros(7).int()}
    own = {"x": torch.zeros(3).double(), "y": torch.zeros(2, 6), "z": torch.zeros(1, 1, 1)}
    assert paired(golden, own) == [("a", "y"), ("b", "x"), ("c", None), (None, "z")]
    found = differs(own, golden)
    assert [leaf.fault for leaf in found.leaves] == [
        *(DataFault.PADDING, DataFault.CONTENT, DataFault.MISSING, DataFault.EXTRA),
    ]
    assert found.compared == 2


def test_the_names_of_both_sides_are_told():
    leaf = only({"tokens": torch.ones(2, 3)}, {"ids": torch.zeros(2, 3)})
    assert leaf.here is not None
    assert leaf.golden is not None
    assert (leaf.here.path, leaf.golden.path) == ("tokens", "ids")


# as data


def test_a_difference_survives_json():
    golden = {"a": torch.arange(6).view(2, 3), "b": torch.zeros(2, 4), "c": torch.ones(2)}
    own = {"a": golden["a"] + 1, "b": torch.nn.functional.pad(golden["b"], (0, 1)), "c": torch.ones(2) * 3j, "d": "x"}
    found = differs(own, golden)
    assert {leaf.fault for leaf in found.leaves} == {DataFault.CONTENT, DataFault.PADDING}
    assert DataDifference.from_plain(json.loads(json.dumps(found.to_plain()))) == found
    moved = differs([torch.tensor([2, 1])], [torch.tensor([1, 2])])
    assert DataDifference.from_plain(json.loads(json.dumps(moved.to_plain()))) == moved
