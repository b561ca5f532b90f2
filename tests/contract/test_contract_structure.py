"""A model's structure: what is listed, under which names, and how often."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from pytest_parity.contract.structure import Structure, TensorInfo, describe
from pytest_parity.contract.wrappers import stored_names
from pytest_parity.errors import CaptureError


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embed.weight
        self.norm = nn.BatchNorm1d(3)
        self.norm.weight.requires_grad_(False)
        self.register_buffer("table", torch.zeros(2, dtype=torch.float64), persistent=False)
        self.again = self.norm


def test_every_parameter_is_listed_once_with_its_further_names():
    structure = describe(Tied())
    assert structure.parameters == {
        "embed.weight": TensorInfo((5, 3), "float32", trainable=True, aliases=("head.weight",)),
        "head.bias": TensorInfo((5,), "float32", trainable=True),
        "norm.weight": TensorInfo((3,), "float32", trainable=False, aliases=("again.weight",)),
        "norm.bias": TensorInfo((3,), "float32", trainable=True, aliases=("again.bias",)),
    }
    assert (structure.count, structure.trainable_count) == (26, 23)
    assert structure.tensor_aliases["head.weight"] == "embed.weight"


def test_only_persistent_buffers_are_listed():
    structure = describe(Tied())
    assert list(structure.buffers) == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert structure.buffers["norm.num_batches_tracked"] == TensorInfo(
        (), "int64", trainable=False, aliases=("again.num_batches_tracked",)
    )


def test_modules_have_every_name_and_the_root_has_its_own():
    assert describe(Tied()).modules == {
        "(model)": "Tied",
        "embed": "Embedding",
        "head": "Linear",
        "norm": "BatchNorm1d",
        "again": "BatchNorm1d",
    }


def test_it_survives_json():
    structure = describe(Tied())
    assert Structure.from_plain(json.loads(json.dumps(structure.to_plain()))) == structure


class OwnModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Linear(1, 1)


def test_a_models_own_attribute_named_module_stays():
    structure = describe(OwnModule())
    assert list(structure.modules) == ["(model)", "module"]
    assert list(structure.parameters) == ["module.weight", "module.bias"]


def test_wrappers_leave_no_trace():
    inner = nn.Sequential(OwnModule())
    wrapped = nn.Sequential(nn.DataParallel(OwnModule()))
    assert describe(wrapped) == describe(inner)
    assert describe(nn.DataParallel(inner)) == describe(inner)
    assert describe(torch.compile(inner, backend="eager")) == describe(inner)


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (["module.encoder.weight", "module.scale"], ["encoder.weight", "scale"]),
        (["module._orig_mod.weight"], ["weight"]),
        (["_orig_mod.module.weight"], ["weight"]),
        (["encoder._fsdp_wrapped_module.layers.0._checkpoint_wrapped_module.norm"], ["encoder.layers.0.norm"]),
        (["module.weight", "weight"], ["module.weight", "weight"]),  # the model's own
        (["head.module.weight", "submodule.modules"], ["head.module.weight", "submodule.modules"]),
        (["module"], ["module"]),
        ([], []),
    ],
)
def test_a_stored_state_loses_what_wrappers_add_and_no_tensor(raw, names):
    assert stored_names(raw) == dict(zip(raw, names, strict=True))


def test_a_lazy_module_is_refused_by_name():
    with pytest.raises(CaptureError, match=r"^0\.weight has no shape yet: run the model on one batch first"):
        describe(nn.Sequential(nn.LazyLinear(3)))


def test_a_tensor_without_memory_is_described():
    with torch.device("meta"):
        assert describe(nn.Linear(100_000, 100_000)).count == 10_000_100_000
