"""Recorded on one device and checked on another, dropout off: the generators of two devices draw other numbers."""

from __future__ import annotations

import pytest
import torch
from gpu_training import FLOAT32, TF32, Net, Training, tf32
from parity_studio import Studio

from pytest_parity.site import Kind

GPU = pytest.mark.gpu
PAIRS = [
    pytest.param("cpu", "cpu"),
    pytest.param("cpu", "cuda", marks=GPU),
    pytest.param("cuda", "cpu", marks=GPU),
]
PRECISIONS = [pytest.param(False, FLOAT32, id="float32"), pytest.param(True, TF32, id="tf32")]


@pytest.mark.parametrize(("reference", "candidate"), PAIRS)
@pytest.mark.parametrize(("on", "tolerances"), PRECISIONS)
def test_three_steps_agree(studio: Studio, reference: str, candidate: str, on: bool, tolerances: dict):
    kinds = [kind.value for kind in Kind]
    with tf32(on=on):
        studio.record(Training(reference, kinds=kinds))
        body = Training(candidate, kinds=kinds, tolerances=tolerances)
        comparison = studio.check(body)
    assert comparison.steps == (0, 1, 2)
    assert comparison.compared == comparison.expected
    assert set(comparison.kinds) == {kind for kind in kinds if kind != "batch"}
    assert {value.device.type for batch in body.seen for value in batch.values()} == {candidate}


@pytest.mark.parametrize(("reference", "candidate"), PAIRS)
def test_the_default_tolerances_hold_for_weights_and_updates(studio: Studio, reference: str, candidate: str):
    kinds = ["batch", "weight", "gradient", "optimizer", "updated_weight"]
    with tf32(on=False):
        studio.record(Training(reference, kinds=kinds))
        close = {kind: FLOAT32[kind] for kind in ("gradient", "optimizer", "output", "loss")}
        comparison = studio.check(Training(candidate, kinds=kinds, tolerances=close))
    assert comparison.kinds["updated_weight"] == 3 * len(Net().state_dict())


FAULTS = {
    "norm": (lambda net: setattr(net.norm, "eps", 1e-3), FLOAT32, False),
    "attention.query": (lambda net: net.attention.query.register_forward_hook(_scaled), FLOAT32, False),
    "head": (lambda net: net.head.register_forward_hook(_scaled), TF32, True),
}


def _scaled(_module: object, _args: object, output: torch.Tensor) -> torch.Tensor:
    return output * 1.1


@pytest.mark.parametrize(("reference", "candidate"), PAIRS)
@pytest.mark.parametrize("module", FAULTS)
def test_a_fault_is_found_and_named(studio: Studio, reference: str, candidate: str, module: str):
    fault, tolerances, on = FAULTS[module]
    with tf32(on=on):
        studio.record(Training(reference))
        error = studio.failure(Training(candidate, tolerances=tolerances, fault=fault))
    assert f"step 0: {module} is the first module whose output differs" in str(error).splitlines()[0]
