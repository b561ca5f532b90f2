"""``parity names``: what it writes, what it says, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cli_command import Command
from parity_studio import Studio
from safetensors.torch import save_file
from torch import nn

from pytest_parity.names import NameMap

FACTORY = """
import torch
from torch import nn

def build(seed=1):
    torch.manual_seed(seed)
    return nn.ModuleDict({"attn": nn.ModuleDict({"qkv": nn.Linear(4, 12), "proj": nn.Linear(4, 4)}), "norm": nn.LayerNorm(4)})

def broken():
    raise RuntimeError("no checkpoint")

def number():
    return 3

def script():
    raise SystemExit(2)

def empty():
    with torch.device("meta"):
        return build()
"""


class Reference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v, self.out = (nn.Linear(4, 4) for _ in range(4))
        self.ln = nn.LayerNorm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ln(self.out(self.q(x) + self.k(x) + self.v(x)))


def state() -> dict[str, torch.Tensor]:
    """The candidate's state dict, converted from the reference's."""
    made = Reference().state_dict()
    fused = {f"attn.qkv.{kind}": torch.cat([made[f"{one}.{kind}"] for one in "qkv"]) for kind in ("weight", "bias")}
    other = {"attn.proj": "out", "norm": "ln"}
    return {
        **fused,
        **{f"{own}.{kind}": made[f"{name}.{kind}"] for own, name in other.items() for kind in ("weight", "bias")},
    }


@pytest.fixture
def golden(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Path:
    def body(parity) -> None:
        with parity.watch(model := Reference()):
            model(torch.ones(2, 4)).sum().backward()

    studio.record(body)
    monkeypatch.chdir(studio.path)
    (studio.path / "factory.py").write_text(FACTORY)
    save_file(state(), studio.path / "state.safetensors")
    return studio.path / "golden" / "case"


RULES = '[names]\n"attn.proj" = "out"\n"norm" = "ln"\n"attn.qkv" = { concat = ["q", "k", "v"], dim = 0 }\n'


def test_a_converted_state_dict_proves_the_whole_map(golden: Path, parity_command: Command) -> None:
    done = parity_command("names", golden, "state.safetensors")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(
        f"# Name map of state.safetensors (candidate) to {golden} (reference), by `parity names`.\n"
    )
    assert "# 6 of the candidate's 6 tensors are proved" in done.out
    assert sorted(done.out[done.out.index("[names]") :].splitlines()) == sorted(RULES.splitlines())


def test_the_file_is_written_once_and_read_back(golden: Path, parity_command: Command) -> None:
    done = parity_command("names", golden, "state.safetensors", "--model", "factory:build", "--out", "names.toml")
    assert (done.status, done.out) == (0, "names.toml: of the candidate's tensors 6 proved\n")
    assert NameMap.build("names.toml").translate("attn.proj.bias") == "out.bias"
    again = parity_command("names", golden, "state.safetensors", "-o", "names.toml")
    assert again.status == 2
    assert "names.toml is there already, and may hold what a person wrote" in again.err


def test_what_wrappers_add_to_a_checkpoints_names_is_left_out(golden: Path, parity_command: Command) -> None:
    save_file({f"module._orig_mod.{name}": value for name, value in state().items()}, "wrapped.safetensors")
    done = parity_command("names", golden, "wrapped.safetensors", "--model", "factory:build")
    assert (done.status, done.out[done.out.index('"') :]) == (
        0,
        parity_command("names", golden, "state.safetensors").out.partition("[names]\n")[2],
    )


def test_a_model_with_weights_of_its_own_is_all_guesses(golden: Path, parity_command: Command) -> None:
    done = parity_command("names", "case", "--root", golden.parent, "--model", "factory:build")
    assert done.status == 1
    assert '#? "attn.proj.weight"' not in done.out  # four of the shape there, one here
    assert "# In the candidate alone: attn.qkv.weight, attn.qkv.bias, attn.proj.weight" in done.out


def test_another_golden_is_a_candidate_too(golden: Path, parity_command: Command) -> None:
    done = parity_command("names", golden, golden)
    assert done.status == 0
    assert done.out.endswith("[names]\n")  # every name is its own


def test_json_for_programs(golden: Path, parity_command: Command) -> None:
    done = parity_command("names", golden, "state.safetensors", "--json")
    found = json.loads(done.out)
    assert done.status == 0
    assert len(found["proved"]) == 6
    (weight,) = [match for match in found["proved"] if match["candidate"] == "attn.qkv.weight"]
    joined = {"concat": ["q.weight", "k.weight", "v.weight"], "dim": 0}
    assert weight == {"candidate": "attn.qkv.weight", "reference": joined, "why": "equal content, joined"}
    assert (found["guesses"], found["ties"], found["candidate_alone"], found["reference_alone"]) == ([], [], [], [])
    assert "[names]" in found["toml"]


def test_ties_are_refused_and_listed(studio: Studio, golden: Path, parity_command: Command) -> None:
    def body(parity) -> None:
        model = nn.ModuleDict({"first": nn.LayerNorm(4), "second": nn.LayerNorm(4)})
        with parity.watch(model):
            model["first"](torch.ones(2, 4)).sum().backward()

    studio.record(body)
    save_file({f"{name}.{i}": torch.full((4,), float(i)) for name in "ab" for i in range(2)}, "twins.safetensors")
    done = parity_command("names", golden, "twins.safetensors")
    assert done.status == 1
    assert done.out.splitlines()[2:] == [
        "",
        "[names]",
        "",
        "# TIES. These hold the same, and nothing tells which is which; write the rules yourself.",
        "# all 0.0, float32 (4,): a.0, b.0 (candidate), first.bias, second.bias (reference)",
        "# all 1.0, float32 (4,): a.1, b.1 (candidate), first.weight, second.weight (reference)",
    ]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "there is no candidate: give its golden, its state dict (.safetensors), or --model module:factory"),
        (("--model", "factory"), "--model factory: write it as module:factory"),
        (("--model", "nowhere:build"), "--model nowhere:build: ModuleNotFoundError: No module named 'nowhere'"),
        (("--model", "factory:missing"), "--model factory:missing: AttributeError: "),
        (("--model", "factory:broken"), "--model factory:broken: RuntimeError: no checkpoint"),
        (("--model", "factory:number"), "--model factory:number: it gave a int, and a torch.nn.Module is needed"),
        (("--model", "factory:script"), "--model factory:script: SystemExit: 2"),
        (("--model", "factory:empty"), "its attn.qkv.weight is on the meta device and holds nothing"),
        (("names.toml",), "names.toml is neither a golden nor a .safetensors file"),
        (("golden/case/weights.safetensors",), "is a file of the golden in "),
        (("golden/case/step_0/gradients.safetensors",), "is a file of the golden in "),
        (("a_directory.safetensors",), "a_directory.safetensors is no golden"),
        (("state.safetensors", "-o", "nowhere/names.toml"), "--out nowhere/names.toml: there is no directory nowhere"),
        (("factory.py",), "factory.py is neither a golden nor a .safetensors file"),
        (("gone.safetensors",), "gone.safetensors"),
        (("bad.safetensors",), "bad.safetensors cannot be read as safetensors: "),
        (
            ("less.safetensors", "--model", "factory:build"),
            "less.safetensors is not of factory:build: 5 of its 6 tensors are not in it, attn.qkv.weight, attn.qkv.bias",
        ),
    ],
)
def test_trouble_is_one_line_and_status_2(
    golden: Path, parity_command: Command, arguments: tuple[str, ...], why: str
) -> None:
    Path("bad.safetensors").write_text("no")
    Path("a_directory.safetensors").mkdir()
    save_file({"norm.bias": torch.zeros(4)}, "less.safetensors")
    done = parity_command("names", golden, *arguments)
    assert done.status == 2
    assert why in done.err
    assert done.err.count("\n") == 1


def test_a_golden_without_weights_proves_nothing_and_says_so(studio: Studio, parity_command: Command) -> None:
    studio.record(lambda parity: parity.assert_close("x", torch.ones(2)))
    done = parity_command("names", studio.path / "golden" / "case", "--model", "factory:build")
    assert (done.status, done.out) == (2, "")
    assert "holds no weights; record it with the kind 'weight'" in done.err
