"""Ways to train: a correct rewrite passes by the noise floor, a fault does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from noise_models import WIDTH, EagerNorm, ManualNorm, scaled, tower
from parity_studio import Studio
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pytest_parity.session.parity import Parity

Body = Callable[[Parity], None]
Optimizers = Callable[[nn.Module], tuple[torch.optim.Optimizer, ...]]


class Net(nn.Module):
    """Two layers about a norm, written in two ways."""

    def __init__(self, *, rewritten: bool = False, recompute: bool = False) -> None:
        super().__init__()
        self.recompute = recompute
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)
        self.norm = (ManualNorm if rewritten else EagerNorm)(16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.recompute:
            return self.second(checkpoint(self._hidden, x, use_reentrant=False))
        return self.second(self._hidden(x))

    def _hidden(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(self.norm(self.first(x)))


def net(*, rewritten: bool = False, recompute: bool = False) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Net(rewritten=rewritten, recompute=recompute)


def rewritten() -> nn.Module:
    return net(rewritten=True)


def faulty(factor: float = 1.0001) -> nn.Module:
    return scaled(net(rewritten=True), "norm", factor)


def batches(count: int = 2) -> Iterator[torch.Tensor]:
    return (torch.randn(5, 8) for _ in range(count))


def adamw(model: nn.Module) -> tuple[torch.optim.Optimizer, ...]:
    return (torch.optim.AdamW(model.parameters(), lr=1e-3),)


def loop(make: Callable[[], nn.Module], optimizers: Optimizers = adamw, *, count: int = 2, pieces: int = 1) -> Body:
    """Steps of training; a step's gradients are those of so many pieces of its batch, added."""

    def body(parity: Parity) -> None:
        model = parity.load(make())
        held = optimizers(model)
        with parity.watch(model, optimizer=held) as run:
            for x in run.steps(batches(count), limit=count):
                for one in held:
                    one.zero_grad()
                for piece in x.chunk(pieces):
                    (model(piece).square().sum() / 20).backward()
                for one in held:
                    one.step()

    return body


