"""Which faults are tried on a model."""

from __future__ import annotations

import torch
from power_models import state, tower
from torch import nn

from pytest_parity.diagnose.faults import CATALOGUE, Seen
from pytest_parity.diagnose.power import Survey, place_of, planned


def surveyed(model: nn.Module, *args: torch.Tensor) -> dict[str, Seen]:
    survey = Survey()
    undo = survey.put(model)
    model(*args)
    undo()
    return survey.seen


def plan(model: nn.Module, *args: torch.Tensor, **options):
    return planned(model, surveyed(model, *args), **options)


def tried(model: nn.Module, *args: torch.Tensor) -> set[str]:
    return {fault.name for fault in plan(model, *args).faults}


def test_a_survey_leaves_the_model_as_it_was():
    model = tower()
    before = state(model)
    surveyed(model, torch.randn(2, 4, 6))
    assert state(model) == before


def test_one_module_of_a_class_at_a_depth_takes_each_fault():
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(5)))
    faults = plan(model, torch.randn(2, 3)).faults
    places = [(fault.name, fault.size, place_of(model, fault)) for fault in faults]
    assert len(places) == len(set(places))
    assert ("weight_scaled", 1.0001, "Linear at depth 1") in places
    assert ("output_scaled", 1.01, "Sequential at depth 0") in places


def test_other_depths_and_classes_take_their_own():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3)), nn.Conv1d(1, 1, 1))
    places = {place_of(model, one) for one in plan(model, torch.randn(1, 3)).faults if one.name == "bias_dropped"}
    assert places == {"Linear at depth 1", "Linear at depth 2", "Conv1d at depth 1"}


def test_the_plan_is_the_same_every_time():
    assert plan(tower(), torch.randn(2, 4, 6)) == plan(tower(seed=3), torch.randn(1, 4, 6))


def test_faults_stand_in_the_order_of_the_catalogue():
    names = [fault.name for fault in plan(tower(), torch.randn(2, 4, 6)).faults]
    assert names == sorted(names, key=list(CATALOGUE).index)


def test_only_a_square_weight_is_transposed():
    assert "weight_transposed" in tried(nn.Linear(3, 3), torch.randn(1, 3))
    assert "weight_transposed" not in tried(nn.Linear(3, 4), torch.randn(1, 3))


def test_only_what_drops_out_is_toggled():
    assert "dropout_toggled" in tried(nn.Dropout(0.1), torch.randn(1, 3))
    assert "dropout_toggled" not in tried(nn.Dropout(0.0), torch.randn(1, 3))


def test_only_a_module_that_is_given_a_mask_has_it_inverted():
    class Takes(nn.Module):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value

    assert "mask_inverted" in tried(Takes(), torch.tensor([True]))
    assert "mask_inverted" not in tried(Takes(), torch.tensor([1.0]))


def test_without_a_gradient_none_is_scaled():
    model = nn.Linear(3, 3)
    assert "gradient_scaled" in tried(model, torch.randn(1, 3))
    with torch.no_grad():
        assert "gradient_scaled" not in tried(model, torch.randn(1, 3))


def test_what_holds_no_number_takes_no_fault_of_numbers():
    class Counts(nn.Module):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value.argmax(-1)

    assert tried(Counts(), torch.randn(2, 3)) == set()


def test_layers_are_swapped_where_shapes_are_equal_and_weights_are_not_shared():
    one, other = nn.Linear(3, 3), nn.Linear(3, 3)
    assert "layers_swapped" in tried(nn.Sequential(one, other), torch.randn(1, 3))
    assert "layers_swapped" not in tried(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3)), torch.randn(1, 3))
    tied = nn.Linear(3, 3)
    tied.weight = one.weight
    assert "layers_swapped" not in tried(nn.Sequential(one, tied), torch.randn(1, 3))


def test_a_module_that_is_never_called_has_its_faults_in_the_calls_above_it():
    faults = plan(tower(), torch.randn(2, 4, 6)).faults
    hosts = {fault.name: fault.host for fault in faults if fault.path == "head"}
    assert hosts == {"weight_scaled": "(model)", "weight_rolled": "(model)", "bias_dropped": "(model)"}


def test_what_nothing_calls_is_told():
    model = nn.ModuleDict({"used": nn.Linear(3, 3), "left": nn.Linear(3, 3)})
    survey = Survey()
    undo = survey.put(model)
    model["used"](torch.randn(1, 3))
    undo()
    found = planned(model, survey.seen)
    assert found.unreachable == ("left",)
    assert {fault.path for fault in found.faults} == {"used"}


def test_a_limit_cuts_every_kind_of_fault_alike_and_says_what_is_left_out():
    model = tower()
    everything = plan(model, torch.randn(2, 4, 6))
    cut = plan(model, torch.randn(2, 4, 6), limit=len(CATALOGUE))
    assert {fault.name for fault in cut.faults} == set(CATALOGUE)
    assert {*cut.faults, *cut.left_out} == set(everything.faults)
    assert everything.left_out == ()


def test_what_is_left_out_by_name_takes_no_fault():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    found = plan(model, torch.randn(1, 3), without=frozenset({"1"}))
    assert {fault.path for fault in found.faults} == {"(model)", "0"}
