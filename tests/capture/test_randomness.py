"""Random streams: keyed by the call, handed back, repeated in a checkpoint's recompute."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from parity_studio import Studio, single
from torch import nn
from torch.utils.checkpoint import checkpoint

from pytest_parity.errors import ParityFailure
from pytest_parity.settings import MarkerOptions
from pytest_parity.site import Kind

X = torch.randn(16, 8, generator=torch.Generator().manual_seed(7))


class Block(nn.Module):
    """Draws twice from one dropout object, around a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 8)
        self.drop = nn.Dropout(0.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(torch.tanh(self.lin(self.drop(x))))


class Stack(nn.Module):
    def __init__(self, blocks: int = 3, how: str = "plain", shared: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.blocks = nn.ModuleList(shared or Block() for _ in range(blocks))
        self.how = how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            if self.how == "plain":
                x = block(x)
            elif self.how == "functions":  # the checkpointed stretch is no module of its own
                x = checkpoint(lambda x, b=block: x + b.drop(torch.tanh(b.lin(b.drop(x)))), x, use_reentrant=False)
            elif self.how == "inlined":
                x = x + block.drop(torch.tanh(block.lin(block.drop(x))))
            else:
                x = checkpoint(block, x, use_reentrant=self.how == "reentrant")
        return x


class Drawn(nn.Module):
    """Dropouts that draw in another order than ``Block``'s: what feeds the second is made first."""

    def __init__(self, *, swapped: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b = nn.Dropout(0.5), nn.Dropout(0.5)
        self.lin = nn.Linear(8, 8)
        self.swapped = swapped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.swapped:
            torch.rand(3)
            second = self.b(x)
            first = self.a(x)
        else:
            first = self.a(x)
            second = self.b(x)
        return self.lin(first - second)


def leaf_input() -> torch.Tensor:
    return X.clone().requires_grad_()


def stepped(model: nn.Module, kinds: list[str] | None = None, rng: str | None = None) -> Any:
    def body(parity: Any) -> None:
        model.zero_grad()
        with parity.watch(model, kinds=kinds, rng=rng):
            x = parity.input("x", leaf_input)
            model(x).square().sum().backward()

    return body


def test_masks_agree_between_implementations_that_draw_in_another_order(studio: Studio) -> None:
    kinds = ["weight", "activation", "gradient"]  # inputs come in another order, by construction
    studio.record(stepped(Drawn(swapped=False), kinds))
    assert studio.check(stepped(Drawn(swapped=True), kinds)).counts == {"equal": 8}


def test_global_streams_depend_on_the_order_of_drawing(studio: Studio) -> None:
    kinds = ["weight", "activation", "gradient"]
    studio.record(stepped(Drawn(swapped=False), kinds, rng="global"))
    assert studio.check(stepped(Drawn(swapped=False), kinds)).passed
    with pytest.raises(ParityFailure):
        studio.check(stepped(Drawn(swapped=True), kinds))


def test_off_touches_no_generator(studio: Studio) -> None:
    def body(parity: Any) -> None:
        torch.manual_seed(11)
        random.seed(11)
        np.random.seed(11)
        before = torch.rand(2), random.random(), np.random.rand()
        torch.manual_seed(11)
        random.seed(11)
        np.random.seed(11)
        stepped_body(parity)
        torch.manual_seed(11)
        assert torch.equal(before[0], torch.rand(2))
        assert (random.random(), np.random.rand()) == before[1:]

    model = nn.Sequential(nn.Linear(8, 8))
    stepped_body = stepped(model, rng="off")
    studio.record(body, MarkerOptions(rng="off"))


def test_off_gives_the_bits_of_a_run_without_capture(studio: Studio) -> None:
    def train() -> list[torch.Tensor]:
        model = Stack()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        torch.manual_seed(5)
        for _ in range(3):
            optimizer.zero_grad()
            model(X).square().sum().backward()
            optimizer.step()
        return [p.detach().clone() for p in model.parameters()]

    plain = train()
    seen: list[torch.Tensor] = []

    def body(parity: Any) -> None:
        model = Stack()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        torch.manual_seed(5)
        with parity.watch(model, optimizer=optimizer, rng="off") as run:
            for batch in run.steps([X, X, X]):
                optimizer.zero_grad()
                model(batch).square().sum().backward()
                optimizer.step()
        seen[:] = [p.detach().clone() for p in model.parameters()]

    studio.record(body, MarkerOptions(rng="off"))
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))
    seen.clear()
    studio.check(body)
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))


def test_the_generators_of_other_tests_go_on_as_if_nothing_had_been_drawn(studio: Studio) -> None:
    model = Stack()
    torch.manual_seed(1)
    random.seed(1)
    expected = torch.rand(1), random.random()
    torch.manual_seed(1)
    random.seed(1)
    studio.both(stepped(model))
    assert (torch.rand(1), random.random()) == expected


@pytest.mark.parametrize("how", ["reentrant", "not reentrant", "functions"])
@pytest.mark.parametrize("shared", [False, True], ids=["a block each", "one block for all"])
def test_a_checkpoint_is_no_second_call_and_its_dropout_masks_repeat(studio: Studio, how: str, shared: bool) -> None:
    """Against the run without checkpoints: every activation and gradient is equal bit for bit."""
    one = Block() if shared else None
    plain = Stack(how="inlined" if how == "functions" else "plain", shared=one)
    checked = Stack(how=how, shared=one)
    checked.load_state_dict(plain.state_dict())
    studio.record(stepped(plain))
    comparison = studio.check(stepped(checked))
    assert comparison.counts == {"equal": comparison.expected}
    studio.record(stepped(checked))
    assert studio.check(stepped(plain)).passed
    calls = [s for s in studio.sites(Kind.ACTIVATION) if ".drop#" in s]
    assert len(calls) == len(set(calls)) == 6


