"""Isolation: with each module alone, fed the golden's values, every faulty one is named, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from isolation_story import (
    EVERYTHING,
    Break,
    alone,
    backward_scaled,
    body,
    faulty,
    isolated,
    named,
    scaled,
    setting,
)
from parity_studio import Studio

from pytest_parity.report import failure_text
from pytest_parity.result import Fault, Part
from pytest_parity.session.parity import Parity


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    studio = Studio(tmp_path_factory.mktemp("isolation"))
    studio.record(body(), draws=3)
    return studio


@pytest.fixture(scope="module")
def with_gradients(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Gradients of activations too."""
    studio = Studio(tmp_path_factory.mktemp("isolation_gradients"))
    studio.record(body(kinds=EVERYTHING), draws=3)
    return studio


def test_a_module_that_returns_another_value_is_the_only_one_named(recorded: Studio) -> None:
    found = isolated(recorded, scaled("blocks.1.down", 1.0001))
    assert faulty(found) == [(Part.OUTPUT, "blocks.1.down")]
    assert named(found) == "blocks.1.down"


def test_a_parents_own_code_is_named_with_the_two_children_around_it(recorded: Studio) -> None:
    found = isolated(recorded, setting("blocks.1.attention", "scale", 0.3))
    assert found.isolation is not None
    (one,) = found.isolation.faulty
    assert (one.part, one.module, one.after, one.to) == (
        Part.HANDED,
        "blocks.1.attention",
        "blocks.1.attention.value",
        "blocks.1.attention.out",
    )


def test_code_behind_the_last_child_is_the_parents(recorded: Studio) -> None:
    found = isolated(recorded, setting("blocks.1", "residual", 1.001))
    assert faulty(found) == [(Part.OUTPUT, "blocks.1")]
    assert found.isolation is not None
    assert found.isolation.faulty[0].after == "blocks.1.drop"


def test_two_faults_are_both_named_in_one_run(recorded: Studio) -> None:
    found = isolated(recorded, scaled("blocks.0.down", 1.01), setting("blocks.2.act", "approximate", "tanh"))
    assert faulty(found) == [(Part.OUTPUT, "blocks.0.down"), (Part.OUTPUT, "blocks.2.act")]
    text = failure_text(found)
    assert "case step 0: blocks.0.down is the first module whose output differs" in text.split("\n")[0]
    assert "faulty by itself too:\n    blocks.2.act returns another value: " in text


def test_a_correct_candidate_has_nothing_faulty(recorded: Studio) -> None:
    found = isolated(recorded)
    assert found.passed
    assert faulty(found) == []
    assert found.isolation is not None
    assert found.isolation.calls > 50


def test_a_module_that_agrees_as_it_is_run_is_not_blamed_for_what_it_does_alone(recorded: Studio) -> None:
    """A weight that only what the reference feeds would show: not so, it is another there too."""
    seen: list[torch.Tensor] = []

    def once(model: torch.nn.Module) -> None:
        """Another value at each further run: the check itself has none of it."""

        def hook(_module: object, _args: object, output: torch.Tensor) -> torch.Tensor:
            seen.append(output)
            return output * 1.5 if len(seen) > 2 else output

        model.get_submodule("blocks.0.up").register_forward_hook(hook)

    found = isolated(recorded, once, scaled("blocks.2.down", 1.1))
    assert faulty(found) == [(Part.OUTPUT, "blocks.2.down")]


def test_a_fault_below_the_accumulated_floor_fails_alone(tmp_path: Path) -> None:
    """Behind many noisy operations, in one step without gradients, what one adds is within what all of them do."""

    def chain(factor: float) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            torch.manual_seed(0)
            layers = [torch.nn.Linear(64, 64) for _ in range(12)]
            model = parity.load(torch.nn.Sequential(*layers, torch.nn.Softmax(-1), torch.nn.Linear(64, 4)))
            model[11].register_forward_hook(lambda _, _args, output: output * factor)
            x = parity.input("x", lambda: torch.randn(8, 64))
            with parity.watch(model):
                model(x)

        return test

    studio = Studio(tmp_path)
    studio.record(chain(1.0), draws=3)
    found = alone(studio, chain(1 + 2e-6), factor=100.0)
    assert found.counts.keys() <= {"equal", "close"}  # the check itself passes
    assert faulty(found) == [(Part.OUTPUT, "11")]
    assert not found.passed
    assert named(found) == "11"
    assert alone(studio, chain(1.0), factor=100.0).passed


@pytest.mark.parametrize("path", ["blocks.1.up", "blocks.1.act", "blocks.1.attention.query", "blocks.1.second"])
@pytest.mark.parametrize("factor", [0.5, 1.001])
def test_a_backward_pass_is_named_where_gradients_of_activations_were_recorded(
    with_gradients: Studio, path: str, factor: float
) -> None:
    found = isolated(with_gradients, backward_scaled(path, factor), kinds=EVERYTHING)
    assert faulty(found) == [(Part.GRADIENT, path)]
    assert named(found) == path


