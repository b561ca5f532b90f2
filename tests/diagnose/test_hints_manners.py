"""Looking for hints raises nothing, leaves nothing changed, and says nothing of what it cannot test."""

from __future__ import annotations

import copy
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hint_faults import STRANGE, Code, attention, filled
from specimens import bare, specimen
from torch import nn

from pytest_parity.diagnose.hints import forward, forward_hints
from pytest_parity.diagnose.hints.numbers import written
from pytest_parity.diagnose.specimen import Specimen
from pytest_parity.result import Cause, Hint, Part

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 10, 32, generator=DRAW)


def held(module: nn.Module) -> list:
    return [
        (
            id(one),
            {name: id(value) for name, value in vars(one).items()},
            [(name, id(value)) for name, value in own.items()],
        )
        for one in module.modules()
        for own in (one._parameters, one._buffers)
    ]


@pytest.mark.parametrize(
    "module",
    [filled(nn.Linear(32, 32)), filled(nn.BatchNorm1d(10)), attention(), nn.Dropout(0.2), filled(nn.Conv1d(10, 8, 3))],
    ids=lambda module: type(module).__name__,
)
def test_a_module_and_the_generators_are_as_they_were(module: nn.Module):
    one = specimen(module, STRANGE["bent"](module), X)
    before, values = held(one.module), copy.deepcopy(one.module.state_dict())
    versions = [value._version for value in one.module.state_dict(keep_vars=True).values()]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    forward_hints(one)
    assert held(one.module) == before
    assert all(torch.equal(values[name], value) for name, value in one.module.state_dict().items())
    assert [value._version for value in one.module.state_dict(keep_vars=True).values()] == versions
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_a_module_that_raises_has_no_hint():
    def fails() -> torch.Tensor:
        raise RuntimeError("out of reach")

    one = specimen(nn.GELU(), Code(lambda _own, x: torch.sinh(x)), X)
    assert forward_hints(replace(one, again=fails)) == ()


def test_a_hypothesis_that_raises_is_none_and_the_next_is_tested(monkeypatch):
    def broken(_trial):
        raise ValueError("broken")

    monkeypatch.setattr(forward, "HYPOTHESES", (broken, lambda _trial: iter([Hint(Cause.SIGN, "tested")])))
    assert forward_hints(bare(-X, X)) == (Hint(Cause.SIGN, "tested"),)


@pytest.mark.parametrize("part", list(Part))
def test_what_is_of_another_shape_or_no_number_has_no_hint(part: Part):
    nan = torch.full((4, 10, 32), float("nan"))
    for actual in (nan, X[:3], torch.zeros(0), X.sum(), X.bool(), X.long(), torch.complex(X, X)):
        assert forward_hints(Specimen(part, None, "block", actual, X, 1e-5)) == ()


def test_an_error_of_three_floors_has_no_hint():
    assert forward_hints(bare(-X, X, float(X.norm()))) == ()


def test_the_module_is_given_back_where_a_change_raises():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.eps, self.calls = 1e-5, 0
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            self.seen += 1
            if self.eps != 1e-5:
                raise ValueError("eps")
            return torch.sinh(x)

    module = Counting()
    one = specimen(nn.Tanh(), module, X)
    calls, seen = module.calls, module.seen.clone()
    forward_hints(one)
    assert (module.eps, module.calls) == (1e-5, calls)
    assert torch.equal(module.seen, seen)


@pytest.mark.parametrize(
    ("value", "open_by", "words"),
    [
        (2.0000001, 1e-6, "2"),
        (0.1250000001, 1e-6, "0.125 (1/8)"),
        (0.0625 + 1e-9, 1e-7, "0.0625 (1/16)"),
        (1.05, 1e-6, "1.05"),
        (-1.5, 1e-6, "-1.5"),
        (8**0.5, 1e-6, "2.83 (the square root of 8)"),
        (512**-0.5, 1e-7, "0.0442 (1 by the square root of 512)"),
        (10 / 9, 1e-7, "1.11 (10/9)"),
        (1.0483921, 1e-7, None),
        (1.05, 1e-2, None),
        (0.0, 1e-6, None),
    ],
)
def test_a_number_is_written_as_someone_would(value: float, open_by: float, words: str | None):
    found = written(value, open_by)
    assert (found.words if found else None) == words
