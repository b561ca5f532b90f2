from __future__ import annotations

import math

import pytest
import torch

from pytest_parity.compare.judge import judge
from pytest_parity.result import Tolerance, Verdict

LOOSE = Tolerance(1e-2, 1e-3)
STRICT = Tolerance(0.0, 0.0)
NAN, INF = math.nan, math.inf
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def verdict(actual: list[float], expected: list[float], tolerance: Tolerance = LOOSE, **kwargs: bool) -> Verdict:
    return judge(torch.tensor(actual), torch.tensor(expected), tolerance, **kwargs).verdict


def test_none_agrees_with_none_only():
    tensor = torch.zeros(3)
    assert judge(None, None, LOOSE).verdict is Verdict.EQUAL
    missing, extra = judge(None, tensor, LOOSE), judge(tensor, None, LOOSE)
    assert (missing.verdict, missing.detail) == (Verdict.MISSING, "float32 of shape (3,) expected, got None")
    assert (extra.verdict, extra.detail) == (Verdict.EXTRA, "None expected, got float32 of shape (3,)")


def test_another_shape_is_a_verdict_that_names_both():
    outcome = judge(torch.zeros(2, 3), torch.zeros(3, 2), LOOSE)
    assert outcome.verdict is Verdict.SHAPE
    assert outcome.detail == "shape (3, 2) expected, got (2, 3)"
    assert outcome.metrics is None
    assert judge(torch.zeros(1), torch.zeros(()), LOOSE).verdict is Verdict.SHAPE


@pytest.mark.parametrize(("factor", "agree"), [(1.0, "agree within tolerance"), (2.0, "differ too")])
def test_another_dtype_is_a_verdict_that_says_whether_the_values_agree(factor: float, agree: str):
    outcome = judge(torch.tensor([1.0, 2.0]).half() * factor, torch.tensor([1.0, 2.0]), LOOSE)
    assert outcome.verdict is Verdict.DTYPE
    assert outcome.detail == f"float32 expected, got float16; the values {agree}"


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float16),
        (torch.float64, torch.float32),
        (torch.int32, torch.int64),
        (torch.int64, torch.float32),
        (torch.bool, torch.int64),
        (torch.complex64, torch.float32),
        (torch.float8_e4m3fn, torch.float32),
        (torch.uint8, torch.int8),
    ],
)
def test_an_allowed_dtype_compares_the_values(actual: torch.dtype, expected: torch.dtype):
    values = torch.tensor([0.0, 1.0, 1.0])
    same = judge(values.to(actual), values.to(expected), LOOSE, allow_dtype=True)
    assert same.verdict is Verdict.CLOSE
    assert "(allowed)" in same.detail
    other = torch.tensor([1.0, 1.0, 1.0])
    assert judge(other.to(actual), values.to(expected), LOOSE, allow_dtype=True).verdict is Verdict.DIFFERS


@pytest.mark.parametrize("dtype", [*FLOATS, torch.complex64, torch.int64, torch.uint8, torch.bool, torch.float8_e5m2])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 1001])
def test_the_same_bits_are_equal_and_one_other_element_is_not(dtype: torch.dtype, length: int):
    reference = torch.zeros(length).to(dtype)
    assert judge(reference.clone(), reference, STRICT).verdict is Verdict.EQUAL
    candidate = reference.clone()
    candidate[-1] = 1
    assert judge(candidate, reference, STRICT).verdict is Verdict.DIFFERS


def test_views_that_do_not_begin_on_a_word_are_compared_too():
    values = torch.arange(9).to(torch.bfloat16)
    assert judge(values[1:], values[1:].clone(), STRICT).verdict is Verdict.EQUAL
    assert judge(values[1:], values[1:] + 1, STRICT).verdict is Verdict.DIFFERS


def test_negative_zero_is_close_but_not_equal():
    assert verdict([-0.0, 1.0], [0.0, 1.0], STRICT) is Verdict.CLOSE
    assert verdict([0.0, 1.0], [0.0, 1.0], STRICT) is Verdict.EQUAL


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_within_tolerance_are_close_and_beyond_it_differ(dtype: torch.dtype):
    reference = torch.linspace(-4, 4, 1000, dtype=torch.float64).to(dtype)
    near, far = reference * 1.005, reference * 1.05
    assert judge(near.to(dtype), reference, LOOSE).verdict is Verdict.CLOSE
    assert judge(far.to(dtype), reference, LOOSE).verdict is Verdict.DIFFERS