@pytest.mark.parametrize("path", ["blocks.1.up", "blocks.1.act", "blocks.1.drop", "blocks.1"])
def test_a_backward_pass_is_named_without_them_by_its_own_derivative(recorded: Studio, path: str) -> None:
    found = isolated(recorded, backward_scaled(path, 0.5))
    assert faulty(found) == [(Part.GRADIENT, path)]


def test_two_backward_faults_are_both_named(with_gradients: Studio) -> None:
    breaks: tuple[Break, ...] = (backward_scaled("blocks.2.act", 1.1), backward_scaled("blocks.0.act", 0.9))
    found = isolated(with_gradients, *breaks, kinds=EVERYTHING)
    assert sorted(faulty(found)) == [(Part.GRADIENT, "blocks.0.act"), (Part.GRADIENT, "blocks.2.act")]


def test_a_forward_fault_is_not_told_a_second_time_by_its_gradient(with_gradients: Studio) -> None:
    found = isolated(with_gradients, setting("blocks.1", "residual", 1.01), kinds=EVERYTHING)
    assert faulty(found) == [(Part.OUTPUT, "blocks.1")]


def test_each_call_has_what_came_in_what_it_added_and_what_went_out(recorded: Studio) -> None:
    found = isolated(recorded, scaled("blocks.1.down", 1.01))
    assert found.isolation is not None
    errors = {one.module: one for one in found.isolation.errors}
    guilty, behind, before = errors["blocks.1.down"], errors["blocks.2.up"], errors["blocks.0.down"]
    assert guilty.inherited == 0.0
    assert guilty.introduced is not None
    assert guilty.introduced > 1000
    assert guilty.outgoing is not None
    assert guilty.outgoing > 1000
    assert behind.inherited is not None
    assert behind.inherited > 100
    assert (behind.introduced, before.outgoing) == (0.0, 0.0)


def test_without_recorded_inputs_it_says_why_nothing_is_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    studio = Studio(tmp_path_factory.mktemp("without_inputs"))
    kinds = [kind for kind in EVERYTHING if kind != "input"]
    studio.record(body(kinds=kinds), draws=3)
    found = isolated(studio, scaled("blocks.1.down", 1.01), kinds=kinds)
    assert found.isolation is not None
    assert found.isolation.refused == "inputs and activations were not recorded"
    assert found.diagnosis is not None
    assert found.diagnosis.fault is Fault.MODULE


def test_the_models_weights_and_gradients_are_left_as_the_check_had_them(recorded: Studio) -> None:
    kept: list[torch.nn.Module] = []
    isolated(recorded, scaled("blocks.1.down", 1.01), kept.append)
    assert all(one.dtype is torch.float32 for one in kept[0].parameters())


def test_a_module_that_cuts_the_gradient_off_is_named(recorded: Studio, with_gradients: Studio) -> None:
    def cut(model: torch.nn.Module) -> None:
        model.get_submodule("blocks.1.up").register_forward_hook(lambda _, _args, output: output.detach())

    for studio, kinds in ((recorded, None), (with_gradients, EVERYTHING)):
        found = isolated(studio, cut, kinds=kinds)
        assert faulty(found) == [(Part.GRADIENT, "blocks.1.up")]
        assert found.diagnosis is not None
        assert found.diagnosis.fault is Fault.CUT
        assert "blocks.1.up cuts the gradient off, while the forward pass agrees" in failure_text(found)


def test_code_that_cuts_the_gradient_off_is_named_with_the_children_around_it(
    recorded: Studio, with_gradients: Studio
) -> None:
    def cut(model: torch.nn.Module) -> None:
        model.get_submodule("blocks.1.act").register_forward_pre_hook(lambda _, args: (args[0].detach(),))

    for studio, kinds in ((recorded, None), (with_gradients, EVERYTHING)):
        found = isolated(studio, cut, kinds=kinds)
        assert faulty(found) == [(Part.GRADIENT, "blocks.1")]
        first = "blocks.1 cuts the gradient off between blocks.1.up and blocks.1.act, while the forward pass agrees"
        assert first in failure_text(found).split("\n")[0]


def test_gradients_that_the_loop_scales_are_the_loops(recorded: Studio, with_gradients: Studio) -> None:
    def scale(model: torch.nn.Module) -> None:
        for one in model.parameters():
            one.register_hook(lambda gradient: gradient * 0.25)

    for studio, kinds in ((recorded, None), (with_gradients, EVERYTHING)):
        found = isolated(studio, scale, kinds=kinds)
        assert faulty(found) == []
        assert found.diagnosis is not None
        assert found.diagnosis.fault is Fault.LOOP
        assert "look at what the loop does with gradients" in failure_text(found).split("\n")[0]


def test_one_wrong_gradient_behind_a_common_clipping_is_still_the_modules(with_gradients: Studio) -> None:
    def clipped(model: torch.nn.Module) -> None:
        backward_scaled("blocks.1.up", 0.5)(model)
        for one in model.parameters():
            one.register_hook(lambda gradient: gradient * 0.9)

    found = isolated(with_gradients, clipped, kinds=EVERYTHING)
    assert faulty(found) == [(Part.GRADIENT, "blocks.1.up")]
