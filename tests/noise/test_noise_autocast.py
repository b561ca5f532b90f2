"""Under autocast modules compute with less than their parameters hold: what they return is moved, too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from noise_models import WIDTH, Tower, scaled, tower
from parity_studio import Studio
from torch import nn
from torch.utils.checkpoint import checkpoint

from pytest_parity.session.parity import Parity


def autocast(make: Callable[[], nn.Module], dtype: torch.dtype = torch.bfloat16) -> Callable[[Parity], None]:
    def body(parity: Parity) -> None:
        model = parity.load(make())
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps((torch.randn(4, 6, WIDTH) for _ in range(2)), limit=2):
                optimizer.zero_grad()
                with torch.autocast("cpu", dtype=dtype):
                    out = model(x)
                    loss = out.float().square().mean()
                loss.backward()
                optimizer.step()
                parity.assert_step(outputs=out, loss=loss)

    return body


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_rewrite_passes(studio: Studio, dtype: torch.dtype):
    studio.record(autocast(tower, dtype), draws=3)
    assert studio.check(autocast(lambda: tower(rewritten=True), dtype)).passed


@pytest.mark.parametrize(("dtype", "factor"), [(torch.bfloat16, 1.03), (torch.float16, 1.01)])
def test_a_scale_error_is_named(studio: Studio, dtype: torch.dtype, factor: float):
    studio.record(autocast(tower, dtype), draws=3)
    failure = studio.failure(autocast(lambda: scaled(tower(rewritten=True), "blocks.1.up", factor), dtype))
    assert "blocks.1.up is the first module whose output differs" in str(failure)


class Recomputing(Tower):
    """Each block checkpointed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return self.head(x)


def recomputing() -> nn.Module:
    model = Recomputing(rewritten=True)
    model.load_state_dict(tower().state_dict())
    return model


def test_what_a_checkpoint_computes_again_is_moved_alike(studio: Studio):
    golden = studio.record(autocast(recomputing), draws=3)
    assert golden.noise is not None
    assert studio.check(autocast(tower)).passed


class Inplace(nn.Module):
    """An activation that overwrites what the layer before it has returned, and a module that returns two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.relu, self.split, self.down = nn.Linear(WIDTH, 8), nn.ReLU(inplace=True), Split(), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        low, high = self.split(self.relu(self.up(x)))
        return self.down(low * high)


class Split(nn.Module):
    """Halves."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x[..., :4], x[..., 4:]


def inplace() -> nn.Module:
    torch.manual_seed(4)
    return Inplace()


def test_outputs_that_are_overwritten_and_tuples_are_moved(studio: Studio):
    golden = studio.record(autocast(inplace), draws=3)
    assert golden.noise is not None
    places = {str(entry.site): entry.order for entry in golden.entries(0)}
    for site in ("activation/up#0", "activation/split#0/out.1", "activation/down#0"):
        floor = golden.noise.of(0, places[site])
        assert floor is not None
        assert floor.norm > torch.finfo(torch.bfloat16).eps * floor.reference / 8


def test_recording_leaves_no_hook_behind(studio: Studio):
    model = tower()
    studio.record(autocast(lambda: model), draws=2)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_in_one_dtype_is_moved_in_its_parameters_alone(studio: Studio):
    """Its outputs are moved by what they are computed from, as often as anything is."""

    def body(parity: Parity) -> None:
        layer = nn.Linear(WIDTH, 3).double()
        with parity.watch(layer):
            seen.append(layer(parity.input("x", lambda: torch.ones(2, WIDTH, dtype=torch.float64))).detach())

    seen: list[torch.Tensor] = []
    studio.record(body, draws=1)
    assert 0 < float((seen[2] - seen[0]).abs().max()) < 1e-14
