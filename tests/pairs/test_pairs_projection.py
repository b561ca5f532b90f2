"""The loss of a pair that names none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_parity.compare.region import LengthRegion
from pytest_parity.session.projection import projection


def gradient(out: torch.Tensor, **options: Any) -> torch.Tensor:
    out = out.clone().requires_grad_()
    loss = projection(out, 0, options.get("regions", {}))
    assert loss is not None
    loss.backward()
    assert out.grad is not None
    return out.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_every_element_has_a_gradient_of_about_one_size(dtype: torch.dtype):
    found = gradient(torch.randn(10, 10).to(dtype))
    parts = torch.view_as_real(found) if found.is_complex() else found
    sizes = parts.abs().double() * parts.numel() ** 0.5
    assert float(sizes.min()) > 0.49
    assert float(sizes.max()) < 1.51
    assert abs(float(parts.sign().double().mean())) < 0.3


def test_values_that_are_not_finite_have_no_part():
    out = torch.tensor([1.0, float("-inf"), float("nan"), 2.0])
    loss = projection(out, 0, {})
    assert loss is not None
    assert torch.isfinite(loss)
    assert (gradient(out) != 0).tolist() == [True, False, False, True]


def test_padding_has_no_part():
    found = gradient(torch.randn(2, 3, 4), regions={"outputs": LengthRegion(1, (1, 3))})
    assert (found != 0).all(-1).tolist() == [[True, False, False], [True, True, True]]


def test_the_same_weights_each_time_and_others_by_seed_and_by_place():
    out = torch.randn(3, 3)
    assert projection(out, 0, {}) == projection(out, 0, {}) != projection(out, 1, {})
    assert projection([out, -out], 0, {}) != 0


def test_what_it_is_made_of():
    double = projection(SimpleNamespace(a=torch.ones(2), b=torch.ones(2, dtype=torch.float64), c=None), 0, {})
    assert double is not None
    assert double.dtype is torch.float64
    single = projection({"a": torch.ones(2, dtype=torch.bfloat16), "ids": torch.ones(2, dtype=torch.int64)}, 0, {})
    assert single is not None
    assert single.dtype is torch.float32
    assert projection((torch.ones(2, dtype=torch.int64), None, torch.zeros(0)), 0, {}) is None
