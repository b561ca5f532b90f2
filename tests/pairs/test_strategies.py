"""Strategies: what they draw keeps to its bounds, and shrinks to what is simple."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from pytest_parity import UsageError
from pytest_parity.strategies import (
    any_shapes,
    batches,
    causal_masks,
    dtypes,
    edge_values,
    lengths,
    magnitudes,
    padding_masks,
    shapes,
    size,
    tensors,
    token_ids,
)

CHECK = settings(
    max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
FIND = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def simplest(strategy: Any, where: Any = lambda _: True) -> Any:
    return find(strategy, where, settings=FIND)


@CHECK
@given(st.data())
def test_tensors_have_the_shape_and_the_dtype(data: st.DataObject):
    shape = data.draw(any_shapes(largest_rank=4, smallest=0))
    dtype = data.draw(dtypes(torch.float32, torch.bfloat16, torch.complex64, torch.int8, torch.bool, torch.float64))
    tensor = data.draw(tensors(st.just(shape), dtype, magnitude=magnitudes()))
    assert tensor.shape == shape
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    assert tensor.device.type == "cpu"


def test_a_tensor_shrinks_to_few_zeros():
    assert torch.equal(simplest(tensors(any_shapes())), torch.zeros(1))
    assert torch.equal(simplest(tensors((size("n"), 2)), lambda x: bool((x > 0).any())), torch.full((1, 2), 1 / 3))
    assert torch.equal(simplest(tensors((2,), torch.int64), lambda x: bool((x > 0).any())), torch.ones(2).long())


@pytest.mark.parametrize("power", range(-4, 6))
def test_no_tensor_with_fractions_is_whole(power: int):
    """The noise floor would leave it as it is."""
    drawn = simplest(tensors((2,), magnitude=10.0**power), lambda x: bool(x.any()))
    assert not torch.equal(drawn, drawn.round())


def test_a_large_tensor_is_drawn_from_one_seed():
    drawn = simplest(tensors((1000, 1000)), lambda x: x.unique().numel() > 1000)
    assert drawn.shape == (1000, 1000)
    assert abs(float(drawn.mean())) < 0.01


def test_a_longer_tensor_of_one_seed_begins_with_the_shorter_one():
    long, short = (simplest(tensors((length,)), lambda x: x.unique().numel() > 3) for length in (50, 5))
    assert torch.equal(long[:5], short)


def test_magnitudes_shrink_to_one_or_as_near_as_they_may():
    assert simplest(magnitudes()) == 1.0
    assert simplest(magnitudes(100, 1e4)) == 100.0
    assert simplest(magnitudes(1e-4, 1e-2)) == pytest.approx(1e-2)
    assert simplest(magnitudes(), lambda scale: scale > 20) == pytest.approx(100.0)


def test_the_magnitude_multiplies():
    assert torch.equal(simplest(tensors((2,), magnitude=1000.0), lambda x: bool(x.any())), torch.full((2,), 1000 / 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_edge_values_are_the_dtypes(dtype: torch.dtype):
    limits = torch.finfo(dtype)
    assert simplest(tensors((3,), dtype, edges=edge_values(dtype)), lambda x: bool((x == limits.tiny).any())).any()
    assert simplest(edge_values(dtype, huge=True), lambda value: value > 2) == limits.max
    assert math.isnan(simplest(edge_values(dtype, nonfinite=True), math.isnan))
    with pytest.raises(NoSuchExample):
        simplest(edge_values(dtype), lambda value: abs(value) > 1 or math.isnan(value))


def test_a_negative_zero():
    edge = simplest(tensors((1,), edges=edge_values()), lambda x: bool(torch.signbit(x).any() and not x.any()))
    assert float(edge) == 0.0


def test_a_named_size_is_one_number_in_one_input():
    inputs = batches({"x": tensors((size("n"), size("t"), 4)), "y": tensors((size("t"), size("n")))})

    @CHECK
    @given(inputs)
    def agree(drawn: dict) -> None:
        assert drawn["x"].shape[:2] == drawn["y"].shape[::-1]

    agree()
    assert simplest(inputs, lambda drawn: drawn["x"].shape[1] > 2)["y"].shape == (3, 1)


@CHECK
@given(lengths(4, size("t", 2, 9)), size("t", 2, 9))
def test_lengths_fill_the_batch_once(drawn: torch.Tensor, longest: int):
    assert drawn.dtype == torch.int64
    assert drawn.shape == (4,)
    assert int(drawn.max()) == longest
    assert int(drawn.min()) >= 1


def test_lengths_shrink_to_the_shortest():
    assert simplest(lengths(3, 7)).tolist() == [7, 1, 1]
    assert simplest(lengths(3, 7, shortest=2, full=False)).tolist() == [2, 2, 2]


@CHECK
@given(st.data())
def test_a_padding_mask_is_that_of_its_lengths(data: st.DataObject):
    given_lengths = st.shared(lengths(3, size("t")), key="lengths")
    found, mask, inverted, added = data.draw(
        st.tuples(
            given_lengths,
            padding_masks(given_lengths, size("t")),
            padding_masks(given_lengths, size("t"), invert=True),
            padding_masks(given_lengths, size("t"), dtype=torch.float32),
        )
    )
    assert mask.sum(1).tolist() == found.tolist()
    assert torch.equal(mask, ~inverted)
    assert torch.equal(torch.isfinite(added), mask)
    assert not added[mask].any()


def test_a_causal_mask():
    assert simplest(causal_masks(3)).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert simplest(causal_masks(2, invert=True)).tolist() == [[False, True], [False, False]]
    assert simplest(causal_masks(2, dtype=torch.float32)).tolist() == [[0.0, float("-inf")], [0.0, 0.0]]


@CHECK
@given(token_ids((3, size("t")), 11))
def test_token_ids_are_of_the_vocabulary(ids: torch.Tensor):
    assert ids.dtype == torch.int64
    assert 0 <= int(ids.min()) <= int(ids.max()) < 11


def test_token_ids_reach_the_last_and_shrink_to_zeros():
    assert simplest(token_ids((4,), 1000), lambda ids: int(ids.max()) == 999).tolist() == [999, 0, 0, 0]
    assert not simplest(token_ids((4,), 1000)).any()


def test_batches_of_any_tree_hold_plain_values_as_they_are():
    drawn = simplest(batches({"x": (tensors((2,)), [token_ids((1,), 5), 3]), "mode": "train", "one": torch.ones(1)}))
    assert torch.equal(drawn["x"][0], torch.zeros(2))
    assert drawn["x"][1][1] == 3
    assert drawn["mode"] == "train"
    assert torch.equal(drawn["one"], torch.ones(1))


def test_elements_are_drawn_one_by_one_where_that_is_asked_for():
    drawn = simplest(tensors(shapes(3), elements=st.integers(-50, 50)), lambda x: float(x.sum()) >= 42)
    assert float(drawn.sum()) == 42


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shapes(2, -1), "-1 is no size: give a number from 0, or a strategy"),
        (lambda: shapes(True), "True is no size"),
        (lambda: tensors(3), r"shape=3: give a tuple of sizes"),
        (lambda: size("t", 5, 2), r"size\('t', 5, 2\): the smallest is 5, the largest 2"),
        (lambda: magnitudes(0.0, 1.0), "give 0 < smallest <= largest, and finite"),
        (lambda: magnitudes(2.0, 3.0), "there is no power of ten between the two"),
        (lambda: dtypes("float32"), "give torch's own, as torch.float32"),
        (lambda: edge_values(torch.int64), "it is no floating dtype"),
        (lambda: token_ids((2,), 0), "there is at least 1 token"),
        (lambda: padding_masks(torch.ones(2), 3), "the first argument is a strategy of lengths"),
        (lambda: simplest(lengths(2, 3, shortest=4)), r"lengths\(shortest=4\): the longest example may be 3"),
    ],
)
def test_what_cannot_be_drawn(make: Any, message: str):
    with pytest.raises(UsageError, match=message):
        make()


def test_without_hypothesis_one_error_names_the_extra():
    source = "import sys; sys.modules['hypothesis'] = None\nimport pytest_parity.strategies"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: pytest_parity.strategies draws by hypothesis, which is not installed: "
        "pip install 'pytest-parity[hypothesis]'"
    )
    assert "During handling" not in done.stderr


def test_pairs_themselves_do_without_hypothesis():
    source = (
        "import sys; sys.modules['hypothesis'] = None\nimport torch\nfrom pytest_parity import assert_equivalent\n"
        "print(assert_equivalent(torch.nn.Tanh(), torch.nn.Tanh(), torch.ones(2)).passed)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