def test_one_element_beyond_its_bound_among_many_is_found():
    reference = torch.ones(300_000)
    candidate = reference * 1.001
    assert judge(candidate, reference, LOOSE).verdict is Verdict.CLOSE
    candidate[299_999] = 1.02
    outcome = judge(candidate, reference, LOOSE)
    assert outcome.verdict is Verdict.DIFFERS
    assert outcome.metrics is not None
    assert (outcome.metrics.mismatched, outcome.metrics.worst_index) == (1, (299_999,))


@pytest.mark.parametrize(
    ("actual", "expected", "wanted"),
    [
        ([NAN, 1.0], [NAN, 1.0], Verdict.EQUAL),
        ([NAN, 1.001], [NAN, 1.0], Verdict.CLOSE),
        ([INF, -INF, 1.001], [INF, -INF, 1.0], Verdict.CLOSE),
        ([NAN, 1.0], [2.0, 1.0], Verdict.NONFINITE),
        ([INF, 1.0], [2.0, 1.0], Verdict.NONFINITE),
        ([INF, 1.0], [-INF, 1.0], Verdict.NONFINITE),
        ([NAN, 1.0], [INF, 1.0], Verdict.NONFINITE),
        ([2.0, 1.0], [INF, 1.0], Verdict.DIFFERS),
        ([2.0, 1.0], [NAN, 1.0], Verdict.DIFFERS),
        ([NAN, 9.0], [2.0, 1.0], Verdict.NONFINITE),
    ],
)
def test_nan_and_infinity_agree_only_with_themselves(actual: list[float], expected: list[float], wanted: Verdict):
    assert verdict(actual, expected) is wanted


def test_nans_of_other_bits_agree():
    quiet, other = torch.tensor([0x7FC00000, 0x3F800000]).int(), torch.tensor([0x7FC00001, 0x3F800000]).int()
    assert judge(quiet.view(torch.float32), other.view(torch.float32), LOOSE).verdict is Verdict.CLOSE


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.int16])
def test_integers_are_exact_whatever_the_tolerance(dtype: torch.dtype):
    reference = torch.tensor([3, 100], dtype=dtype)
    assert judge(reference.clone(), reference, LOOSE).verdict is Verdict.EQUAL
    outcome = judge(reference + 1, reference, Tolerance(1.0, 1000.0))
    assert outcome.verdict is Verdict.DIFFERS
    assert outcome.tolerance is not None
    assert (outcome.tolerance.rtol, outcome.tolerance.atol) == (0.0, 0.0)
    assert outcome.metrics is not None
    assert (outcome.metrics.mismatched, outcome.metrics.max_abs, outcome.metrics.worst_allowed) == (2, 1.0, 0.0)


def test_integers_beyond_the_reach_of_float64_are_exact():
    reference = torch.tensor([2**60, 5])
    outcome = judge(reference + torch.tensor([1, 0]), reference, LOOSE)
    assert outcome.verdict is Verdict.DIFFERS
    assert outcome.metrics is not None
    assert (outcome.metrics.mismatched, outcome.metrics.worst_index) == (1, (0,))


def test_booleans_are_exact():
    assert verdict([True, False], [True, False], Tolerance(9.0, 9.0)) is Verdict.EQUAL
    assert verdict([True, True], [True, False], Tolerance(9.0, 9.0)) is Verdict.DIFFERS


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_numbers_are_compared_by_modulus(dtype: torch.dtype):
    reference = torch.tensor([3 + 4j], dtype=dtype)
    assert judge(reference + 0.04j, reference, Tolerance(1e-2, 1e-3)).verdict is Verdict.CLOSE
    assert judge(reference + 0.06j, reference, Tolerance(1e-2, 1e-3)).verdict is Verdict.DIFFERS


def test_empty_tensors_are_equal_with_no_elements():
    outcome = judge(torch.zeros(0, 3), torch.zeros(0, 3), LOOSE)
    assert (outcome.verdict, outcome.elements) == (Verdict.EQUAL, 0)
    assert judge(torch.zeros(0, 3), torch.zeros(0, 2), LOOSE).verdict is Verdict.SHAPE
    assert judge(torch.zeros(0), torch.zeros(0).double(), LOOSE).verdict is Verdict.DTYPE


