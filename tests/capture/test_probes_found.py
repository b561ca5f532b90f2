"""What probes show that ordinary data hides, and what they leave in peace."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from parity_studio import Studio
from probe_models import Block, Clamped, Layer, Make, WrittenNorm, body
from torch import nn

from pytest_parity.capture.probes import probe_inputs
from pytest_parity.result import Cause, Fault

BOTH = (torch.float32, torch.bfloat16)
DECLARED = {"tolerances": {"*": (1e-4, 1e-5)}}
"""What people write into their tests."""


def outcome(studio: Studio, candidate: Make, *shape: int, probe: bool, reference: Make, **options: Any) -> str:
    """The first line of the failure; empty where it passes."""
    dtype = options.pop("dtype", torch.float32)
    studio.record(body(reference, *shape, dtype=dtype), probe=probe, draws=options.pop("draws", 2))
    parity = body(candidate, *shape, dtype=dtype)
    try:
        studio.check(parity, **options)
    except Exception as error:  # noqa: BLE001
        return str(error).partition("\n")[0]
    return ""


HIDDEN: dict[str, tuple[Make, dict[str, Any], str]] = {
    "eps": (
        partial(Block, partial(nn.LayerNorm, eps=1e-6)),
        DECLARED,
        "norm differs where ordinary data does not show it",
    ),
    "eps_bfloat16": (
        partial(Block, partial(nn.LayerNorm, eps=1e-6)),
        {"dtype": torch.bfloat16},
        "norm differs where ordinary data does not show it: when it is fed its inputs times 1e-4",
    ),
    "tanh_gelu_bfloat16": (
        partial(Block, act=partial(nn.GELU, "tanh")),
        {"dtype": torch.bfloat16},
        "act differs where ordinary data does not show it: when it is fed numbers from -6 to -3",
    ),
    "clamp": (
        partial(Block, act=Clamped),
        {},
        "act differs where ordinary data does not show it: when it is fed numbers of either sign around 1e4",
    ),
    "clamp_without_floors": (partial(Block, act=Clamped), {"draws": 0}, "act differs where ordinary data does not"),
}


@pytest.mark.parametrize("fault", HIDDEN)
def test_a_fault_that_ordinary_data_hides_passes_without_probes(studio: Studio, fault: str) -> None:
    candidate, options, _ = HIDDEN[fault]
    assert outcome(studio, candidate, probe=False, reference=Block, **options) == ""


@pytest.mark.parametrize("fault", HIDDEN)
def test_a_fault_that_ordinary_data_hides_fails_with_probes_and_names_the_module(studio: Studio, fault: str) -> None:
    candidate, options, said = HIDDEN[fault]
    assert outcome(studio, candidate, probe=True, reference=Block, **options).startswith(f"case step 0: {said}")


def test_scores_that_a_mask_sets_to_minus_ten_thousand_are_found(studio: Studio) -> None:
    masked = partial(Layer, -1e4)
    assert outcome(studio, masked, 4, 12, 8, probe=False, reference=Layer) == ""
    said = outcome(studio, masked, 4, 12, 8, probe=True, reference=Layer)
    assert said.startswith("case step 0: attention differs where ordinary data does not show it: when it is fed")


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("rewrite", ["norm", "attention", "convolution"])
def test_a_correct_rewrite_passes_its_probes(studio: Studio, rewrite: str, dtype: torch.dtype) -> None:
    if rewrite == "norm":
        assert outcome(studio, partial(Block, WrittenNorm), probe=True, reference=Block, dtype=dtype) == ""
        return
    candidate = partial(Layer, -math.inf) if rewrite == "attention" else partial(Layer, unfolded=True)
    assert outcome(studio, candidate, 4, 12, 8, probe=True, reference=Layer, dtype=dtype) == ""


@pytest.mark.parametrize("rewrite", ["norm", "attention", "convolution"])
def test_a_correct_rewrite_passes_its_probes_without_noise_floors(studio: Studio, rewrite: str) -> None:
    candidates = {
        "norm": (partial(Block, WrittenNorm), Block, ()),
        "attention": (partial(Layer, -math.inf), Layer, (4, 12, 8)),
        "convolution": (partial(Layer, unfolded=True), Layer, (4, 12, 8)),
    }
    candidate, reference, shape = candidates[rewrite]
    assert outcome(studio, candidate, *shape, probe=True, reference=reference, draws=0) == ""


def test_what_ordinary_data_shows_too_is_told_as_ever(studio: Studio) -> None:
    studio.record(body(Block), probe=True, draws=2)
    comparison = studio.failure(body(partial(Block, act=partial(nn.GELU, "tanh")))).comparison
    assert comparison is not None
    assert comparison.diagnosis is not None
    assert comparison.diagnosis.fault is Fault.MODULE
    assert comparison.diagnosis.module == "act"
    assert any(delta.site == "probe/act#0/negative" for delta in comparison.failures)


def test_the_failure_says_which_probes_differ_and_in_which_other_modules(studio: Studio) -> None:
    class Two(nn.Module):
        def __init__(self, act: Make = nn.GELU) -> None:
            super().__init__()
            self.first, self.second = Block(act=act), Block(act=act)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x))

    studio.record(body(Two), probe=True, draws=2)
    failure = studio.failure(body(partial(Two, Clamped)))
    assert "first.act differs where ordinary data does not show it" in str(failure)
    assert "its probes that fail: extreme; that agree: tiny, large, zero, wide, negative" in str(failure)
    assert "probes fail in other modules too: second.act" in str(failure)


@pytest.mark.parametrize(
    ("candidate", "cause"),
    [
        (partial(Block, partial(nn.LayerNorm, eps=1e-6)), Cause.EPS),
        (partial(Block, act=partial(nn.GELU, "tanh")), Cause.ACTIVATION),
    ],
    ids=["eps", "tanh"],
)
def test_the_cause_is_tested_on_the_probe_and_told(studio: Studio, candidate: Make, cause: Cause) -> None:
    studio.record(body(Block, dtype=torch.bfloat16), probe=True, draws=2)
    comparison = studio.failure(body(candidate, dtype=torch.bfloat16)).comparison
    assert comparison is not None
    assert comparison.diagnosis is not None
    assert [hint.cause for hint in comparison.diagnosis.causes] == [cause]


def test_two_extreme_inputs_have_opposite_signs_so_that_scores_come_out_far_below_a_mask() -> None:
    extreme = probe_inputs("extreme", {leaf: torch.tensor([0.5, 1.5, -2.5, 3.5]) for leaf in ("in.0", "in.1")})
    assert float((extreme["in.0"] * extreme["in.1"]).max()) < -1e7