OPTIMIZERS: dict[str, Optimizers] = {
    "sgd with momentum": lambda m: (torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True),),
    "amsgrad": lambda m: (torch.optim.AdamW(m.parameters(), lr=1e-3, amsgrad=True),),
    "single tensor": lambda m: (torch.optim.AdamW(m.parameters(), lr=1e-3, foreach=False),),
    "rmsprop": lambda m: (torch.optim.RMSprop(m.parameters(), lr=1e-3, centered=True),),
    "two": lambda m: (
        torch.optim.SGD(m.first.parameters(), lr=0.1),  # type: ignore[union-attr,operator]
        torch.optim.AdamW([*m.norm.parameters(), *m.second.parameters()], lr=1e-3),  # type: ignore[union-attr,operator]
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rewrite_passes_with_every_optimizer(studio: Studio, name: str):
    studio.record(loop(net, OPTIMIZERS[name]), draws=3)
    assert studio.check(loop(rewritten, OPTIMIZERS[name])).passed


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_fault_is_named_with_every_optimizer(studio: Studio, name: str):
    studio.record(loop(net, OPTIMIZERS[name]), draws=3)
    assert "norm is the first module whose output differs" in str(studio.failure(loop(faulty, OPTIMIZERS[name])))


@pytest.mark.parametrize(
    ("recorded", "checked"),
    [
        ({"lr": 1e-3}, {"lr": 1.001e-3}),
        ({"lr": 1e-3, "eps": 1e-8}, {"lr": 1e-3, "eps": 1e-5}),
        ({"lr": 1e-3, "betas": (0.9, 0.999)}, {"lr": 1e-3, "betas": (0.9, 0.99)}),
        ({"lr": 1e-3, "weight_decay": 0.01}, {"lr": 1e-3, "weight_decay": 0.0}),
        ({"lr": 1e-3, "amsgrad": True}, {"lr": 1e-3, "amsgrad": False}),
    ],
)
def test_an_optimizer_that_is_set_otherwise_fails(studio: Studio, recorded: dict[str, Any], checked: dict[str, Any]):
    def with_options(options: dict[str, Any]) -> Optimizers:
        return lambda m: (torch.optim.AdamW(m.parameters(), **options),)

    studio.record(loop(net, with_options(recorded), count=3), draws=3)
    failure = studio.failure(loop(rewritten, with_options(checked), count=3))
    assert failure.comparison is not None
    assert {d.site.partition("/")[0] for d in failure.comparison.failures} <= {"updated_weight", "optimizer"}


def test_accumulated_gradients_of_a_rewrite_pass(studio: Studio):
    studio.record(loop(net, pieces=2), draws=3)
    assert studio.check(loop(rewritten, pieces=2)).passed


def test_accumulating_in_other_pieces_is_a_difference_of_calls_alone(studio: Studio):
    def body(make: Callable[[], nn.Module], pieces: int) -> Body:
        def watched(parity: Parity) -> None:
            model = parity.load(make())
            with parity.watch(model, kinds=["weight", "gradient"]):
                x = parity.input("x", lambda: torch.randn(8, 8))
                for piece in x.chunk(pieces):
                    (model(piece).square().sum() / 32).backward()

        return watched

    studio.record(body(net, 1), draws=3)
    assert studio.check(body(rewritten, 4)).passed
    assert "gradient" in str(studio.failure(body(faulty, 4)))


def test_a_loss_that_is_not_divided_fails(studio: Studio):
    def body(divisor: float) -> Body:
        def summed(parity: Parity) -> None:
            model = parity.load(net())
            with parity.watch(model):
                (model(parity.input("x", lambda: torch.randn(8, 8))).square().sum() / divisor).backward()

        return summed

    studio.record(body(32), draws=3)
    failure = studio.failure(body(16))
    assert failure.comparison is not None
    assert {d.site.partition("/")[0] for d in failure.comparison.failures} == {"gradient"}


def lbfgs(make: Callable[[], nn.Module]) -> Body:
    def body(parity: Parity) -> None:
        model = parity.load(make())
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps(batches(), limit=2):

                def closure(x: torch.Tensor = x) -> torch.Tensor:
                    optimizer.zero_grad()
                    loss = model(x).square().mean()
                    loss.backward()
                    return loss

                optimizer.step(closure)

    return body


def test_lbfgs_passes_rewritten(studio: Studio):
    studio.record(lbfgs(net), draws=3)
    assert studio.golden().noise is not None
    assert studio.check(lbfgs(rewritten)).passed


def test_lbfgs_with_a_fault_fails(studio: Studio):
    studio.record(lbfgs(net), draws=3)
    assert "norm is the first module" in str(studio.failure(lbfgs(faulty)))


def test_a_schedule_of_a_rate_that_is_a_tensor_is_put_back_between_the_runs(studio: Studio):
    def body(parity: Parity) -> None:
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps(batches(), limit=2):
                optimizer.zero_grad()
                model(x).square().mean().backward()
                optimizer.step()
                schedule.step()

    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-2), foreach=False)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    assert studio.record(body, draws=3).noise is not None


class Normed(nn.Module):
    """A BatchNorm, by torch or by its formula."""

    def __init__(self, *, manual: bool = False, momentum: float = 0.1, biased: bool = False) -> None:
        super().__init__()
        self.manual, self.biased = manual, biased
        self.linear, self.norm = nn.Linear(8, 16), nn.BatchNorm1d(16, momentum=momentum)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, norm = self.linear(x), self.norm
        if not self.manual:
            return norm(x)
        mean, variance = x.mean(0), x.var(0, unbiased=False)
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            norm.running_mean.lerp_(mean, 0.1)
            norm.running_var.lerp_(variance if self.biased else x.var(0), 0.1)
        return (x - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


def norms(**options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return Normed(**options)

    return make


def without_calls(make: Callable[[], nn.Module]) -> Body:
    def body(parity: Parity) -> None:
        model = parity.load(make())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with parity.watch(
            model, optimizer=optimizer, kinds=["weight", "gradient", "optimizer", "updated_weight"]
        ) as run:
            for x in run.steps(batches(), limit=2):
                optimizer.zero_grad()
                model(x).square().mul(torch.linspace(0, 1, 16)).mean().backward()
                optimizer.step()

    return body


def test_running_statistics_of_a_rewrite_pass(studio: Studio):
    studio.record(without_calls(norms()), draws=3)
    assert studio.check(without_calls(norms(manual=True))).passed


@pytest.mark.parametrize(
    ("options", "buffer"),
    [({"momentum": 0.1001}, "running_mean"), ({"manual": True, "biased": True}, "running_var")],
)
def test_running_statistics_that_are_others_fail(studio: Studio, options: dict[str, Any], buffer: str):
    studio.record(without_calls(norms()), draws=3)
    assert f"norm updates its buffer {buffer} differently" in str(studio.failure(without_calls(norms(**options))))


class Tied(nn.Module):
    """An embedding whose weight is the head's."""

    def __init__(self, *, rewritten: bool) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(12, 8), nn.Linear(8, 12, bias=False)
        self.norm = (ManualNorm if rewritten else EagerNorm)(8)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.embedding(ids)))


