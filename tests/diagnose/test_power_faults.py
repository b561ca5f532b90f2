"""What each fault does to what a model computes, and that nothing of it is left."""

from __future__ import annotations

import pytest
import torch
from power_models import state, tower
from torch import nn
from torch.utils.checkpoint import checkpoint

from pytest_parity.diagnose.faults import CATALOGUE, Planted, put
from pytest_parity.diagnose.power import Survey, planned
from pytest_parity.errors import UsageError


def x() -> torch.Tensor:
    return torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))


def outcome(model: nn.Module) -> list[torch.Tensor]:
    """The output and every gradient; dropout draws the same each time."""
    torch.manual_seed(2)
    model.zero_grad()
    out = model(x())
    out.square().sum().backward()
    return [out.detach(), *(p.grad if p.grad is not None else torch.zeros(()) for p in model.parameters())]


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def seen(model: nn.Module) -> Survey:
    survey = Survey()
    undo = survey.put(model)
    model(x())
    undo()
    return survey


EVERY = planned(tower(), seen(tower()).seen).faults


def test_every_fault_of_the_catalogue_is_tried_on_the_tower():
    assert {fault.name for fault in EVERY} == set(CATALOGUE)


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: f"{fault.words} in {fault.path}".replace(" ", "_"))
def test_a_fault_changes_the_run_and_leaves_nothing(fault: Planted):
    model = tower()
    expected, before = outcome(model), state(model)
    undo = put(model, fault)
    assert not same(outcome(model), expected)
    undo()
    model.zero_grad()
    assert same(outcome(model), expected)
    assert _without_gradients(state(model)) == _without_gradients(before)


@pytest.mark.parametrize("fault", EVERY, ids=lambda fault: f"{fault.words} in {fault.path}".replace(" ", "_"))
def test_a_fault_is_gone_where_a_forward_raises(fault: Planted):
    model = tower()
    before = state(model)
    undo = put(model, fault)
    hook = model.rnn.register_forward_pre_hook(lambda *_: pytest.fail("in the middle"))
    with pytest.raises(pytest.fail.Exception):
        model(x())
    hook.remove()
    undo()
    undo()
    assert state(model) == before


@pytest.mark.parametrize("fault", [Planted("weight_scaled", "rnn", size=2.0), Planted("dropout_toggled", "rnn")])
def test_after_a_call_that_raised_the_model_holds_its_own_while_the_fault_is_in(fault: Planted):
    model = tower()
    model.rnn.dropout = 0.5
    before = state(model)
    undo = put(model, fault)
    with pytest.raises(RuntimeError):
        model.rnn(torch.ones(2, 3))
    changed = {name for name, value in state(model).items() if value != before[name]}
    assert all("hooks" in name for name in changed)
    undo()


def test_between_calls_the_model_holds_its_own_weights():
    model = tower()
    before = state(model)["blocks.0.up|_parameters"]
    undo = put(model, Planted("weight_scaled", "blocks.0.up", size=2.0))
    model(x())
    assert state(model)["blocks.0.up|_parameters"] == before
    undo()


def _without_gradients(found: dict) -> dict:
    return {name: value for name, value in found.items() if not name.endswith(("|_parameters", "_flat_weights"))}


# what each one does, by hand


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 3)


ROW = torch.arange(1.0, 4.0)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Planted("weight_scaled", "(model)", size=1.01), lambda m: nn.functional.linear(ROW, m.weight * 1.01, m.bias)),
        (Planted("weight_rolled", "(model)"), lambda m: nn.functional.linear(ROW, m.weight[[2, 0, 1]], m.bias)),
        (Planted("weight_transposed", "(model)"), lambda m: nn.functional.linear(ROW, m.weight.T, m.bias)),
        (Planted("bias_dropped", "(model)"), lambda m: nn.functional.linear(ROW, m.weight)),
        (Planted("output_scaled", "(model)", size=3.0), lambda m: 3.0 * nn.functional.linear(ROW, m.weight, m.bias)),
        (Planted("half_precision", "(model)"), lambda m: nn.functional.linear(ROW, m.weight, m.bias).half().float()),
    ],
    ids=lambda value: value.name if isinstance(value, Planted) else "",
)
def test_the_output_is_the_faulty_one(fault: Planted, expected):
    model = linear()
    undo = put(model, fault)
    found = model(ROW)
    undo()
    torch.testing.assert_close(found, expected(model))


def test_the_gradient_of_a_scaled_weight_goes_through_the_scale():
    model = linear()
    undo = put(model, Planted("weight_scaled", "(model)", size=2.0))
    model(ROW).sum().backward()
    undo()
    assert torch.equal(model.weight.grad, 2.0 * ROW.expand(3, 3))


def test_a_dropped_bias_gets_no_gradient():
    model = linear()
    undo = put(model, Planted("bias_dropped", "(model)"))
    model(ROW).sum().backward()
    undo()
    assert model.bias.grad is None


def test_a_scaled_gradient_leaves_the_forward_alone():
    model = linear()
    expected = model(ROW)
    undo = put(model, Planted("gradient_scaled", "(model)", size=5.0))
    found = model(ROW)
    found.sum().backward()
    undo()
    assert torch.equal(found, expected)
    assert torch.equal(model.bias.grad, torch.full((3,), 5.0))


