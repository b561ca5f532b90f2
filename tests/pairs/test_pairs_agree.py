"""Two models that compute the same agree, however they are written; and what is compared is counted."""

from __future__ import annotations

import pytest
import torch
from pair_models import FUSED_NAMES, Block, Eager, Fused, ManualNorm, seeded
from torch import nn

from pytest_parity import assert_equivalent


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_attention_written_out_against_the_fused_one_under_other_names(dtype: torch.dtype):
    eager, fused = seeded(Eager).to(dtype), seeded(Fused).to(dtype)
    comparison = assert_equivalent(eager, fused, torch.randn(2, 5, 16, dtype=dtype), names=FUSED_NAMES)
    assert comparison.passed
    assert comparison.compared == comparison.expected
    assert comparison.kinds == {
        "weight": 8,
        "input": 6,
        "activation": 6,
        "output": 1,
        "loss": 1,
        "gradient": 9,
        "updated_weight": 8,
    }
    assert comparison.counts["close"]


@pytest.mark.parametrize("magnitude", [1e-3, 1.0, 1e3])
def test_a_norm_written_out(magnitude: float):
    norm = seeded(nn.LayerNorm, 32)
    assert assert_equivalent(norm, ManualNorm(32), torch.randn(3, 7, 32) * magnitude).passed


def test_a_model_against_itself_is_equal_bit_for_bit_with_dropout():
    block = seeded(Block)
    comparison = assert_equivalent(block, block, torch.randn(4, 8))
    assert comparison.counts == {"equal": comparison.expected}


def test_dropout_agrees_where_its_module_has_another_name():
    class Renamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.noise = nn.Linear(8, 8), nn.Linear(8, 8), nn.Dropout(0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.rand(3)  # draws of its own do not move the mask
            return self.second(self.noise(self.first(x)))

    reference = seeded(nn.Sequential, nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 8))
    names = {"first": "0", "noise": "1", "second": "2"}
    assert assert_equivalent(reference, Renamed(), torch.randn(4, 8), names=names).passed


def test_functions_that_build_the_models():
    comparison = assert_equivalent(Eager, lambda: Fused(16, 2), torch.randn(2, 3, 16), names=FUSED_NAMES)
    assert comparison.case == "Fused against Eager"
    assert comparison.passed


def test_a_model_without_parameters_has_the_gradient_of_its_input():
    comparison = assert_equivalent(nn.GELU(), nn.GELU(), torch.randn(3, 4))
    assert comparison.kinds == {"input": 1, "activation": 1, "output": 1, "loss": 1, "gradient": 1}


def test_a_model_with_nothing_to_differentiate():
    class Largest(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(-1)

    comparison = assert_equivalent(Largest(), Largest(), torch.randn(3, 4))
    assert "loss" not in comparison.kinds
    assert "gradient" not in comparison.kinds


def test_inputs_that_are_overwritten_in_place():
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.mul_(2).add_(1))

    x = torch.randn(2, 4)
    before = x.clone()
    model = seeded(Overwriting)
    assert assert_equivalent(model, model, x).passed
    assert torch.equal(x, before)


def test_a_compiled_model_against_itself():
    model = seeded(nn.Sequential, nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
    comparison = assert_equivalent(model, torch.compile(model, backend="eager"), torch.randn(2, 4))
    assert comparison.passed
    assert comparison.counts["unobservable"]


def test_sparse_gradients_have_a_noise_floor():
    table = seeded(nn.Embedding, 9, 4, sparse=True)
    comparison = assert_equivalent(
        table, table, torch.tensor([[1, 2, 2]]), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1)
    )
    assert comparison.counts == {"equal": comparison.expected}
    assert comparison.notes == ()


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_reference_against_a_plain_candidate(reentrant: bool):
    class Kept(Eager):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.utils.checkpoint.checkpoint(super().forward, x, use_reentrant=reentrant)

    comparison = assert_equivalent(seeded(Kept, p=0.3), Eager(p=0.3), torch.randn(2, 5, 16))
    assert comparison.passed
    assert comparison.notes == ()


def test_a_norm_written_out_in_bfloat16_is_within_what_rounding_does_to_the_reference():
    norm = seeded(nn.LayerNorm, 64).bfloat16()
    x = torch.randn(8, 64, dtype=torch.bfloat16)
    assert assert_equivalent(norm, ManualNorm(64).bfloat16(), x).passed
