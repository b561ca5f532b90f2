"""The constants of modules: what counts as one, and how two models' are told apart."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from pytest_parity.contract.constants import constant_differences, constants
from pytest_parity.contract.structure import Structure, describe
from pytest_parity.names import BoundNames, NameMap
from pytest_parity.result import Difference


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.LayerNorm(4), {"eps": 1e-5, "elementwise_affine": True, "normalized_shape": [4]}),
        (nn.BatchNorm1d(4, momentum=None), {"eps": 1e-5, "momentum": None, "track_running_stats": True}),
        (nn.Dropout(0.3), {"p": 0.3}),
        (nn.LeakyReLU(0.2), {"negative_slope": 0.2}),
        (nn.GELU("tanh"), {"approximate": "tanh"}),
        (nn.Softmax(-1), {"dim": -1}),
        (nn.GroupNorm(2, 4), {"num_groups": 2, "eps": 1e-5}),
        (nn.Conv1d(2, 2, 3, padding_mode="circular"), {"padding_mode": "circular", "dilation": [1]}),
        (nn.MultiheadAttention(4, 2, dropout=0.1), {"num_heads": 2, "dropout": 0.1, "batch_first": False}),
        (nn.LSTM(2, 3, 2), {"num_layers": 2, "bidirectional": False}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_torchs_own_modules(module: nn.Module, expected: dict[str, object]):
    found = constants(module)
    assert found | expected == found
    assert found["training"] is True
    assert constants(module.eval())["training"] is False


class Own(nn.Module):
    eps = 1e-6
    __constants__ = ("eps",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = 0.125
        self.dtype = torch.bfloat16
        self.kernel = (3, 5)
        self.cache = None
        self.weight = nn.Parameter(torch.ones(2))
        self.child = nn.Dropout(0.1, inplace=True)
        self.home = "/home/someone"
        self.table = list(range(100))
        self.options = {"a": 1}
        self.device = torch.device("cpu")
        self._private = 1


def test_a_module_of_the_users_own():
    assert constants(Own()) == {
        "cache": None,
        "dtype": "bfloat16",
        "eps": 1e-6,
        "kernel": [3, 5],
        "scale": 0.125,
        "training": True,
    }


def test_texts_of_other_peoples_modules_and_paths_stay_out():
    class Net(nn.Sequential):
        def __init__(self) -> None:
            super().__init__()
            self.mode, self.where = "fast", "/home/someone"

    found = constants(Net())
    assert found["mode"] == "fast"
    assert "where" not in found
    assert "home" not in constants(Own())


def test_they_are_in_the_structure_and_survive_json():
    structure = describe(nn.Sequential(nn.LayerNorm(4), nn.ReLU()))
    assert structure.constants["0"]["eps"] == 1e-5
    assert structure.constants["1"] == {"training": True}
    assert Structure.from_plain(json.loads(json.dumps(structure.to_plain()))) == structure


def test_a_structure_that_tells_none_is_read():
    plain = describe(nn.LayerNorm(4)).to_plain()
    del plain["constants"]
    older = Structure.from_plain(plain)
    assert older.constants == {}
    assert constant_differences(older, describe(nn.LayerNorm(4, eps=1.0)), BoundNames.identity()) == ()


def test_what_differs_has_the_candidates_names():
    reference = describe(nn.ModuleDict({"norm": nn.LayerNorm(4), "drop": nn.Dropout(0.1)}))
    candidate = describe(nn.ModuleDict({"ln": nn.LayerNorm(4, eps=1e-3), "drop": nn.Dropout(0.1)}))
    names = NameMap.build({"ln": "norm"}).bind(candidate.all_names, reference.all_names)
    assert constant_differences(reference, candidate, names) == (Difference("constant", "eps", "1e-05", "0.001", "ln"),)
    assert constant_differences(reference, reference, BoundNames.identity()) == ()


def test_a_constant_that_one_of_the_two_calls_otherwise_is_not_compared():
    class Norm(nn.LayerNorm):
        def __init__(self) -> None:
            super().__init__(4)
            self.epsilon = 7.0

    reference = describe(nn.ModuleDict({"norm": nn.LayerNorm(4)}))
    assert constant_differences(reference, describe(nn.ModuleDict({"norm": Norm()})), BoundNames.identity()) == ()


@pytest.mark.parametrize(
    ("reference", "candidate", "told"),
    [
        (nn.ReLU(), nn.GELU(), True),
        (nn.Dropout(0.1), nn.Identity(), True),
        (nn.Dropout(0.0), nn.Identity(), False),
        (nn.Identity(), nn.Dropout1d(0.0), False),
        (nn.Dropout(0.0), nn.ReLU(), True),
        (nn.Sequential(), nn.ModuleList(), False),
        (nn.Sequential(), nn.Identity(), False),
    ],
)
def test_classes_that_may_compute_two_things(reference: nn.Module, candidate: nn.Module, told: bool):
    theirs, ours = (describe(nn.ModuleDict({"act": module})) for module in (reference, candidate))
    before, after = type(reference).__name__, type(candidate).__name__
    expected = (Difference("constant", "class", before, after, "act"),)
    assert constant_differences(theirs, ours, BoundNames.identity()) == (expected if told else ())
