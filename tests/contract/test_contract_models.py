"""Two structures compared whole, what explains a difference of their counts, and structures read from files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from pytest_parity.contract.models import ModelSide, StructureComparison, compare_models
from pytest_parity.contract.stored import describe_file, merged, same_memory
from pytest_parity.contract.structure import Structure, describe
from pytest_parity.errors import UsageError
from pytest_parity.names import NameMap, concat


class Layer(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(width, width, bias=bias), nn.Linear(width, width, bias=bias)


class Model(nn.Module):
    def __init__(self, layers: int = 3, width: int = 4, *, bias: bool = True, head: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(width, bias) for _ in range(layers)])
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, head)


def compared(reference: nn.Module | Structure, candidate: nn.Module | Structure, names=None) -> StructureComparison:
    theirs, ours = (one if isinstance(one, Structure) else describe(one) for one in (reference, candidate))
    bound = NameMap.build(names).bind(
        ours.all_names,
        theirs.all_names,
        candidate_aliases=ours.tensor_aliases,
        reference_aliases=theirs.tensor_aliases,
        candidate_shapes={name: info.shape for name, info in ours.tensors.items()},
        reference_shapes={name: info.shape for name, info in theirs.tensors.items()},
    )
    return compare_models(ModelSide("a", theirs), ModelSide("b", ours), bound)


def explanation(reference: nn.Module, candidate: nn.Module, names=None) -> list[tuple]:
    found = compared(reference, candidate, names)
    assert found.unexplained == 0
    assert sum(share.change for share in found.shares) == describe(candidate).count - describe(reference).count
    return [(one.pattern, one.places, one.tensors, one.change, one.reason) for one in found.shares]


def test_the_same_model_passes_and_nothing_is_left_to_explain():
    found = compared(Model(), Model())
    assert (found.passed, found.difference, found.shares, found.problems) == (True, 0, (), ())
    assert len(found.tensors) == 19


def test_biases_that_are_not_there_are_one_line():
    assert explanation(Model(bias=True), Model(bias=False)) == [
        ("layers.*.bias", (0, 1, 2), 6, -24, "not in the candidate")
    ]


def test_whole_layers_are_one_line():
    assert explanation(Model(layers=4), Model(layers=2)) == [("layers.*.*", (2, 3), 8, -80, "not in the candidate")]
    assert explanation(Model(layers=2), Model(layers=3)) == [("layers.*.*", (2,), 4, 40, "in the candidate alone")]


def test_another_width_tells_both_shapes():
    (weight, bias) = explanation(Model(head=2), Model(head=5))
    assert weight == ("head.weight", (), 1, 12, "(5, 4) in the candidate, (2, 4) in the reference")
    assert bias[:4] == ("head.bias", (), 1, 3)


def test_what_is_tied_on_one_side_explains_the_difference():
    tied, free = Model(head=4), Model(head=4)
    tied.head.weight = tied.layers[0].one.weight
    assert explanation(free, tied) == [("head.weight", (), 1, -16, "tied to layers.0.one.weight in the candidate")]
    assert explanation(tied, free) == [("head.weight", (), 1, 16, "tied to layers.0.one.weight in the reference")]


def test_a_buffer_in_the_place_of_a_parameter():
    other = Model()
    bias = other.head.bias.detach()
    del other.head.bias
    other.head.register_buffer("bias", bias)
    assert explanation(Model(), other) == [("head.bias", (), 1, -2, "no parameter in the candidate")]
    assert explanation(other, Model()) == [("head.bias", (), 1, 2, "no parameter in the reference")]


def test_a_fused_tensor_counts_once():
    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.both = nn.Linear(4, 8)

    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k = nn.Linear(4, 4), nn.Linear(4, 4)

    found = compared(Split(), Fused(), {"both": concat("q", "k")})
    assert (found.passed, found.shares, found.unexplained) == (True, (), 0)
    assert explanation(Split(), Fused())[0][4] in {"not in the candidate", "in the candidate alone"}


def test_what_trains_on_one_side_alone_is_a_problem():
    frozen = Model()
    frozen.head.weight.requires_grad_(requires_grad=False)
    found = compared(Model(), frozen)
    assert [(one.name, one.verdict, one.detail) for one in found.problems] == [
        ("head.weight", "differs", "frozen here, trains in the reference")
    ]
    assert (found.passed, found.difference) == (False, 0)
    assert [counts.trainable for counts in found.counts] == [138, 130]


def test_an_empty_model_passes_nothing():
    assert not compared(nn.Module(), nn.Module()).passed


def test_constants_of_modules_of_one_class_fail_but_for_training():
    model = Model().eval()
    assert compared(Model(), model).passed
    model.norm.eps = 1e-3
    found = compared(Model(), model)
    assert [(one.where, one.name, one.golden, one.here) for one in found.constants] == [
        ("norm", "eps", "1e-05", "0.001")
    ]
    assert not found.passed


def test_modules_of_a_list_that_are_alike_stand_in_one_row():
    reference, candidate = Model(layers=3), Model(layers=3)
    candidate.layers[2] = Layer(4, bias=False)
    rows = {(one.path, one.places): (one.reference, one.candidate) for one in compared(reference, candidate).subtrees}
    assert rows["layers.*", (0, 1)] == (40, 40)
    assert rows["layers.2", ()] == (40, 32)
    assert rows["layers.*.one", ()] == (20, 20)
    assert rows["layers.2.one", ()] == (20, 16)
    assert rows["(model)", ()] == (138, 130)


def test_modules_without_a_counterpart_are_listed_and_fail_nothing():
    other = Model()
    other.drop = nn.Dropout()
    found = compared(Model(), other)
    assert (found.passed, found.modules_missing, found.modules_extra) == (True, (), ("drop",))
    assert compared(other, Model()).modules_missing == ("drop",)


def stored(path: Path, model: nn.Module) -> Structure:
    save_file(model.state_dict(), path)
    return describe_file(path)


def test_a_safetensors_file_tells_names_shapes_and_dtypes(tmp_path: Path):
    found = stored(tmp_path / "a.safetensors", Model().double())
    assert found.parameters["layers.0.one.weight"].shape == (4, 4)
    assert found.parameters["layers.0.one.weight"].dtype == "float64"
    assert set(found.buffers) == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert "layers.0" in found.modules


def test_what_save_model_leaves_out_is_tied(tmp_path: Path):
    model = Model(head=4)
    model.head.weight = model.layers[0].one.weight
    save_model(model, tmp_path / "a.safetensors")
    assert len(describe_file(tmp_path / "a.safetensors").tensor_aliases) == 1


@pytest.mark.parametrize("holder", [None, "state_dict", "model", "weights"])
def test_a_checkpoint_holds_the_tensors_where_trainers_put_them(tmp_path: Path, holder: str | None):
    state = Model().state_dict()
    torch.save(state if holder is None else {"epoch": 3, holder: state}, tmp_path / "a.ckpt")
    assert set(describe_file(tmp_path / "a.ckpt").tensors) == set(state)


def test_tied_entries_of_a_checkpoint_count_once(tmp_path: Path):
    model = Model(head=4)
    model.head.weight = model.layers[0].one.weight
    for zipped in (True, False):
        torch.save(model.state_dict(), tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
        found = describe_file(tmp_path / "a.pt")
        assert found.tensor_aliases == {"head.weight": "layers.0.one.weight"}
        assert found.count == describe(model).count


def test_what_wrappers_add_to_names_is_left_out(tmp_path: Path):
    save_file({f"module.{name}": value for name, value in Model().state_dict().items()}, tmp_path / "a.safetensors")
    assert "head.weight" in describe_file(tmp_path / "a.safetensors").parameters


class Own:
    pass


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            {"model": {"a": torch.ones(1)}, "x": Own()},
            "holds a test_contract_models.Own, and to build one would run code",
        ),
        (nn.Linear(1, 1), "holds a torch.nn.modules.linear.Linear"),
        ([1], "holds a list, and a table of tensors by name is needed"),
        ({"epoch": 3}, "holds no tensor"),
        ({"ema": {"a": torch.ones(1)}, "teacher": {"a": torch.ones(1)}}, "holds tensors under ema, teacher, and none"),
    ],
)
def test_a_checkpoint_that_is_refused_says_why(tmp_path: Path, content, why: str):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UsageError) as caught:
        describe_file(tmp_path / "a.pt")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_refused_pickle_runs_no_code(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": {"a": torch.ones(1)}, "callback": Evil()}, tmp_path / "a.pt")
    with pytest.raises(UsageError, match=r"keep its tensors alone: safetensors\.torch\.save_file"):
        describe_file(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.pt", b"", "cannot be read as a checkpoint: EOFError"),
        ("a.ckpt", b"hello world", "cannot be read as a checkpoint: "),
        ("a.safetensors", b"no", "cannot be read as safetensors: "),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes, why: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"{name} {why}"):
        describe_file(tmp_path / name)


def test_what_a_file_does_not_tell_is_taken_from_the_model(tmp_path: Path):
    model = Model()
    model.register_buffer("scale", torch.ones(3))
    model.head.weight.requires_grad_(requires_grad=False)
    reference, file = describe(model), stored(tmp_path / "a.safetensors", model)
    assert "scale" in file.parameters
    names = NameMap.identity().bind(file.all_names, reference.all_names)
    for sides in (
        (ModelSide("a", reference), ModelSide("b", file, tensors_alone=True)),
        (ModelSide("b", file, tensors_alone=True), ModelSide("a", reference)),
    ):
        found = compare_models(*sides, names)
        assert (found.passed, found.difference, found.modules_missing) == (True, 0, ())
        assert None in {counts.trainable for counts in found.counts}


def test_memory_that_several_parameters_share_is_found():
    model = Model(head=4)
    model.head.weight = nn.Parameter(model.layers[0].one.weight.data)
    shared = same_memory(model.named_parameters())
    assert shared == {"head.weight": "layers.0.one.weight"}
    found = merged(describe(model).parameters, shared)
    assert found["layers.0.one.weight"].aliases == ("head.weight",)
    assert "head.weight" not in found
    assert same_memory(Model(head=4).named_parameters()) == {}


def test_two_classes_of_torchs_own_are_a_difference():
    """No tensor tells a GELU from a ReLU."""
    reference, candidate = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.Linear(2, 2), nn.GELU())
    found = compared(reference, candidate)
    assert [(one.where, one.name, one.golden, one.here) for one in found.constants] == [("1", "class", "ReLU", "GELU")]
    assert (found.problems, found.classes, found.passed) == ((), (), False)


def test_classes_of_an_implementation_s_own_are_listed_alone():
    reference, candidate = nn.ModuleList([Model(1)]), nn.ModuleList([nn.Sequential()])
    candidate[0].add_module("layers", nn.ModuleList([Layer(4, bias=True)]))
    candidate[0].add_module("norm", nn.BatchNorm1d(4))
    candidate[0].add_module("head", nn.Linear(4, 2))
    found = compared(reference, candidate)
    assert [(one.where, one.golden, one.here) for one in found.classes] == [("0", "Model", "Sequential")]
    assert (found.constants, found.passed) == ((), True)


def test_a_tensor_beside_the_model_is_not_the_model(tmp_path: Path):
    """``{"model": ..., "epoch": tensor(1)}``: two models would agree in their epochs."""
    state = nn.Linear(2, 2).state_dict()
    torch.save({"epoch": torch.tensor(1), "model": state}, tmp_path / "a.pt")
    assert set(describe_file(tmp_path / "a.pt").tensors) == {"weight", "bias"}
    torch.save({"epoch": torch.tensor(1), "generator": state}, tmp_path / "b.pt")
    with pytest.raises(
        UsageError, match="holds tensors under its top, generator, and none of these is called state_dict"
    ):
        describe_file(tmp_path / "b.pt")
    torch.save({**state, "_extra_state": {"scale": torch.ones(1)}}, tmp_path / "c.pt")
    assert set(describe_file(tmp_path / "c.pt").tensors) == {"weight", "bias"}
