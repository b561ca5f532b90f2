"""With probes the step is the same, bit for bit: what they feed to a module leaves nothing behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity_studio import Studio
from probe_models import Block, Layer, body
from torch import nn

from pytest_parity.capture import Streams
from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions
from pytest_parity.site import Kind

X = torch.randn(6, 8, generator=torch.Generator().manual_seed(3))


class Stateful(nn.Module):
    """Keeps what it sees: in a buffer, a frozen parameter, an attribute and a list; and changes its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.book = nn.Parameter(torch.ones(8), requires_grad=False)
        self.calls = 0
        self.seen: list[float] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen.append(float(x.detach().sum()))
        self.mean.lerp_(x.detach().mean(0), 0.1)
        self.book.data.mul_(1.5)
        return x.mul_(2.0) * self.book + self.mean


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first, self.norm, self.state = nn.Linear(8, 8), nn.BatchNorm1d(8), Stateful()
        self.act, self.drop, self.last = nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(self.act(self.state(self.norm(self.first(x))))))


def trained(studio: Studio | None, **options: Any) -> list[Any]:
    """Everything that two training steps leave, with a recording around them or without one."""
    left: list[Any] = []

    def train(parity: Parity | None = None) -> None:
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(11)
        model = Model()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        batches: list[torch.Tensor] = [X, X + 1]
        losses = []

        def steps(source: Any) -> None:
            for x in source:
                optimizer.zero_grad()
                loss = model(x).square().mean()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())

        if parity is None:
            steps(batches)
        else:
            with parity.watch(model, optimizer=optimizer) as run:
                steps(run.steps(batches))
        generators = [random.random(), np.random.rand(), torch.rand(3).tolist()]
        left.extend([losses, model.state_dict(), model.state.calls, list(model.state.seen), generators])

    if studio is None:
        train()
    else:
        studio.record(train, MarkerOptions(rng="off"), **options)
    return left


def test_under_rng_off_losses_weights_buffers_attributes_and_generators_are_as_without_probes(studio: Studio) -> None:
    plain, probed = trained(None), trained(studio, probe=True)
    assert probed[0] == plain[0]
    assert all(torch.equal(probed[1][name], value) for name, value in plain[1].items())
    assert probed[2:] == plain[2:]
    assert any("probe/state#0" in site for site in map(str, (e.site for e in studio.golden().entries(0))))


def test_a_check_with_probes_leaves_buffers_and_weights_as_they_are(studio: Studio) -> None:
    studio.record(body(Layer, 4, 6, 8), probe=True)
    assert studio.check(body(Layer, 4, 6, 8)).counts.keys() <= {"equal"}


@pytest.mark.parametrize("enabled", [True, False])
def test_autocast_keeps_its_gradients_and_probes_run_under_it(studio: Studio, *, enabled: bool) -> None:
    def step(parity: Parity) -> None:
        model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 2))
        parity.load(model)
        with parity.watch(model), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            model(parity.input("x", X.clone)).float().square().mean().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    studio.record(step, probe=True)
    assert studio.tensor("probe/0#0/tiny").dtype is (torch.bfloat16 if enabled else torch.float32)
    assert studio.check(step).passed


def files(path: Path) -> dict[str, bytes]:
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def test_what_else_a_golden_holds_is_the_same_with_probes_and_without(tmp_path: Path) -> None:
    plain, probed = Studio(tmp_path / "plain"), Studio(tmp_path / "probed")
    one, other = plain.record(body(Block)), probed.record(body(Block), probe=True)
    without, having = files(plain.path / "golden"), files(probed.path / "golden")
    assert having.keys() - without.keys() == {"case/step_0/probes.safetensors"}
    assert not any("probe" in name for name in without)
    for step in one.steps:
        digests = {entry.site: entry.digest for entry in other.entries(step) if entry.site.kind is not Kind.PROBE}
        assert digests == {entry.site: entry.digest for entry in one.entries(step)}


def test_recording_probes_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Studio(tmp_path / name).record(body(Layer, 4, 6, 8), probe=True, draws=2)
    assert files(tmp_path / "one" / "golden") == files(tmp_path / "two" / "golden")


@pytest.mark.parametrize("policy", ["keyed", "global", "off"])
def test_a_stream_aside_is_the_same_each_time_and_hands_the_callers_back(policy: str) -> None:
    def drawn(draw: Callable[[], Any]) -> list[Any]:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        with Streams("case", policy=policy).aside("probe"):
            value = draw()
        assert torch.equal(torch.get_rng_state(), before)
        return [value]

    for draw in (random.random, np.random.rand, lambda: torch.rand(2).tolist()):
        assert drawn(draw) == drawn(draw)
