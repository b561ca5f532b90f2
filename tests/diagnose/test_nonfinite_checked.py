"""A candidate that has a NaN where the reference has none: the failure says where it began, and what was fed to it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from parity_studio import Studio
from torch import nn

from pytest_parity import ParityFailure
from pytest_parity.session.parity import Parity


class Scaled(nn.Module):
    """A softmax over scores, written with or without taking the maximum off."""

    def __init__(self, *, safe: bool) -> None:
        super().__init__()
        self.safe = safe

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x - x.amax(-1, keepdim=True) if self.safe else x
        return x.exp() / x.exp().sum(-1, keepdim=True)


def body(*, safe: bool, loss: Callable[[torch.Tensor], torch.Tensor] = torch.mean) -> Callable[[Parity], None]:
    def run(parity: Parity) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), Scaled(safe=safe), nn.Linear(4, 2))
        parity.load(model)
        with parity.watch(model):
            out = model(parity.input("x", lambda: 400 * torch.ones(2, 4)))
            value = loss(out)
            value.backward()
        parity.assert_outputs(out)
        parity.assert_loss(value)

    return run


def hints(failure: ParityFailure) -> tuple[str, ...]:
    comparison = failure.comparison
    assert comparison is not None
    assert comparison.diagnosis is not None
    return comparison.diagnosis.hints


def test_the_diagnosis_says_where_it_began_and_what_was_fed(studio: Studio):
    studio.record(body(safe=True))
    failure = studio.failure(body(safe=False))
    first = next(hint for hint in hints(failure) if "appears first" in hint)
    assert first.startswith("step 0: NaN appears first in the output of 1 (")
    assert "; its inputs are finite: in.0 from " in first
    assert "; the reference's is from " in first
    assert first in str(failure)


def test_it_is_said_once(studio: Studio):
    studio.record(body(safe=True))
    assert str(studio.failure(body(safe=False), collect=True)).count("appears first") == 1


def test_other_finite_values_say_nothing_of_it(studio: Studio):
    studio.record(body(safe=True))
    failure = studio.failure(body(safe=True, loss=lambda out: out.mean() * 2))
    assert "appears first" not in str(failure)


def test_a_loss_of_the_tests_own(studio: Studio):
    studio.record(body(safe=True))
    failure = studio.failure(body(safe=True, loss=lambda out: (out - 9).log().mean()))
    assert any(hint.startswith("step 0: NaN appears first in the loss (1 of 1 element)") for hint in hints(failure))


def test_what_neither_has_finite_is_a_note_with_its_beginning(studio: Studio):
    def both(parity: Parity) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), Scaled(safe=False), nn.Linear(4, 2))
        with parity.watch(model):
            out = model(parity.input("x", lambda: torch.tensor([[400.0] * 4, [0.0] * 4])))
        parity.assert_outputs(out)

    studio.record(both)
    comparison = studio.check(both)
    assert comparison.passed
    (line,) = [note for note in comparison.notes if "appears first" in note]
    assert line.startswith("in the reference, step 0: NaN appears first in the output of 1 (")


def test_a_finite_check_has_no_such_note(studio: Studio):
    studio.record(body(safe=True))
    assert not any("appears first" in note for note in studio.check(body(safe=True)).notes)


def test_names_are_the_candidates_own(studio: Studio):
    studio.record(body(safe=True))

    def renamed(parity: Parity) -> None:
        torch.manual_seed(0)
        model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": Scaled(safe=False), "c": nn.Linear(4, 2)})
        names = {"a": "0", "b": "1", "c": "2"}
        parity.load(model, names=names)
        with parity.watch(model, names=names):
            out = model["c"](model["b"](model["a"](parity.input("x", lambda: None))))
            out.mean().backward()
        parity.assert_outputs(out)

    failure = studio.failure(renamed, collect=True)
    assert "NaN appears first in the output of b (" in str(failure)