def test_behind_a_scaled_gradient_the_value_can_be_changed_in_place():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    x = torch.randn(3, 4)
    expected = model(x)
    undo = put(model, Planted("gradient_scaled", "0", size=1.5))
    assert torch.equal(model(x), expected)
    undo()


def test_swapped_layers_compute_with_each_others_weights_and_train_them():
    model = nn.Sequential(linear(), nn.Linear(3, 3))
    expected = model[0](model[1](ROW))
    undo = put(model, Planted("layers_swapped", "0", other="1"))
    found = model(ROW)
    undo()
    assert torch.equal(found, expected)


def test_eps_is_another_during_the_call_alone():
    norm = nn.LayerNorm(3, eps=1e-5)
    undo = put(norm, Planted("eps", "(model)", size=1000.0))
    found = norm(ROW)
    assert norm.eps == 1e-5
    undo()
    assert torch.equal(found, nn.functional.layer_norm(ROW, (3,), norm.weight, norm.bias, 1e-5 * 1000.0))


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_toggled(training: bool):
    drop = nn.Dropout(0.5).train(training)
    undo = put(drop, Planted("dropout_toggled", "(model)"))
    found = drop(torch.ones(1000))
    undo()
    assert bool((found == 0).any()) is not training
    assert drop.training is training


def test_a_mask_is_inverted_after_it_was_observed():
    class Masked(nn.Module):
        def forward(self, value: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            return value * keep

    model, observed, keep = Masked(), [], torch.tensor([True, False, False])
    model.register_forward_pre_hook(lambda _, __, kwargs: observed.append(kwargs["keep"]), with_kwargs=True)
    undo = put(model, Planted("mask_inverted", "(model)"))
    found = model(ROW, keep=keep)
    undo()
    assert torch.equal(found, ROW * ~keep)
    assert torch.equal(observed[0], keep)


def test_the_weights_of_a_recurrent_layer_are_those_that_it_computes_with():
    lstm = nn.LSTM(3, 3)
    expected = lstm(ROW[None])[0]
    undo = put(lstm, Planted("weight_scaled", "(model)", size=1.5))
    assert not torch.equal(lstm(ROW[None])[0], expected)
    undo()
    assert torch.equal(lstm(ROW[None])[0], expected)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
def test_a_weight_that_weight_norm_computes_is_the_one_that_is_scaled():
    layer = nn.utils.weight_norm(linear())
    expected = layer(ROW) - layer.bias
    undo = put(layer, Planted("weight_scaled", "(model)", size=2.0))
    found = layer(ROW) - layer.bias
    undo()
    torch.testing.assert_close(found, 2.0 * expected)


def test_a_weight_whose_module_is_never_called_is_replaced_in_its_parents_calls():
    model = tower()
    expected = model.eval()(x())
    undo = put(model, Planted("bias_dropped", "head", host="(model)"))
    found = model(x())
    undo()
    torch.testing.assert_close(found, expected - model.head.bias)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoints_recompute_has_the_same_fault(reentrant: bool):
    grads = []
    for run in (
        lambda layer, value: layer(value),
        lambda layer, value: checkpoint(layer, value, use_reentrant=reentrant),
    ):
        model = nn.Sequential(linear(), nn.Tanh())
        undo = put(model, Planted("weight_scaled", "0", size=2.0))
        run(model, ROW.clone().requires_grad_()).sum().backward()
        undo()
        grads.append(model[0].weight.grad)
    assert torch.equal(*grads)


def test_a_module_that_calls_itself_has_the_fault_once():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([2.0]))

        def forward(self, value: torch.Tensor, depth: int = 2) -> torch.Tensor:
            return value if not depth else self(value, depth - 1) * self.weight

    model = Twice()
    undo = put(model, Planted("weight_scaled", "(model)", size=10.0))
    found = model(torch.ones(1))
    assert torch.equal(model.weight, torch.tensor([2.0]))
    undo()
    assert found.item() == 400.0


def test_an_output_of_a_class_of_its_own_keeps_its_class():
    class Pair(dict):
        pass

    class Gives(nn.Module):
        def forward(self, value: torch.Tensor) -> Pair:
            return Pair(logits=value, ids=torch.arange(3), name="pair")

    model = Gives()
    undo = put(model, Planted("output_scaled", "(model)", size=2.0))
    found = model(ROW)
    undo()
    assert type(found) is Pair
    assert torch.equal(found["logits"], 2.0 * ROW)
    assert torch.equal(found["ids"], torch.arange(3))


def test_a_fault_that_there_is_not_is_named():
    with pytest.raises(
        UsageError, match=r"there is no fault 'weight_melted'; there are weight_scaled, weight_rolled, .*"
    ):
        put(linear(), Planted("weight_melted", "(model)"))


def test_a_module_that_there_is_not_is_named():
    with pytest.raises(UsageError, match=r"the model has no module 'head' that a fault could be put in"):
        put(linear(), Planted("output_scaled", "head"))
