"""``with check(...)`` where there is nothing to compare, or nothing to compare with: never green."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from own_loop import checked, made, train

from pytest_parity import GoldenError, GoldenNotFound, LoadError, ParityFailure, UsageError, check, record
from pytest_parity.session.loop import Loop


@pytest.mark.usefixtures("golden")
@pytest.mark.parametrize("body", ["nothing", "no batch taken"])
def test_a_body_that_takes_no_step_is_an_error_whatever_raises_says(body: str) -> None:
    model, optimizer = made()

    def run_it() -> None:
        with check("golden", "case", model, optimizer, raises=False) as run:
            if body != "nothing":
                run.steps([])

    with pytest.raises(UsageError, match="its body never took a step, so nothing of the Sequential was seen"):
        run_it()


@pytest.mark.usefixtures("golden")
def test_steps_that_were_not_run_fail() -> None:
    model, optimizer = made()

    def run_one() -> None:
        with check("golden", "case", model, optimizer) as run:
            train(run, model, optimizer, limit=1)

    with pytest.raises(ParityFailure, match="step 1 of the golden was never run; run every step that was recorded"):
        run_one()


@pytest.mark.usefixtures("golden")
def test_a_value_that_the_loop_never_names_is_missing() -> None:
    model, optimizer = made()

    def run_it() -> None:
        with check("golden", "case", model, optimizer) as run:
            for batch in run.steps([]):
                optimizer.zero_grad()
                model(batch).square().mean().backward()
                optimizer.step()

    with pytest.raises(ParityFailure, match="is missing: the reference has it, and the test gives none"):
        run_it()


@pytest.mark.usefixtures("golden")
def test_an_exception_in_the_body_comes_through_and_what_was_compared_is_known() -> None:
    model, optimizer = made()
    caught: list[Loop] = []

    def run_it() -> None:
        with check("golden", "case", model, optimizer, raises=False) as run:
            caught.append(run)
            for batch in run.steps([]):
                model(batch)
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_it()
    found = caught[0].comparison()
    assert found is not None
    assert found.compared > 0
    assert not found.passed
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.usefixtures("golden")
def test_a_failure_raised_inside_the_body_is_never_swallowed() -> None:
    model, optimizer = made()

    def run_it() -> None:
        with check("golden", "case", model, optimizer, raises=False):
            raise ParityFailure("one's own")

    with pytest.raises(ParityFailure, match="one's own"):
        run_it()


@pytest.mark.usefixtures("golden")
@pytest.mark.parametrize("weights", [False, True])
def test_a_structure_that_does_not_fit_is_raised_before_the_body(weights: bool) -> None:
    model, optimizer = made(width=7)
    ran = []

    def run_it() -> None:
        with check("golden", "case", model, optimizer, weights=weights, raises=False):
            ran.append(True)

    with pytest.raises(LoadError if weights else ParityFailure, match=r"0\.weight.*shape"):
        run_it()
    assert not ran


def test_a_case_that_is_not_there_says_how_to_record_it() -> None:
    model, optimizer = made()

    def run_it(case: str) -> None:
        with check("golden", case, model, optimizer):
            pass

    with pytest.raises(GoldenNotFound) as caught:
        run_it("case")
    assert str(caught.value) == (
        "there is no case 'case' in golden, nor any other; record it with "
        "with record('golden', 'case', model, optimizer) as run: ... around the reference's loop"
    )


@pytest.mark.usefixtures("golden")
@pytest.mark.parametrize("kind", ["activation_gradient", "input", "loop"])
def test_what_to_record_again_is_said_in_terms_of_the_loop(kind: str) -> None:
    model, _ = made()
    if kind == "loop":
        with record("golden", "case", model):
            model(torch.ones(2, 4))

    def run_it() -> None:
        kinds = ["activation_gradient"] if kind == "activation_gradient" else None
        with check("golden", "case", model, kinds=kinds) as run:
            if kind == "loop":
                next(iter(run.steps([])))
            run.input("x", lambda: torch.ones(1))

    with pytest.raises((UsageError, GoldenError)) as caught:
        run_it()
    assert str(caught.value).endswith(
        ": with record('golden', 'case', model, optimizer) as run: ... around the reference's loop"
    )


@pytest.mark.usefixtures("golden")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": 1e-5}, "check: rtol=1e-05 without atol"),
        ({"rtol": 1e-5, "atol": 1e-5, "factor": 3}, "check: factor=3 besides rtol or atol"),
        ({"ignore": "loss/*"}, "check: ignore='loss/*'; it is a list of sites"),
        ({"coverage": 2}, "check: coverage=2; it is the share"),
        ({"replay": "mask"}, "check(replay='mask'): it is one string"),
        ({"tolerances": {"los": (1, 1)}}, "did you mean 'loss'?"),
        ({"names": {"nowhere": "0"}}, "nowhere"),
    ],
)
def test_arguments_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        checked(**options)
