"""The model of a script is the outermost module that holds its first optimizer's parameters."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
from lightning.fabric import Fabric
from outside import Outside, data, loss_of, net
from torch import nn

from pytest_parity.session.plan import Plan
from pytest_parity.settings import Mode
from pytest_parity.site import Kind


def train(called: Any, *optimizers: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        for batch in data(4):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss_of(called, batch).backward()
            for optimizer in optimizers:
                optimizer.step()


def plain() -> None:
    model = net()
    train(model, torch.optim.SGD(model.parameters(), 0.1))


def parallel() -> None:
    model = nn.DataParallel(net())
    train(model, torch.optim.SGD(model.parameters(), 0.1))


def moved() -> None:
    model = net().double()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.float()
    train(model, optimizer)


def replaced() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    del optimizer
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    train(model, optimizer)


def averaged() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    average = torch.optim.swa_utils.AveragedModel(model)
    twin = copy.deepcopy(model)
    for batch in data():
        with torch.no_grad():
            twin(batch[0])
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
        average.update_parameters(model)
        average(batch[0])


def by_fabric() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    model = net()
    train(*fabric.setup(model, torch.optim.SGD(model.parameters(), 0.1)))


class System(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()


def inner() -> None:
    system = System()
    train(system.net, torch.optim.SGD(system.parameters(), 0.1))


@pytest.mark.parametrize("script", [parallel, moved, replaced, by_fabric])
def test_the_same_training_of_a_model_that_is_wrapped_moved_or_prepared_otherwise(
    outside: Outside, script: Any
) -> None:
    outside.record(plain)
    outcome = outside.check(script)
    assert outcome.kind == "passed", outcome.lines


def test_a_copy_that_averages_is_not_the_model(outside: Outside) -> None:
    golden = outside.record(averaged)
    assert golden.steps == (0, 1, 2)
    assert outside.sites(Kind.UPDATED_WEIGHT, 0) == [f"updated_weight/{name}" for name, _ in net().named_parameters()]
    assert len(outside.sites(Kind.ACTIVATION, 0)) == 4


def test_the_model_is_the_whole_of_which_a_part_is_called(outside: Outside) -> None:
    outside.record(inner)
    assert "weight/net.0.weight" in outside.sites(Kind.WEIGHT, 0)


def test_a_compiled_model_is_recorded_under_its_own_names(outside: Outside) -> None:
    def script() -> None:
        model = net()
        compiled = torch.compile(model, backend="eager")
        train(compiled, torch.optim.SGD(model.parameters(), 0.1))

    outside.record(script)
    assert "weight/0.weight" in outside.sites(Kind.WEIGHT, 0)
    assert outside.check(script).kind == "passed"


def test_a_model_of_modules_that_is_checked_by_another_name(outside: Outside) -> None:
    outside.record(inner)
    outcome = outside.check(plain, names={"(model)": "net"})
    assert outcome.kind == "passed", outcome.lines


def gan() -> None:
    generator, critic = net(), nn.Linear(2, 1)
    first = torch.optim.SGD(generator.parameters(), 0.1)
    second = torch.optim.Adam(critic.parameters(), 0.1)
    for x, y in data():
        second.zero_grad()
        (critic(generator(x).detach()).mean() - critic(y).mean()).backward()
        second.step()
        first.zero_grad()
        (-critic(generator(x)).mean()).backward()
        first.step()


def test_of_two_models_the_first_optimizers_is_recorded_and_the_other_is_named(outside: Outside) -> None:
    outcome = outside.run(gan, Mode.RECORD)
    assert outcome.kind == "recorded"
    assert len(outside.sites(Kind.ACTIVATION, 0)) == 8
    assert outcome.lines[-1] == (
        "  not observed: what Adam trains, which is no part of Sequential, the model of the first optimizer; "
        "--model names another, or a module that holds both"
    )


def halves() -> None:
    encoder, decoder = nn.Linear(4, 4), nn.Linear(4, 2)
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], 0.1)
    train(lambda x: decoder(encoder(x)), optimizer)


def test_two_models_of_one_optimizer_are_an_error_that_names_them(outside: Outside) -> None:
    outcome = outside.run(halves, Mode.RECORD)
    assert outcome.kind == "error"
    assert "2 models hold parameters of the script's first optimizer, a SGD: Linear, Linear" in outcome.lines[0]
    assert "--model __main__:model" in outcome.lines[0]


def test_a_model_is_named(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("their_script")
    module.critic = nn.Linear(2, 1)
    monkeypatch.setitem(sys.modules, "their_script", module)

    def script() -> None:
        other = net()
        first = torch.optim.SGD(other.parameters(), 0.1)
        second = torch.optim.SGD(module.critic.parameters(), 0.1)
        train(nn.Sequential(other, module.critic), first, second)

    golden = outside.record(script, model="their_script:critic")
    assert outside.sites(Kind.WEIGHT, 0) == ["weight/weight", "weight/bias"]
    assert golden.steps == (0, 1, 2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("their_script:nothing", "among the names of their_script, models are: critic"),
        ("elsewhere:model", "the script has imported no module of that name; what python runs is __main__"),
        ("their_script:number", "it is a int, and a torch.nn.Module is needed"),
    ],
)
def test_a_name_of_no_model_is_an_error(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    module = type(sys)("their_script")
    module.critic, module.number = nn.Linear(2, 1), 3
    monkeypatch.setitem(sys.modules, "their_script", module)
    outcome = outside.run(plain, Mode.RECORD, model=name)
    assert outcome.kind == "error"
    assert f"--model {name}" in outcome.lines[0]
    assert said in outcome.lines[0]


def test_an_optimizer_without_a_model_is_an_error(outside: Outside) -> None:
    def script() -> None:
        weight = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.Adam([weight])
        weight.sum().backward()
        optimizer.step()

    outcome = outside.run(script, Mode.RECORD)
    assert outcome.kind == "error"
    assert (
        "the script has an optimizer (Adam), and called no torch.nn.Module that holds its parameters"
        in outcome.lines[0]
    )


def test_a_model_that_is_never_trained_is_an_error(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.Adam(model.parameters())
        for batch in data():
            loss_of(model, batch)
        assert optimizer

    outcome = outside.run(script, Mode.RECORD)
    assert outcome.kind == "error"
    assert "the script's model (Sequential) was called, and never trained" in outcome.lines[0]


def test_an_optimizer_that_comes_later_is_named(outside: Outside) -> None:
    def script() -> None:
        model = net()
        train(model, torch.optim.SGD(model.parameters(), 0.1), steps=1)
        train(model, torch.optim.Adam(model.parameters(), 0.1), steps=3)

    outcome = outside.run(script, Mode.RECORD)
    assert outcome.kind == "recorded"
    assert "not observed: a further optimizer of the model (Adam), made after training began" in outcome.lines[-1]


def test_of_two_trainings_in_one_script_the_first_is_the_case(outside: Outside) -> None:
    def script() -> None:
        plain()
        model = nn.Linear(4, 2)
        train(model, torch.optim.Adam(model.parameters(), 0.1))

    golden = outside.record(script)
    assert golden.steps == (0, 1, 2)
    assert golden.manifest["settings"]["optimizers"] == ["SGD"]


def test_a_plan_goes_through_the_environment_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(Mode.CHECK, "a/b", "/golden", kinds=("loss",), ignore=("batch/*",), names="x.toml", model="a:b")
    monkeypatch.setenv("PARITY_SCRIPT", plan.to_json())
    assert Plan.from_environment() == plan
