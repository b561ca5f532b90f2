from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_parity.compare.judge import judge
from pytest_parity.compare.update import UpdateJudge, judge_update
from pytest_parity.golden import Entry, Golden
from pytest_parity.result import Metrics, Tolerance, Verdict

Keep = Callable[..., tuple[Golden, list[Entry]]]
TIGHT = Tolerance(1e-3, 1e-9)


def numbers(metrics: Metrics) -> list[float]:
    return [number for number in asdict(metrics).values() if not isinstance(number, tuple)]


@pytest.fixture
def weights() -> tuple[torch.Tensor, torch.Tensor]:
    """Start and end of the reference's step."""
    torch.manual_seed(0)
    start = torch.randn(64, 33)
    return start, start - 1e-3 * torch.randn(64, 33).sign()


def test_a_step_left_out_is_hidden_in_the_weights_and_seen_in_the_update(weights: tuple[torch.Tensor, torch.Tensor]):
    start, end = weights
    assert judge(start, end, Tolerance(1e-2, 2e-3)).verdict is Verdict.CLOSE
    assert judge_update(start, None, end, start, Tolerance(1e-2, 1e-5)).verdict is Verdict.DIFFERS


def test_the_same_step_is_equal_and_a_slightly_other_one_close(weights: tuple[torch.Tensor, torch.Tensor]):
    start, end = weights
    assert judge_update(end.clone(), None, end, start, TIGHT).verdict is Verdict.EQUAL
    assert judge_update(end.clone(), start.clone(), end, start, TIGHT).verdict is Verdict.EQUAL
    near = start + (end - start) * 1.0005
    assert judge_update(near, None, end, start, TIGHT).verdict is Verdict.CLOSE
    assert judge_update(near, start, end, start, TIGHT).verdict is Verdict.CLOSE


def test_one_unit_in_the_weights_last_place_is_allowed_and_three_are_not(weights: tuple[torch.Tensor, torch.Tensor]):
    start, end = weights
    zero, up = Tolerance(0.0, 0.0), torch.tensor(torch.inf)
    one = torch.nextafter(end, up)
    assert judge_update(one, None, end, start, zero).verdict is Verdict.CLOSE
    assert judge_update(one.double(), None, end.double(), start.double(), zero).verdict is Verdict.DIFFERS
    three = torch.nextafter(torch.nextafter(one, up), up)
    assert judge_update(three, None, end, start, zero).verdict is Verdict.DIFFERS


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
def test_other_dtypes_have_their_own_unit(dtype: torch.dtype):
    start = torch.full((8,), 1.0).to(dtype)
    end = start - 0.25
    unit = torch.finfo(dtype).eps
    assert judge_update(end + unit / 2, None, end, start, Tolerance(0.0, 0.0)).verdict is Verdict.CLOSE
    assert judge_update(end + 4 * unit, None, end, start, Tolerance(0.0, 0.0)).verdict is Verdict.DIFFERS


def test_a_candidate_that_started_elsewhere_is_judged_by_what_it_added(weights: tuple[torch.Tensor, torch.Tensor]):
    start, end = weights
    moved = start.double() + 1.0
    outcome = judge_update(moved + (end - start), moved, end.double(), start.double(), TIGHT)
    assert outcome.verdict is Verdict.CLOSE
    failing = judge_update(moved, moved, end.double(), start.double(), TIGHT)
    assert failing.verdict is Verdict.DIFFERS
    assert failing.metrics is not None
    assert failing.metrics.max_rel == pytest.approx(1.0)


def test_counters_are_exact():
    start, end = torch.tensor(3), torch.tensor(4)
    loose = Tolerance(1.0, 10.0)
    assert judge_update(torch.tensor(4), None, end, start, loose).verdict is Verdict.EQUAL
    assert judge_update(torch.tensor(3), None, end, start, loose).verdict is Verdict.DIFFERS
    assert judge_update(torch.tensor(8), torch.tensor(7), end, start, loose).verdict is Verdict.CLOSE
    flag = torch.tensor([True])
    assert judge_update(flag, None, flag, ~flag, loose).verdict is Verdict.EQUAL
    assert judge_update(~flag, None, flag, ~flag, loose).verdict is Verdict.DIFFERS


