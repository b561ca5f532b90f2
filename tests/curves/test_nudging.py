"""While a curve is drawn, weights that train are moved by one unit in the last place behind each step, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pytest_parity.session.nudging import Nudging, nudge


class Trained:
    """A model whose optimizer moves nothing: its learning rate is 0."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.model = torch.nn.Linear(8, 8, dtype=dtype)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.0)
        self.before = self.model.weight.detach().clone()

    def step(self) -> torch.Tensor:
        self.model.weight.grad = torch.ones_like(self.model.weight)
        self.optimizer.step()
        return self.model.weight.detach() - self.before


@pytest.fixture
def paused() -> list[bool]:
    return [False]


@pytest.fixture
def nudging(paused: list[bool]) -> Iterator[Nudging]:
    one = Nudging(3, lambda: paused[0])
    yield one
    one.end()


def test_each_element_is_moved_by_one_unit_either_way(nudging: Nudging) -> None:
    trained = Trained()
    nudging.follow(trained.model)
    trained.step()
    word = torch.int32
    units = trained.model.weight.detach().view(word) - trained.before.view(word)
    assert set(units.flatten().tolist()) == {-1, 1}


def test_the_same_seed_moves_the_same(nudging: Nudging) -> None:
    found = []
    for seed in (5, 5, 6):
        torch.manual_seed(0)
        trained, one = Trained(), Nudging(seed, lambda: False)
        one.follow(trained.model)
        found.append(trained.step())
        one.end()
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_another_model_is_left_alone(nudging: Nudging) -> None:
    trained = Trained()
    nudging.follow(Trained().model)
    assert not trained.step().any()


def test_nothing_is_moved_while_a_watch_measures_or_after_the_end(nudging: Nudging, paused: list[bool]) -> None:
    trained = Trained()
    nudging.follow(trained.model)
    paused[0] = True
    assert not trained.step().any()
    paused[0] = False
    assert trained.step().any()
    trained.before = trained.model.weight.detach().clone()
    nudging.end()
    assert not trained.step().any()


def test_in_a_narrow_dtype_no_step_is_moved(nudging: Nudging) -> None:
    trained = Trained(torch.bfloat16)
    nudging.follow(trained.model)
    assert not trained.step().any()


def test_zeros_and_what_is_not_finite_stay() -> None:
    values = torch.tensor([0.0, torch.inf, -torch.inf, torch.nan, 1.0])
    nudge(values, torch.Generator().manual_seed(0))
    assert values[:3].tolist() == [0.0, torch.inf, -torch.inf]
    assert values[3].isnan()
    assert values[4] != 1.0