@pytest.mark.parametrize(
    ("reference", "atol", "wanted"),
    [
        ([0.5, -1.0], 1.0, Verdict.VACUOUS),
        ([0.5, -1.0], 0.99, Verdict.CLOSE),
        ([0.0, 0.0], 1e-3, Verdict.VACUOUS),
        ([0.5, -1.0, NAN], 1.0, Verdict.VACUOUS),
    ],
)
def test_a_tolerance_that_could_not_have_failed_is_vacuous(reference: list[float], atol: float, wanted: Verdict):
    candidate = [value + 1e-4 for value in reference]
    assert verdict(candidate, reference, Tolerance(0.0, atol)) is wanted


@pytest.mark.parametrize(("rtol", "wanted"), [(1.0, Verdict.VACUOUS), (0.99, Verdict.CLOSE)])
def test_a_relative_tolerance_that_zeros_are_within_is_vacuous(rtol: float, wanted: Verdict):
    assert verdict([0.5, -1.0], [0.5, -1.001], Tolerance(rtol, 0.0)) is wanted


def test_equal_bits_and_a_failure_are_never_vacuous():
    assert verdict([0.5], [0.5], Tolerance(0.0, 1.0)) is Verdict.EQUAL
    assert verdict([2.5], [0.5], Tolerance(0.0, 1.0)) is Verdict.DIFFERS


def test_a_magnitude_in_an_equal_part_counts_against_vacuity():
    reference = torch.full((1 << 18,), 1e-5)
    reference[0] = 1.0
    candidate = reference.clone()
    candidate[-1] += 1e-6
    assert judge(candidate, reference, Tolerance(0.0, 1e-3)).verdict is Verdict.CLOSE
    assert judge(candidate[1:], reference[1:], Tolerance(0.0, 1e-3)).verdict is Verdict.VACUOUS


def test_tensors_that_need_a_gradient_are_left_alone():
    reference = torch.ones(4, requires_grad=True) * 1.0
    candidate = reference * 1.001
    before = reference.detach().clone()
    assert judge(candidate, reference, LOOSE).verdict is Verdict.CLOSE
    assert judge(candidate * 2, reference, LOOSE).verdict is Verdict.DIFFERS
    assert torch.equal(reference, before)


@pytest.mark.parametrize("make", [torch.Tensor.t, lambda x: x[::2], lambda x: x[:1].expand(6, 8), lambda x: x[1:, 2:5]])
def test_strides_do_not_matter(make):
    reference = torch.arange(48.0).view(6, 8)
    assert judge(make(reference), make(reference).contiguous(), STRICT).verdict is Verdict.EQUAL
    assert judge(make(reference).contiguous(), make(reference), STRICT).verdict is Verdict.EQUAL
    assert judge(make(reference + 1), make(reference).contiguous(), LOOSE).verdict is Verdict.DIFFERS


def test_conjugated_negated_and_sparse_tensors_are_compared_by_value():
    reference = torch.tensor([1 + 2j, 3 - 4j])
    assert judge(reference.conj(), torch.tensor([1 - 2j, 3 + 4j]), STRICT).verdict is Verdict.EQUAL
    assert judge(reference.conj().imag, torch.tensor([-2.0, 4.0]), STRICT).verdict is Verdict.EQUAL
    assert judge(reference.conj(), reference, LOOSE).verdict is Verdict.DIFFERS
    dense = torch.eye(3)
    assert judge(dense.to_sparse(), dense, STRICT).verdict is Verdict.EQUAL
    assert judge(dense.to_sparse(), dense * 2, STRICT).verdict is Verdict.DIFFERS


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_tensor_on_a_device_is_compared_with_one_on_the_cpu(dtype: torch.dtype):
    reference = torch.randn(300, 1001).to(dtype)
    assert judge(reference.cuda(), reference, LOOSE).verdict is Verdict.EQUAL
    assert judge(reference.cuda().t(), reference.t(), LOOSE).verdict is Verdict.EQUAL
    assert judge(reference.cuda() * 2, reference, LOOSE).verdict is Verdict.DIFFERS
