"""The tolerances between devices, held to account on a CPU: wide enough for rounded factors, and no wider than needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from gpu_training import FLOAT32, TF32, Training
from parity_studio import Studio
from torch.nn import functional
from torch.overrides import TorchFunctionMode

PRODUCTS = {functional.linear, functional.conv1d, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__}
KINDS = ["batch", "weight", "input", "activation", "activation_gradient", "gradient", "optimizer", "updated_weight"]


def rounded(value: torch.Tensor) -> torch.Tensor:
    """float32 with 10 bits of mantissa instead of 23: what a TF32 unit multiplies."""
    bits = value.contiguous().view(torch.int32)
    return ((bits + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32)


class _Factor(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: torch.Tensor) -> torch.Tensor:
        return rounded(value)

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return rounded(gradient)


class Rounding(TorchFunctionMode):
    """Round both factors of every product, forward and backward."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        if func not in PRODUCTS:
            return func(*args, **(kwargs or {}))
        factors = [_Factor.apply(value) for value in args[:2]]
        return _Product.apply(func(*factors, *args[2:], **(kwargs or {})))


def test_rounded_factors_are_within_the_tolerances_of_tf32(studio: Studio):
    studio.record(Training("cpu", kinds=KINDS))
    with Rounding():
        comparison = studio.check(Training("cpu", kinds=KINDS, tolerances=TF32))
    assert comparison.compared == comparison.expected


def test_rounded_factors_are_not_within_the_tolerances_of_float32(studio: Studio):
    studio.record(Training("cpu", kinds=KINDS))
    with Rounding():
        error = studio.failure(Training("cpu", kinds=KINDS, tolerances=FLOAT32))
    assert "conv is the first module whose output differs" in str(error)


def test_the_products_are_rounded():
    a, b = torch.full((1, 1), 1 + 2**-12), torch.eye(1)
    with Rounding():
        assert (a @ b).item() == 1
    assert (a @ b).item() == 1 + 2**-12