def tied(*, rewritten: bool, factor: float = 1.0) -> Body:
    def body(parity: Parity) -> None:
        torch.manual_seed(1)
        model = Tied(rewritten=rewritten)
        scaled(parity.load(model), "norm", factor)
        optimizer = torch.optim.AdamW(model.parameters())
        with parity.watch(model, optimizer=optimizer) as run:
            for ids in run.steps((torch.randint(0, 12, (3, 4)) for _ in range(2)), limit=2):
                optimizer.zero_grad()
                functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
                optimizer.step()

    return body


def test_tied_weights_pass_rewritten(studio: Studio):
    studio.record(tied(rewritten=False), draws=3)
    assert studio.check(tied(rewritten=True)).passed


def test_tied_weights_fail_with_a_fault(studio: Studio):
    studio.record(tied(rewritten=False), draws=3)
    assert "norm is the first module" in str(studio.failure(tied(rewritten=True, factor=1.0001)))


def frozen(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        model = make()
        model.get_submodule("first").requires_grad_(requires_grad=False)
        return model

    return made


def trainable(model: nn.Module) -> tuple[torch.optim.Optimizer, ...]:
    return (torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3),)


def test_frozen_weights_are_not_moved_in_draws(studio: Studio):
    golden = studio.record(loop(frozen(net), trainable), draws=3)
    assert golden.noise is not None
    places = {str(entry.site): entry.order for entry in golden.entries(0)}
    still = golden.noise.of(0, places["weight/first.weight"])
    moves = golden.noise.of(0, places["weight/second.weight"])
    assert still is not None
    assert moves is not None
    eps = torch.finfo(torch.float32).eps
    assert still.norm == pytest.approx(eps * still.reference)
    assert still.reference > 0


def test_frozen_weights_pass_rewritten(studio: Studio):
    studio.record(loop(frozen(net), trainable), draws=3)
    assert studio.check(loop(frozen(rewritten), trainable)).passed


def test_frozen_weights_fail_with_a_fault(studio: Studio):
    studio.record(loop(frozen(net), trainable), draws=3)
    assert "norm is the first module" in str(studio.failure(loop(frozen(faulty), trainable)))


def test_checkpointed_passes_against_plain(studio: Studio):
    studio.record(loop(net), draws=3)
    assert studio.check(loop(lambda: net(rewritten=True, recompute=True))).passed


def test_recorded_checkpointed_it_has_floors(studio: Studio):
    golden = studio.record(loop(lambda: net(recompute=True)), draws=3)
    assert golden.noise is not None
    assert studio.check(loop(rewritten)).passed
    assert "norm is the first module" in str(studio.failure(loop(faulty)))


class Ids(nn.Module):
    """A frozen stack behind an embedding of ids: no input and no parameter of it is moved."""

    def __init__(self, *, rewritten: bool, scale: float = 1.0) -> None:
        super().__init__()
        self.embedding, self.tower, self.scale = nn.Embedding(50, WIDTH), tower(rewritten=rewritten, depth=8), scale

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.tower(self.embedding(ids) * self.scale)


@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1.0001), (torch.bfloat16, 1.05)])
def test_behind_ids_and_frozen_weights_what_modules_return_is_moved(studio: Studio, dtype: torch.dtype, scale: float):
    def body(**options: Any) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            torch.manual_seed(3)
            model = parity.load(Ids(**options).to(dtype).requires_grad_(requires_grad=False))
            with parity.watch(model):
                model(parity.input("ids", lambda: torch.randint(0, 50, (4, 6))))

        return test

    studio.record(body(rewritten=False), draws=3)
    comparison = studio.check(body(rewritten=True))
    assert comparison.closest is not None
    assert comparison.closest.noise is not None
    assert comparison.closest.noise.ratio < 2
    assert "tower.blocks.0" in str(studio.failure(body(rewritten=True, scale=scale)))
