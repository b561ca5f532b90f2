"""An optimizer that steps otherwise: the one thing that explains its updates is named, and proved; else nothing is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from handwritten import Decaying, HandWritten, Momentum
from parity_studio import Body, Studio
from torch import nn
from training_story import Net, adamw, causes, failed, sgd, told, training

from pytest_parity.diagnose.hints.rules import Begin, rules_of
from pytest_parity.golden import Golden
from pytest_parity.result import Cause
from pytest_parity.session.goldens import compare_goldens


def written(mistake: str) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda net: HandWritten(net.parameters(), mistake)


def in_groups(made: Callable[..., torch.optim.Optimizer], **second: Any) -> Callable[[nn.Module], Any]:
    """Matrices decay, vectors do not."""

    def optimizer(net: nn.Module) -> torch.optim.Optimizer:
        matrices = [one for one in net.parameters() if one.dim() > 1]
        vectors = [one for one in net.parameters() if one.dim() == 1]
        return made(
            [{"params": matrices}, {"params": vectors, "weight_decay": 0.0, **second}], lr=1e-2, weight_decay=0.05
        )

    return optimizer


def recorded(tmp_path_factory: pytest.TempPathFactory, body: Body) -> Studio:
    studio = Studio(tmp_path_factory.mktemp("update"))
    studio.record(body, draws=2)
    return studio


@pytest.fixture(scope="module")
def of_adamw(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return recorded(tmp_path_factory, training(adamw))


@pytest.fixture(scope="module")
def of_sgd(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return recorded(tmp_path_factory, training(sgd))


@pytest.fixture(scope="module")
def of_groups(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return recorded(tmp_path_factory, training(in_groups(torch.optim.AdamW)))


@pytest.mark.parametrize(
    ("mistake", "cause", "words"),
    [
        ("no decay", Cause.WEIGHT_DECAY, "no weight decay, where the golden's is 0.05: "),
        (
            "coupled",
            Cause.WEIGHT_DECAY,
            "the weight decay of 0.05 is added to the gradient, where the golden's shrinks the weight by lr * weight_decay: ",
        ),
        ("unscaled", Cause.WEIGHT_DECAY, "the weight decay of 0.05 is not multiplied by the learning rate: "),
        ("decay", Cause.WEIGHT_DECAY, "a weight decay of 0.1, where the golden's is 0.05: "),
        ("uncorrected", Cause.BIAS_CORRECTION, "no bias correction of the moments, which the golden's has: "),
        ("sign", Cause.SIGN, "the gradient with the other sign (maximize): "),
        ("lr", Cause.LEARNING_RATE, "a learning rate of 0.015, 1.5 times the golden's 0.01: "),
        ("eps", Cause.OPTIMIZER_EPS, "eps 1e-06, where the golden's is 1e-08: "),
        ("inside", Cause.OPTIMIZER_EPS, "eps of 1e-08 inside the root, where the golden's is added to it: "),
        ("before", Cause.OPTIMIZER_EPS, "eps of 1e-08 is added before the bias correction, the golden's after it: "),
        ("beta1", Cause.BETA, "beta1 0.8, where the golden's is 0.9: "),
        ("beta2", Cause.BETA, "beta2 0.99, where the golden's is 0.999: "),
        ("swapped", Cause.BETA, "beta1 and beta2 (0.9, 0.999) are exchanged: "),
        ("clips", Cause.CLIPPING, "gradients clipped to a total norm of 0.1 before the step: "),
        (
            "no decay of vectors",
            Cause.WEIGHT_DECAY,
            "for emb.bias, norm.weight, mid.bias and 1 more, no weight decay, where the golden's is 0.05: ",
        ),
    ],
)
def test_what_the_settings_do_not_show(of_adamw: Studio, mistake: str, cause: Cause, words: str):
    found, text = told(of_adamw, training(written(mistake)))
    assert found is cause
    assert text.startswith(words + "that explains the ")


def test_a_hint_has_the_numbers_that_support_it(of_adamw: Studio):
    text = told(of_adamw, training(written("no decay")))[1]
    before, _, after = text.partition(" floors off, to ")
    assert before.endswith("the update of 7 parameters, 4,030")
    assert float(after.removesuffix(" floors")) < 1


def test_one_that_is_written_anew_and_right_agrees(of_adamw: Studio):
    assert of_adamw.check(training(written(""))).passed


def test_noise_in_a_step_has_no_cause(of_adamw: Studio):
    assert causes(of_adamw, training(written("noise"))) == ()


@pytest.mark.parametrize(
    ("mistake", "cause", "words"),
    [
        ("no decay", Cause.WEIGHT_DECAY, "no weight decay, where the golden's is 0.01: "),
        (
            "decoupled",
            Cause.WEIGHT_DECAY,
            "the weight decay of 0.01 shrinks the weight, where the golden's adds it to the gradient: ",
        ),
        ("lr", Cause.LEARNING_RATE, "a learning rate of 0.2, 2 times the golden's 0.1: "),
        ("momentum", Cause.BETA, "momentum 0.8, where the golden's is 0.9: "),
        ("no momentum", Cause.BETA, "no momentum, where the golden's is 0.9: "),
        ("nesterov", Cause.CONSTANT, "Nesterov momentum, where the golden's has none: "),
        ("clips", Cause.CLIPPING, "gradients clipped to a total norm of 0.1 before the step: "),
    ],
)
def test_momentum(of_sgd: Studio, mistake: str, cause: Cause, words: str):
    found, text = told(of_sgd, training(lambda net: Momentum(net.parameters(), mistake)))
    assert found is cause
    assert text.startswith(words + "that explains the ")


def test_two_causes_that_the_first_step_cannot_tell_apart_are_neither(of_sgd: Studio):
    """A first buffer that is damped is a tenth of the learning rate."""
    assert causes(of_sgd, training(lambda net: Momentum(net.parameters(), "damped"))) == ()


@pytest.mark.parametrize(
    ("settings", "cause", "name"),
    [
        ({"weight_decay": 0.0}, Cause.WEIGHT_DECAY, "weight_decay"),
        ({"lr": 2e-2}, Cause.LEARNING_RATE, "lr"),
        ({"eps": 1e-3}, Cause.OPTIMIZER_EPS, "eps"),
        ({"betas": (0.9, 0.95)}, Cause.BETA, "betas"),
    ],
)
def test_what_the_settings_show_is_proved_and_not_said_twice(
    of_adamw: Studio, settings: dict[str, Any], cause: Cause, name: str
):
    comparison = failed(of_adamw, training(lambda net: adamw(net, **settings)))
    assert comparison.diagnosis is not None
    (hint,) = comparison.diagnosis.causes
    assert hint.cause is cause
    assert hint.text.startswith(f"{name}: that alone explains the ")
    assert sum(f"{name} is " in one for one in comparison.diagnosis.hints) == 1


def test_of_two_settings_only_the_one_that_matters_is_named(of_sgd: Studio):
    """Dampening begins with the second step, where nothing is left to fail."""
    cause, text = told(of_sgd, training(lambda net: sgd(net, lr=0.2, dampening=0.5)))
    assert (cause, text.partition(":")[0]) == (Cause.LEARNING_RATE, "lr")


def test_two_settings_that_only_together_explain(of_adamw: Studio):
    found = causes(of_adamw, training(lambda net: adamw(net, lr=2e-2, weight_decay=0.0)))
    assert [hint.cause for hint in found] == [Cause.LEARNING_RATE, Cause.WEIGHT_DECAY]
    assert found[0].text.startswith("lr: that with weight_decay, explains the update of 8 parameters, ")


def test_a_coupled_decay_by_its_class(of_adamw: Studio):
    cause, text = told(of_adamw, training(lambda net: torch.optim.Adam(net.parameters(), lr=1e-2, weight_decay=0.05)))
    assert cause is Cause.WEIGHT_DECAY
    assert text.startswith("decoupled_weight_decay: that alone explains ")


def test_another_kind_of_optimizer(of_adamw: Studio):
    cause, text = told(of_adamw, training(lambda net: torch.optim.SGD(net.parameters(), lr=1e-2)))
    assert cause is Cause.CONSTANT
    assert text.startswith("the optimizer's class: that alone explains ")


def test_a_group_is_named(of_groups: Studio):
    comparison = failed(of_groups, training(in_groups(torch.optim.AdamW, lr=2e-2)))
    assert comparison.diagnosis is not None
    assert (comparison.diagnosis.module, comparison.diagnosis.reference) == ("AdamW.param_groups[1]",) * 2
    assert [hint.cause for hint in comparison.diagnosis.causes] == [Cause.LEARNING_RATE]


def test_a_group_that_its_settings_do_not_show(of_groups: Studio):
    def optimizer(net: nn.Module) -> Any:
        return in_groups(lambda groups, **settings: HandWritten(groups, "group", **settings))(net)

    cause, text = told(of_groups, training(optimizer))
    assert cause is Cause.LEARNING_RATE
    assert text.startswith("in param_groups[1], a learning rate of 0.03, 3 times the golden's 0.01: that explains ")


def test_the_optimizer_is_named_where_all_of_its_groups_differ(of_groups: Studio):
    diagnosis = failed(of_groups, training(in_groups(lambda groups, **_: torch.optim.AdamW(groups, lr=1.0)))).diagnosis
    assert diagnosis is not None
    assert diagnosis.module == "AdamW"


def test_decay_of_what_the_golden_leaves_out(of_groups: Studio):
    cause, text = told(of_groups, training(adamw))
    assert cause is Cause.WEIGHT_DECAY
    assert text.startswith("weight_decay: that alone explains the update of 4 parameters, ")


@pytest.fixture(scope="module")
def of_rmsprop(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return recorded(tmp_path_factory, training(lambda net: torch.optim.RMSprop(net.parameters(), lr=1e-3)))


def test_an_optimizer_without_a_rule_by_a_factor_of_its_updates(of_rmsprop: Studio):
    cause, text = told(of_rmsprop, training(lambda net: torch.optim.RMSprop(net.parameters(), lr=5e-4)))
    assert cause is Cause.LEARNING_RATE
    assert text.startswith(
        "the update is 0.5 (1/2) times the golden's, as another learning rate makes it, of 8 parameters ("
    )


def test_an_optimizer_without_a_rule_by_a_part_that_the_weights_have(of_rmsprop: Studio):
    cause, text = told(of_rmsprop, training(lambda net: Decaying(net.parameters(), lr=1e-3)))
    assert cause is Cause.WEIGHT_DECAY
    assert text.startswith("more decay than the golden's, by 0.0001 of the weight (lr * weight_decay), of ")


def test_an_optimizer_without_a_rule_says_nothing_of_another_smoothing(of_rmsprop: Studio):
    found = causes(of_rmsprop, training(lambda net: torch.optim.RMSprop(net.parameters(), lr=1e-3, eps=1e-2)))
    assert found == ()


def test_a_step_over_the_memory_budget_has_no_cause(of_adamw: Studio):
    assert causes(of_adamw, training(written("no decay")), memory=1000) == ()


def test_two_recordings(tmp_path: Path):
    def golden(name: str, optimizer: Callable[[nn.Module], Any]) -> Golden:
        return Studio(tmp_path / name).record(training(optimizer), draws=2)

    comparison = compare_goldens(golden("one", adamw), golden("other", written("no decay")))
    assert comparison.diagnosis is not None
    (hint,) = comparison.diagnosis.causes
    assert hint.cause is Cause.WEIGHT_DECAY
    assert hint.text.startswith("no weight decay, where the golden's is 0.05: ")


@pytest.mark.parametrize(
    ("made", "settings"),
    [
        (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
        (torch.optim.AdamW, {"lr": 1e-2, "amsgrad": True, "maximize": True}),
        (torch.optim.Adam, {"lr": 1e-3, "weight_decay": 0.1, "eps": 1e-3}),
        (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "dampening": 0.3}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        (torch.optim.SGD, {"lr": 0.1}),
    ],
)
def test_the_rules_are_torchs(made: type[torch.optim.Optimizer], settings: dict[str, Any]):
    net = Net().double()
    optimizer: Any = made(net.parameters(), **settings)
    for step in range(3):
        torch.manual_seed(step)
        net.zero_grad()
        net(torch.randn(4, 16).double()).square().sum().backward()
        begun = {
            one: Begin(
                one.detach().clone(),
                one.grad.clone(),
                {name: value.clone() for name, value in optimizer.state[one].items() if value is not None},
                step + 1,
            )
            for one in net.parameters()
        }
        optimizer.step()
        for one, begin in begun.items():
            left = next(rules_of(made.__name__, optimizer.param_groups[0]))(begin)
            torch.testing.assert_close(left["weight"], one.detach(), rtol=1e-9, atol=1e-12)
            for name, value in optimizer.state[one].items():
                if value is not None:
                    torch.testing.assert_close(left[name], value.double(), rtol=1e-9, atol=1e-12)
