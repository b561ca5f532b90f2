"""Steps that run free: each begins where the one before has left the candidate, and so do the floors."""

from __future__ import annotations

import pytest
import torch
from noise_models import scaled, tower, training
from parity_studio import Studio

from pytest_parity.errors import UsageError
from pytest_parity.session.parity import Parity

STEPS = 5


def small(*, rewritten: bool = False) -> torch.nn.Module:
    return tower(rewritten=rewritten, depth=1)


class Wave(torch.nn.Module):
    """Twenty waves a unit: descending on it, two runs part by a factor of some twenty a step."""

    def __init__(self) -> None:
        super().__init__()
        self.place = torch.nn.Parameter(torch.linspace(0.1, 0.9, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cos(20 * self.place) * x


def floors_of_the_output(studio: Studio, *, free: bool) -> list[float]:
    def body(parity: Parity) -> None:
        model = parity.load(Wave())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps((torch.ones(64) for _ in range(3)), limit=3, free=free):
                optimizer.zero_grad()
                model(x).sum().backward()
                optimizer.step()

    golden = studio.record(body, draws=3)
    assert golden.noise is not None
    floors = []
    for step in golden.steps:
        place = next(one.order for one in golden.entries(step) if str(one.site) == "activation/(model)#0")
        floor = golden.noise.of(step, place)
        assert floor is not None
        floors.append(floor.norm)
    return floors


def test_the_floors_grow_with_the_steps(studio: Studio):
    first, second, third = floors_of_the_output(studio, free=True)
    assert second > 5 * first
    assert third > 5 * second


def test_where_each_step_starts_anew_they_do_not(studio: Studio):
    floors = floors_of_the_output(studio, free=False)
    assert max(floors) < 3 * min(floors)


def test_a_rewrite_passes_every_step(studio: Studio):
    studio.record(training(small, steps=STEPS, free=True), draws=3)
    comparison = studio.check(training(lambda: small(rewritten=True), steps=STEPS, free=True))
    assert comparison.passed
    assert comparison.steps == tuple(range(STEPS))


def test_a_fault_fails(studio: Studio):
    studio.record(training(small, steps=STEPS, free=True), draws=3)
    failure = studio.failure(
        training(lambda: scaled(small(rewritten=True), "blocks.0.up", 1.0001), steps=STEPS, free=True)
    )
    assert "blocks.0.up is the first module whose output differs" in str(failure)


def test_a_check_runs_free_from_its_own_weights(studio: Studio):
    seen: list[torch.Tensor] = []

    def body(parity: Parity) -> None:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3)
        parity.load(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps((torch.randn(2, 4) for _ in range(2)), limit=2, free=True):
                seen.append(model.weight.detach().clone())
                optimizer.zero_grad()
                model(x).square().sum().backward()
                optimizer.step()
                left = model.weight.detach().clone()
                with torch.no_grad():
                    model.bias += drift[0]
                seen.append(left)

    drift = [0.0]
    studio.record(body, draws=2)
    seen.clear()
    drift[0] = 1e-3
    failure = studio.failure(body)
    assert torch.equal(seen[1], seen[2])
    assert "bias" in str(failure)


@pytest.mark.parametrize("free", [True, False])
def test_a_golden_of_the_other_kind_is_refused(studio: Studio, free: bool):
    studio.record(training(small, free=free), draws=2)
    with pytest.raises(UsageError) as caught:
        studio.check(training(small, free=not free))
    assert str(caught.value) == (
        f"steps(free={not free}) of case: the golden's noise floor is that of free={free}. "
        "Record it again with the test as it is now: pytest --parity-record"
    )


def test_keep_besides_free_is_an_error(studio: Studio):
    def body(parity: Parity) -> None:
        with parity.watch(torch.nn.Linear(2, 2)) as run:
            list(run.steps([torch.ones(1, 2)], free=True, keep=2))

    with pytest.raises(UsageError) as caught:
        studio.record(body)
    assert (
        str(caught.value) == "steps(free=True, keep=2): a run that is free needs every step before one; leave keep= out"
    )
