"""``parity structure``: what it says, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_command import Command
from parity_studio import Studio
from safetensors.torch import save_file
from torch import nn

FACTORY = """
import torch
from torch import nn

def build(bias=True):
    return nn.Sequential(nn.Linear(4, 4, bias=bias), nn.ReLU(), nn.Linear(4, 2))

def unbiased():
    return build(bias=False)

def shared():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = nn.Parameter(model[0].weight.data)
    return model

def number():
    return 3

NAMES = {"first": "0", "act": "1", "last": "2"}

def renamed():
    return nn.ModuleDict({"first": nn.Linear(4, 4), "act": nn.ReLU(), "last": nn.Linear(4, 2)})

def many():
    return nn.Sequential(*(nn.Linear(1, 1) for _ in range(30)))
"""


def build(*, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4, bias=bias), nn.ReLU(), nn.Linear(4, 2))


@pytest.fixture
def golden(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Path:
    studio.record(lambda parity: parity.assert_structure(build()))
    monkeypatch.chdir(studio.path)
    monkeypatch.syspath_prepend(studio.path)
    (studio.path / "structures.py").write_text(FACTORY)
    (studio.path / "names.toml").write_text('[names]\nfirst = "0"\nact = "1"\nlast = "2"\n')
    return studio.path / "golden" / "case"


def test_a_golden_and_a_model_that_are_the_same(golden: Path, parity_command: Command) -> None:
    done = parity_command("structure", "case", "structures:build")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "4 of 4 tensors are the same; the reference is case, the candidate structures:build",
        "",
        "                              reference  candidate  difference",
        "  parameters                         30         30           0",
        "    that train                       30         30           0",
        "    frozen                            0          0           0",
        "  elements of buffers                 0          0           0",
        "  tensors                             4          4           0",
        "  further names of tied ones          0          0           0",
        "  modules                             4          4           0",
        "",
        "parameters by module:",
        "           reference  candidate  difference",
        "  (model)         30         30           0",
        "    0             20         20           0",
        "    2             10         10           0",
    ]


def test_a_missing_bias_explains_the_difference(golden: Path, parity_command: Command) -> None:
    done = parity_command("structure", golden, "structures:unbiased")
    assert done.status == 1
    assert "\nwhat explains -4 parameters:\n  -4  0.bias (1 tensor)  not in the candidate\n" in done.out
    assert "\ntensors that differ:\n  0.bias  missing  float32 (4,) in the reference\n" in done.out
    assert done.out.startswith("3 of 4 tensors are the same; ")


def test_names_of_a_file_and_of_a_module(golden: Path, parity_command: Command) -> None:
    assert parity_command("structure", golden, "structures:renamed").status == 1
    for names in ("names.toml", "structures:NAMES"):
        done = parity_command("structure", golden, "structures:renamed", "--names", names)
        assert (done.status, done.err) == (0, "")


def test_names_that_fit_nothing_are_trouble(golden: Path, parity_command: Command) -> None:
    done = parity_command("structure", golden, "structures:build", "--names", "names.toml")
    assert done.status == 2
    assert "name rule 'first': '0': the key matches no module, parameter or buffer of the candidate" in done.err


def test_files_need_no_rule_for_modules_without_tensors(golden: Path, parity_command: Command) -> None:
    model = nn.ModuleDict({"first": nn.Linear(4, 4), "last": nn.Linear(4, 2)})
    save_file(model.state_dict(), "a.safetensors")
    torch.save({"state_dict": model.state_dict()}, "a.ckpt")
    for file in ("a.safetensors", "a.ckpt"):
        done = parity_command("structure", golden, file, "--names", "names.toml")
        assert (done.status, done.err) == (0, "")
        assert f"{file} is tensors alone: what trains, what is a buffer and modules without tensors are not" in done.out
        assert "    that train                       30   not told   not known" in done.out
    assert parity_command("structure", "a.ckpt", "a.safetensors").status == 0
    assert parity_command("structure", golden, "a.ckpt").status == 1


@pytest.mark.parametrize("around", ["candidate", "reference"])
def test_a_module_around_all_of_one_side_is_told_with_what_to_type(
    golden: Path, parity_command: Command, around: str
) -> None:
    save_file(build().state_dict(), "plain.safetensors")
    torch.save({"state_dict": {f"net.{name}": value for name, value in build().state_dict().items()}}, "around.ckpt")
    files = ("plain.safetensors", "around.ckpt") if around == "candidate" else ("around.ckpt", "plain.safetensors")
    done = parity_command("structure", *files)
    assert (done.status, done.err) == (1, "")
    hint = f"every name of the {around} begins with net; --names takes a file with [names] and the line "
    (line,) = [line for line in done.out.splitlines() if line.startswith(hint)]
    Path("around.toml").write_text(f"[names]\n{line.removeprefix(hint)}\n")
    assert parity_command("structure", *files, "--names", "around.toml").status == 0


def test_memory_that_parameters_share_is_counted_once_and_told(golden: Path, parity_command: Command) -> None:
    done = parity_command("structure", "structures:shared", "structures:shared")
    assert done.status == 0
    assert "  parameters                         24         24" in done.out
    assert "structures:shared has parameters that share memory: 1.weight and 0.weight" in done.out
    assert "tied in the reference, counted once: 1.weight = 0.weight" in done.out


def test_long_lists_are_cut_with_a_count_unless_all_is_asked_for(golden: Path, parity_command: Command) -> None:
    done = parity_command("structure", golden, "structures:many")
    assert "  ... and 40 more; --all shows them" in done.out
    everything = parity_command("structure", golden, "structures:many", "--all")
    assert "--all" not in everything.out
    assert "  29.bias" in everything.out
    same = parity_command("structure", golden, "structures:build", "--all").out
    assert "\ntensors:\n  0.bias    same     float32 (4,), trains\n" in same


def test_depth_says_how_far_down_modules_are_listed(golden: Path, parity_command: Command) -> None:
    assert "\n    0  " in parity_command("structure", golden, golden).out
    assert "\n    0  " not in parity_command("structure", golden, golden, "--depth", 0).out


def test_json_for_programs(golden: Path, parity_command: Command) -> None:
    done = parity_command("structure", golden, "structures:unbiased", "--json")
    found = json.loads(done.out)
    assert done.status == 1
    assert (found["passed"], found["difference"], found["unexplained"]) == (False, -4, 0)
    assert found["shares"] == [
        {"pattern": "*.bias", "places": [0], "tensors": 1, "change": -4, "reason": "not in the candidate"}
    ]
    assert [row["verdict"] for row in found["tensors"]] == ["missing", "same", "same", "same"]


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        ("structures:number", "structures:number: it gave a int, and a torch.nn.Module is needed"),
        ("structures:gone", "structures:gone: AttributeError: "),
        ("nowhere:build", "nowhere:build: ModuleNotFoundError: No module named 'nowhere'"),
        ("names.toml", "names.toml is no model: give a golden's directory, a .safetensors file, a checkpoint"),
        ("model.nemo", "model.nemo is an archive: tar -xf model.nemo model_weights.ckpt, and give that"),
        ("gone.ckpt", "gone.ckpt cannot be read: No such file or directory"),
        ("nocase", "there is no case 'nocase' in golden"),
        ("golden/case/step_0/weights.safetensors", "is a file of the golden in "),
    ],
)
def test_trouble_is_one_line_and_status_2(golden: Path, parity_command: Command, candidate: str, why: str) -> None:
    Path("model.nemo").touch()
    done = parity_command("structure", golden, candidate)
    assert (done.status, done.out) == (2, "")
    assert why in done.err
    assert done.err.count("\n") == 1


def test_a_golden_of_values_alone_is_trouble(studio: Studio, parity_command: Command) -> None:
    studio.record(lambda parity: parity.assert_close("x", torch.ones(2)))
    path = studio.path / "golden" / "case"
    done = parity_command("structure", path, path)
    assert done.status == 2
    assert "the golden of case holds values, and no model: record it with parity.watch(model)" in done.err
