"""The smallest scale error that is caught, in closed form: what the judges themselves say just above and just below it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_parity.compare.judge import judge
from pytest_parity.diagnose.reach import gathered, smallest_scale
from pytest_parity.golden.noise import Floor
from pytest_parity.result import Tolerance, Verdict
from pytest_parity.site import Kind, Site


@given(
    rtol=st.sampled_from([0.0, 1e-6, 1e-3, 0.1]), atol=st.sampled_from([0.0, 1e-8, 1e-4, 0.1]), seed=st.integers(0, 99)
)
def test_the_judge_agrees_on_both_sides(rtol: float, atol: float, seed: int):
    reference = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    tolerance = Tolerance(rtol, atol)
    scale = smallest_scale(reference, tolerance, None)
    assert scale is not None
    assert judge(reference * (1 + 1.01 * scale + 1e-12), reference, tolerance).verdict is Verdict.DIFFERS
    assert not judge(reference * (1 + 0.99 * scale), reference, tolerance).verdict.fails or scale < 1e-12


def test_by_a_floor_the_gain_shows_what_the_norm_does_not():
    floor = Floor(norm=0.01, gain=1e-6, reference=10.0)
    assert smallest_scale(torch.ones(100), Tolerance(0.0, 0.0, factor=10.0), floor) == pytest.approx(1e-5)


def test_by_a_floor_the_norm_shows_what_the_gain_does_not():
    floor = Floor(norm=1e-5, gain=1e-3, reference=10.0)
    assert smallest_scale(torch.ones(100), Tolerance(0.0, 0.0, factor=10.0), floor) == pytest.approx(1e-5)


def test_below_noise_the_gain_says_nothing():
    floor = Floor(norm=2.0, gain=1e-6, reference=10.0)
    assert smallest_scale(torch.ones(100), Tolerance(0.0, 0.0, factor=10.0), floor) == pytest.approx(2.0)


def test_nothing_below_rounding_is_a_change():
    assert smallest_scale(torch.ones(3), Tolerance(0.0, 0.0), None) == torch.finfo(torch.float32).eps / 2


def test_slack_is_allowed_besides():
    found = smallest_scale(torch.tensor([1.0, 2.0]), Tolerance(0.0, 0.1), None, torch.tensor([0.0, 0.3]))
    assert found == pytest.approx(0.1)


@pytest.mark.parametrize("value", [torch.arange(3), torch.tensor([True]), torch.zeros(3), torch.empty(0)])
def test_no_scale_changes_it(value: torch.Tensor):
    assert smallest_scale(value, Tolerance(0.1, 0.1), None) is None


def test_what_is_not_finite_does_not_count():
    value = torch.tensor([math.inf, math.nan, 0.5])
    assert smallest_scale(value, Tolerance(0.0, 0.1), None) == pytest.approx(0.2)


def test_the_bluntest_site_of_each_kind_and_tolerance_is_named():
    loose, tight = Tolerance(0.1, 0.0, "call"), Tolerance(0.01, 0.0, "marker")
    sites = [
        (Site(Kind.GRADIENT, "a.weight"), loose, 0.1),
        (Site(Kind.ACTIVATION, "a", 0), tight, 0.01),
        (Site(Kind.ACTIVATION, "b", 0), tight, 0.03),
        (Site(Kind.ACTIVATION, "d", 0), tight, 0.02),
        (Site(Kind.ACTIVATION, "c", 0), loose, 0.1),
    ]
    found = [(one.kind, one.tolerance, one.sites, one.some, one.half, one.every, one.site) for one in gathered(sites)]
    assert found == [
        ("activation", tight, 3, 0.01, 0.02, 0.03, "activation/b#0"),
        ("activation", loose, 1, 0.1, 0.1, 0.1, "activation/c#0"),
        ("gradient", loose, 1, 0.1, 0.1, 0.1, "gradient/a.weight"),
    ]
