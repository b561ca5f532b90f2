from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pytest_parity.compare.judge import judge
from pytest_parity.compare.metrics import metrics
from pytest_parity.result import Tolerance, Verdict

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAN = math.nan

numbers = st.one_of(
    st.floats(-1e4, 1e4, width=16),
    st.sampled_from([0.0, -0.0, NAN, math.inf, -math.inf, 1.0, 1e-6]),
)
tolerances = st.sampled_from(
    [Tolerance(0.0, 0.0), Tolerance(1e-3, 1e-5), Tolerance(1e-2, 0.0), Tolerance(0.0, 1e-2), Tolerance(1.6e-2, 1e-5)]
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Values, and others that are the same, near, far or anything."""
    expected = draw(st.lists(numbers, min_size=1, max_size=40))
    change = st.one_of(
        st.just(lambda x: x),
        st.floats(-2e-2, 2e-2).map(lambda f: lambda x: x * (1 + f)),
        st.floats(-2e-2, 2e-2).map(lambda f: lambda x: x + f),
        numbers.map(lambda y: lambda _: y),
    )
    changes = draw(st.lists(change, min_size=len(expected), max_size=len(expected)))
    return [one(x) for one, x in zip(changes, expected, strict=True)], expected


def oracle(a: np.ndarray, r: np.ndarray, tolerance: Tolerance) -> np.ndarray:
    """Which elements mismatch, in numpy's float64."""
    with np.errstate(all="ignore"):
        near = np.abs(a - r) <= tolerance.atol + tolerance.rtol * np.abs(r)
    near &= np.isfinite(a) & np.isfinite(r)
    return ~(near | (a == r) | (np.isnan(a) & np.isnan(r)))


def decided(a: np.ndarray, r: np.ndarray, tolerance: Tolerance, epsilon: float) -> bool:
    """Whether no element is so near to its bound that rounding decides."""
    finite = np.isfinite(a) & np.isfinite(r)
    a, r = a[finite], r[finite]
    bound = tolerance.atol + tolerance.rtol * np.abs(r)
    return not np.any((np.abs(np.abs(a - r) - bound) <= 4 * epsilon * (np.abs(a) + np.abs(r))) & (a != r))


@many
@given(pairs(), tolerances, st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_verdict_and_metrics_are_those_of_numpy(
    pair: tuple[list[float], list[float]], tolerance: Tolerance, dtype: torch.dtype
):
    actual, expected = (torch.tensor(side, dtype=torch.float64).to(dtype) for side in pair)
    a, r = actual.double().numpy(), expected.double().numpy()
    assume(decided(a, r, tolerance, 1e-15))
    wrong = oracle(a, r, tolerance)
    outcome = judge(actual, expected, tolerance)
    assert outcome.verdict.fails == bool(wrong.any())
    assert (outcome.verdict is Verdict.NONFINITE) == bool((wrong & ~np.isfinite(a)).any())
    check_metrics(metrics(actual, expected, tolerance), a, r, wrong, tolerance)


def check_metrics(found, a: np.ndarray, r: np.ndarray, wrong: np.ndarray, tolerance: Tolerance) -> None:
    finite = np.isfinite(a) & np.isfinite(r)
    assert (found.elements, found.mismatched) == (a.size, int(wrong.sum()))
    assert found.nonfinite_actual == int((~np.isfinite(a)).sum())
    assert found.nonfinite_expected == int((~np.isfinite(r)).sum())
    (worst,) = found.worst_index
    if (wrong | finite).any():
        same_number(found.worst_actual, a[worst])
        same_number(found.worst_expected, r[worst])
    wrong_and_finite, a_all, r_all = wrong & finite, a, r
    a, r = a[finite], r[finite]
    far = np.abs(a - r)
    assert found.max_abs == far.max(initial=0.0)
    assert found.reference_max == np.abs(r).max(initial=0.0)
    assert found.rmse == pytest.approx(math.sqrt(np.mean(far**2)) if a.size else 0.0, rel=1e-12)
    relative = np.divide(far, np.abs(r), out=np.zeros_like(far), where=r != 0).max(initial=0.0)
    on_zero = bool((wrong_and_finite & (r_all == 0)).any())
    assert found.max_rel == pytest.approx(math.inf if on_zero else relative, rel=1e-12)
    size, ours = np.linalg.norm(r), np.linalg.norm(a)
    if size > 0:
        assert found.relative_l2 == pytest.approx(np.linalg.norm(far) / size, rel=1e-9)
        assert found.cosine == pytest.approx(a @ r / size / ours if ours else 0.0, abs=1e-9)
    if (wrong & ~finite_pairs(a_all, r_all)).any():
        assert not math.isfinite(a_all[worst]) or not math.isfinite(r_all[worst])
    elif a.size:
        excess = far - (tolerance.atol + tolerance.rtol * np.abs(r))
        at = abs(found.worst_actual - found.worst_expected) - found.worst_allowed
        assert at == pytest.approx(excess.max(), rel=1e-9, abs=1e-12)


def finite_pairs(a: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.isfinite(a) & np.isfinite(r)


def same_number(found: float, wanted: float) -> None:
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


@many
@given(pairs(), tolerances, st.sampled_from([torch.float32, torch.float64]))
def test_verdict_is_that_of_torch_testing(
    pair: tuple[list[float], list[float]], tolerance: Tolerance, dtype: torch.dtype
):
    actual, expected = (torch.tensor(side, dtype=torch.float64).to(dtype) for side in pair)
    assume(decided(actual.double().numpy(), expected.double().numpy(), tolerance, torch.finfo(dtype).eps))
    try:
        torch.testing.assert_close(actual, expected, rtol=tolerance.rtol, atol=tolerance.atol, equal_nan=True)
        fails = False
    except AssertionError:
        fails = True
    assert judge(actual, expected, tolerance).verdict.fails == fails


@many
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20),
    st.integers(-3, 3),
    st.data(),
)
def test_integers_differ_wherever_they_are_not_the_same(values: list[int], step: int, data: st.DataObject):
    at = data.draw(st.integers(0, len(values) - 1))
    assume(-(2**63) <= values[at] + step < 2**63)
    other = [value + step * (place == at) for place, value in enumerate(values)]
    outcome = judge(torch.tensor(other), torch.tensor(values), Tolerance(1.0, 1.0))
    assert outcome.verdict is (Verdict.DIFFERS if step else Verdict.EQUAL)
    if step:
        assert outcome.metrics is not None
        assert (outcome.metrics.mismatched, outcome.metrics.worst_index) == (1, (at,))
        assert outcome.metrics.max_abs >= 1


@many
@given(st.floats(0.1, 10), st.floats(1e-6, 1e-1), st.floats(0, 1e-2), st.integers(-3, 3), st.booleans())
def test_next_to_the_bound_the_rule_is_exact(value: float, rtol: float, atol: float, ulps: int, below: bool):
    expected = torch.tensor([value])
    edge = float(expected) + (-1 if below else 1) * (atol + rtol * float(expected))
    actual = torch.tensor([edge])
    for _ in range(abs(ulps)):
        actual = torch.nextafter(actual, torch.tensor([math.inf if ulps > 0 else -math.inf]))
    tolerance = Tolerance(rtol, atol)
    a, r = actual.double().numpy(), expected.double().numpy()
    assume(decided(a, r, tolerance, 1e-15))
    assert judge(actual, expected, tolerance).verdict.fails == bool(oracle(a, r, tolerance).any())


@many
@given(st.floats(-math.pi, math.pi), st.floats(0, 3e-2))
def test_complex_distance_is_the_modulus(angle: float, distance: float):
    expected = torch.tensor([3 + 4j], dtype=torch.complex128)
    actual = expected + distance * complex(math.cos(angle), math.sin(angle))
    far = abs(complex(actual[0]) - complex(expected[0]))
    assume(abs(far - 1e-2) > 1e-12)
    assert judge(actual, expected, Tolerance(0.0, 1e-2)).verdict.fails == (far > 1e-2)