def test_a_checkpoint_that_does_not_repeat_its_masks_is_seen_in_the_gradients(studio: Studio) -> None:
    """The test above can fail: draws outside of any module are repeated only if the checkpoint keeps the state."""

    class Functional(nn.Module):
        def __init__(self, *, checkpointed: bool) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.lin = nn.Linear(8, 8)
            self.checkpointed = checkpointed

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def draw(x: torch.Tensor) -> torch.Tensor:
                return torch.tanh(nn.functional.dropout(self.lin(x), 0.5))

            return checkpoint(draw, x, use_reentrant=True, preserve_rng_state=False) if self.checkpointed else draw(x)

    studio.record(stepped(Functional(checkpointed=False)))
    failure = studio.failure(stepped(Functional(checkpointed=True)))
    assert "gradient/lin.weight" in str(failure)
    assert "activation" not in str(failure).splitlines()[3]


@pytest.mark.parametrize("how", ["reentrant", "not reentrant"])
def test_activation_gradients_under_a_checkpoint(studio: Studio, how: str) -> None:
    kinds = ["weight", "activation", "activation_gradient", "gradient"]
    studio.record(stepped(Stack(), kinds))
    assert studio.check(stepped(Stack(how=how), kinds)).passed


def test_name_maps_reach_single_calls_and_their_streams(studio: Studio) -> None:
    class Split(nn.Module):
        """``Block`` with a dropout module for each place."""

        def __init__(self, block: Block) -> None:
            super().__init__()
            self.drop_in, self.drop_out = nn.Dropout(0.4), nn.Dropout(0.4)
            self.linear = block.lin

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.drop_out(torch.tanh(self.linear(self.drop_in(x))))

    block = Block()
    names = {"drop_in#0": "drop#0", "drop_out#0": "drop#1", "linear": "lin"}
    studio.record(stepped(block))
    assert studio.check(stepped(Split(block)), MarkerOptions(names=names)).counts == {"equal": 12}
    swapped = {"drop_in#0": "drop#1", "drop_out#0": "drop#0", "linear": "lin"}
    with pytest.raises(ParityFailure, match="drop"):
        studio.check(stepped(Split(block)), MarkerOptions(names=swapped))


def test_a_replayed_module_gives_its_recorded_output_and_what_it_computed_is_a_note(studio: Studio) -> None:
    class Masked(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.mask = Mask(seed)
            self.lin = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            masked, _ = self.mask(self.lin(x))
            return masked

    class Mask(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.seed = seed

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(self.seed)) > 0.5
            return x * mask, mask

    kinds = ["weight", "activation", "gradient"]
    studio.record(stepped(Masked(1), kinds))
    assert "mask" in str(studio.failure(stepped(Masked(2), kinds))).splitlines()[0]
    # its backward is its own, so the gradients differ and the activations agree
    failure = studio.failure(stepped(Masked(2), kinds), marker=MarkerOptions(replay=("mask",)))
    assert "gradient/lin.weight" in str(failure)
    assert not any(delta.site.startswith("activation") for delta in failure.comparison.failures)
    forward = studio.check(stepped(Masked(2), ["weight", "activation"]), MarkerOptions(replay=("mask",)))
    assert forward.passed
    assert any("mask" in note for note in forward.notes)


def test_python_and_numpy_are_seeded_before_and_after_the_batch_is_drawn(studio: Studio) -> None:
    class Loader:
        def __iter__(self) -> Any:
            for _ in range(2):
                yield torch.rand(4, 8) + random.random() + float(np.random.rand())

    model = nn.Linear(8, 2)

    def body(parity: Any) -> None:
        with parity.watch(model, kinds=["weight", "activation"]) as run:
            for batch in run.steps(Loader()):
                parity.assert_close("noise", torch.tensor([random.random(), float(np.random.rand())]))
                parity.assert_outputs(model(batch))

    studio.both(body)
    first = [file.read_bytes() for file in sorted((studio.path / "golden").rglob("*.safetensors"))]
    random.random()
    np.random.rand()
    studio.record(body)  # drawn again: the same bytes
    assert [file.read_bytes() for file in sorted((studio.path / "golden").rglob("*.safetensors"))] == first


def test_a_model_compiled_already_is_reset_and_calls_inside_are_unobservable(studio: Studio) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))
    studio.record(single(model, X))
    compiled = torch.compile(model, backend="eager")
    compiled(X)
    comparison = studio.check(single(compiled, X))
    assert comparison.passed
    assert comparison.counts["unobservable"] == 6  # inputs and outputs of three modules
    assert comparison.compared == comparison.expected - 6
    assert {d.site for d in comparison.deltas} == {
        f"{k}/{m}#0{'/in.0' if k == 'input' else ''}" for k in ("input", "activation") for m in "012"
    }


def test_a_fault_inside_a_compiled_region_shows_at_its_border(studio: Studio) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))
    studio.record(single(model, X))
    faulty = nn.Sequential(model[0], nn.Sigmoid(), model[2])
    failure = studio.failure(single(torch.compile(faulty, backend="eager"), X))
    assert "(model)" in str(failure).splitlines()[0]


def test_draws_of_functional_code_are_named(studio: Studio) -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(self.drop(self.lin(x)), 0.5)

    model = nn.Sequential(Functional(), nn.Linear(8, 8))
    comparison = studio.both(stepped(model))
    assert comparison.notes == ("random draws outside of any leaf module, where only the order of drawing decides: 0",)