def test_an_update_that_atol_swallows_is_vacuous(weights: tuple[torch.Tensor, torch.Tensor]):
    start, end = weights
    near = start + (end - start) * 1.01
    assert judge_update(near, None, end, start, Tolerance(0.0, 2e-3)).verdict is Verdict.VACUOUS
    assert judge_update(near, None, end, start, Tolerance(0.0, 5e-4)).verdict is Verdict.CLOSE


def test_nan_in_an_update_fails_and_shapes_are_checked(weights: tuple[torch.Tensor, torch.Tensor]):
    start, end = weights
    broken = end.clone()
    broken[3, 4] = torch.nan
    outcome = judge_update(broken, None, end, start, TIGHT)
    assert outcome.verdict is Verdict.NONFINITE
    assert outcome.metrics is not None
    assert outcome.metrics.worst_index == (3, 4)
    assert judge_update(end[:2], None, end, start, TIGHT).verdict is Verdict.SHAPE
    assert judge_update(end.half(), None, end, start, TIGHT).verdict is Verdict.DTYPE
    assert judge_update(None, None, end, start, TIGHT).verdict is Verdict.MISSING


@pytest.mark.parametrize("factor", [1.0, 1.0005, 2.0])
@pytest.mark.parametrize("own_start", [False, True])
def test_streamed_the_outcome_is_the_same(
    keep: Keep, weights: tuple[torch.Tensor, torch.Tensor], factor: float, own_start: bool
):
    start, end = weights
    new = start + (end - start) * factor
    golden, (begun, done) = keep(start, end)
    own = start.clone() if own_start else None
    streamed = UpdateJudge(golden, 1000)(done, begun, new, own, TIGHT)
    whole = judge_update(new, own, end, start, TIGHT)
    assert (streamed.verdict, streamed.elements) == (whole.verdict, whole.elements)
    if streamed.metrics is not None and whole.metrics is not None:
        assert streamed.metrics.worst_index == whole.metrics.worst_index
        assert numbers(streamed.metrics) == pytest.approx(numbers(whole.metrics), rel=1e-12)
    assert streamed.verdict.fails == (factor > 1.1)


def test_streamed_strided_weights_and_missing_ones(keep: Keep, weights: tuple[torch.Tensor, torch.Tensor]):
    start, end = weights
    golden, (begun, done) = keep(start, end)
    stream = UpdateJudge(golden, 1000)
    assert stream(done, begun, end.t().contiguous().t(), None, TIGHT).verdict is Verdict.EQUAL
    assert stream(done, begun, None, None, TIGHT).verdict is Verdict.MISSING
    assert stream(done, begun, end[:2], None, TIGHT).verdict is Verdict.SHAPE
    assert stream(done, begun, end.half(), None, TIGHT).verdict is Verdict.DTYPE


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.sampled_from([1e-4, 1e-2, 1.0]),
    error=st.floats(-2e-2, 2e-2),
    tolerance=st.sampled_from([Tolerance(0.0, 0.0), Tolerance(1e-2, 0.0), Tolerance(1e-3, 1e-6), Tolerance(0.0, 1e-5)]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    own_start=st.booleans(),
)
def test_the_verdict_is_that_of_numpy(
    *, seed: int, rate: float, error: float, tolerance: Tolerance, dtype: torch.dtype, own_start: bool
):
    draw = torch.Generator().manual_seed(seed)
    start = torch.randn(20, generator=draw).to(dtype)
    end = start + rate * torch.randn(20, generator=draw).to(dtype)
    begun = start * 1.001 if own_start else start
    new = begun + (end - start) * (1 + error)
    n, b, e, s = (side.double().numpy() for side in (new, begun, end, start))
    far = np.abs((n - b) - (e - s))
    allowed = tolerance.atol + tolerance.rtol * np.abs(e - s)
    allowed += torch.finfo(dtype).eps * np.maximum(np.abs(e), np.abs(s))
    assume(np.all(np.abs(far - allowed) > 1e-12 * allowed))
    outcome = judge_update(new, begun if own_start else None, end, start, tolerance)
    assert outcome.verdict.fails == bool((far > allowed).any())
