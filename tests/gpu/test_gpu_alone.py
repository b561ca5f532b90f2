"""On one device, dropout on: the keyed streams, what is kept bit for bit, and where batches and states come back to."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from gpu_training import Net, Training
from parity_studio import Studio
from torch import nn
from torch.utils.checkpoint import checkpoint

from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


def test_three_steps_under_dropout_are_bit_equal(studio: Studio, device: str):
    studio.record(Training(device, dropout=0.3))
    comparison = studio.check(Training(device, dropout=0.3))
    assert comparison.counts == {"equal": comparison.expected}


def test_masks_are_bit_equal_when_other_things_are_drawn_between(studio: Studio, device: str):
    studio.record(Training(device, dropout=0.5))

    def draw_more(net: Net) -> None:
        for module in net.children():
            module.register_forward_pre_hook(lambda *_: (torch.rand(7, device=device), None)[1])

    masks = dict.fromkeys(("activation/mask*", "activation/drop*"), (0.0, 0.0))
    studio.check(Training(device, dropout=0.5, fault=draw_more, tolerances=masks))


def test_masks_drop_something_and_another_one_every_step(studio: Studio, device: str):
    golden = studio.record(Training(device, dropout=0.5))
    masks = [studio.tensor("activation/mask#0", step) == 0 for step in golden.steps]
    assert all(0.4 < mask.float().mean() < 0.6 for mask in masks)
    assert not masks[0].equal(masks[1])


def test_the_callers_stream_is_handed_back(studio: Studio, device: str):
    drawn = []

    def body(parity: Parity) -> None:
        model = parity.load(Net(0.5).to(device))
        x = parity.input("x", lambda: torch.randn(4, 8, 24, device=device))
        with parity.watch(model, kinds=["weight", "activation"]):
            model(x)
            drawn.append(torch.rand(3, device=device))
            model(x)
            drawn.append(torch.rand(3, device=device))

    studio.record(body)
    studio.check(body)
    assert torch.equal(torch.stack(drawn[:2]), torch.stack(drawn[2:]))
    assert not drawn[0].equal(drawn[1])


class _Blocks(nn.Module):
    def __init__(self, *, checkpointed: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Tanh()) for _ in range(3))
        self.checkpointed = checkpointed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointed else block(x)
        return x


def test_gradients_under_checkpointed_dropout_are_bit_equal(studio: Studio, device: str):
    def body(checkpointed: bool) -> Any:
        def run(parity: Parity) -> None:
            model = parity.load(_Blocks(checkpointed=checkpointed).to(device))
            x = parity.input("x", lambda: torch.randn(4, 8, device=device))
            with parity.watch(model):
                model(x).square().sum().backward()

        return run

    studio.record(body(checkpointed=False))
    comparison = studio.check(body(checkpointed=True))
    assert comparison.counts == {"equal": comparison.expected}


def test_a_batch_comes_back_on_the_models_device(studio: Studio, device: str):
    seen = []

    def body(parity: Parity) -> None:
        model = parity.load(nn.Linear(3, 2).to(device))
        loader = [(types.SimpleNamespace(x=torch.ones(1, 3)), {"ids": torch.tensor([1, 2]), "text": "hello"})]
        with parity.watch(model) as run:
            for audio, labels in run.steps(loader):
                seen.append((audio, labels))
                parity.assert_outputs(model(audio.x.to(device)))

    studio.record(body)
    studio.check(body)
    audio, labels = seen[-1]
    assert (audio.x.device.type, labels["ids"].device.type, labels["text"]) == (device, device, "hello")


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_an_input_comes_back_on_the_loaded_models_device(studio: Studio, device: str):
    def body(parity: Parity) -> None:
        model = parity.load(nn.Linear(3, 2).to(device))
        x = parity.input("x", lambda: torch.randn(5, 3, device=device))
        assert x.device.type == device
        with parity.watch(model):
            model(x).sum().backward()

    studio.both(body)


STATES = [
    pytest.param("cpu", {}, "cpu", id="cpu"),
    pytest.param("cpu", {"fused": True}, "cpu", id="cpu-fused"),
    pytest.param("cuda", {}, "cpu", marks=pytest.mark.gpu, id="cuda"),
    pytest.param("cuda", {"fused": True}, "cuda", marks=pytest.mark.gpu, id="cuda-fused"),
    pytest.param("cuda", {"capturable": True}, "cuda", marks=pytest.mark.gpu, id="cuda-capturable"),
]


@pytest.mark.filterwarnings("ignore:This instance was constructed with capturable=True")
@pytest.mark.parametrize("keep", [None, [1, 2]], ids=["every step", "from step 1"])
@pytest.mark.parametrize(("device", "optimizer", "counter"), STATES)
def test_the_optimizers_state_restarts_where_the_optimizer_wants_it(
    studio: Studio, device: str, optimizer: dict[str, Any], counter: str, keep: list[int] | None
):
    studio.record(Training(device, optimizer=optimizer, keep=keep))
    body = Training(device, optimizer=optimizer, keep=keep)
    comparison = studio.check(body)
    assert comparison.counts == {"equal": comparison.expected}
    state = body.states[-1]
    assert {name: value.device.type for name, value in state.items()} == {
        "step": counter,
        "exp_avg": device,
        "exp_avg_sq": device,
    }
    assert state["step"].item() == 2


@pytest.mark.filterwarnings("ignore:This instance was constructed with capturable=True")
@pytest.mark.parametrize(("device", "optimizer", "counter"), STATES)
def test_an_update_is_judged_across_implementations_of_the_optimizer(
    studio: Studio, device: str, optimizer: dict[str, Any], counter: str
):
    del counter
    studio.record(Training(device, keep=[1, 2]))
    comparison = studio.check(Training(device, optimizer=optimizer, keep=[1, 2]))
    assert comparison.kinds["updated_weight"] == 2 * len(Net().state_dict())


VALUES = {
    "float32": torch.randn(300, 300),
    "transposed": torch.randn(300, 301).T,
    "expanded": torch.randn(300, 1).expand(300, 3),
    "bfloat16": torch.randn(7).bfloat16(),
    "float16": torch.randn(7).half(),
    "float64": torch.randn(7).double(),
    "int64": torch.arange(7),
    "bool": torch.tensor([True, False]),
    "complex64": torch.randn(7, dtype=torch.complex64).conj(),
    "sparse": torch.eye(3).to_sparse(),
    "empty": torch.empty(0, 3),
}


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        ("cpu", "cpu"),
        pytest.param("cpu", "cuda", marks=pytest.mark.gpu),
        pytest.param("cuda", "cpu", marks=pytest.mark.gpu),
    ],
)
def test_values_of_a_device_are_kept_bit_for_bit(studio: Studio, reference: str, candidate: str):
    def body(device: str) -> Any:
        def run(parity: Parity) -> None:
            for name, value in VALUES.items():
                parity.assert_close(name, value.to(device))

        return run

    studio.record(body(reference))
    comparison = studio.check(body(candidate), MarkerOptions(ignore=("output/empty",)))
    assert comparison.counts == {"equal": len(VALUES) - 1, "ignored": 1}


def test_one_wrong_number_on_a_device_is_found(studio: Studio, device: str):
    values = {"x": VALUES["transposed"].clone()}
    studio.record(lambda parity: parity.assert_close("x", values["x"].to(device)))
    values["x"][17, 5] += 1.0
    error = studio.failure(lambda parity: parity.assert_close("x", values["x"].to(device)))
    assert error.comparison is not None
    (delta,) = error.comparison.failures
    assert delta.metrics is not None
    assert delta.metrics.worst_index == (17, 5)
    assert delta.metrics.mismatched == 1
