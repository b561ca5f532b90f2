"""``parity import``: an output saver's files as a golden, read without running anything that they hold."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cli_command import Command, training
from parity_studio import Studio
from torch import nn

from pytest_parity.golden import Golden
from pytest_parity.site import Site


@dataclass
class AudioBatch:
    """A class of a training script's own."""

    x: torch.Tensor


def burst() -> None:
    raise AssertionError("a pickle was read")


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (burst, ())


class Saver:
    """What the saver of the old guides leaves, step by step."""

    def __init__(self, path: Path, scale: float = 1.0) -> None:
        self.path = path
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)
        self.scale = scale

    def save(self, steps: int = 1) -> Path:
        for step in range(steps):
            self.step(step)
        self.pickled("metadata.pkl", {"seed": 42})
        self.pickled("model_structure.pkl", {"layers": []})
        return self.path

    def step(self, step: int) -> None:
        torch.manual_seed(step)
        x, y = torch.randn(5, 4), torch.randint(3, (5,))
        out = self.model(x).log_softmax(-1) * self.scale
        loss = nn.functional.nll_loss(out, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        named = dict(self.model.named_parameters())
        self.put(step, "batch.pt", {"x": x, "y": y})
        self.put(step, "forward_output.pt", out.detach())
        self.put(step, "loss.pt", loss.detach())
        self.put(step, "parameter_gradients.pt", {name: one.grad for name, one in named.items()})
        self.put(step, "parameter_weights.pt", {name: one.detach() for name, one in named.items()})
        self.pickled(f"step_{step}/layer_outputs.pkl", {"0": out.detach().numpy()})

    def put(self, step: int, name: str, value: object) -> None:
        folder = self.path / f"step_{step}"
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(value, folder / name)

    def pickled(self, name: str, value: object) -> None:
        (self.path / name).write_bytes(pickle.dumps(value))


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    return Saver(tmp_path / "saved")


@pytest.fixture
def take(tmp_path: Path, parity_command: Command) -> Callable:
    return lambda path, *args, case="old": parity_command(
        "import", path, "--case", case, "--root", tmp_path / "golden", *args
    )


def value(tmp_path: Path, site: str, step: int = 0) -> torch.Tensor:
    golden = Golden.find(tmp_path / "golden", "old")
    entry = golden.entry(step, Site.parse(site))
    assert entry is not None, [str(one.site) for one in golden.entries(step)]
    return golden.tensor(entry)


def test_every_file_of_tensors_becomes_sites(saver: Saver, take, tmp_path: Path):
    done = take(saver.save(2))
    assert done.status == 0, done.err
    assert done.out.startswith("old: imported 24 sites in steps 0-1, ")
    assert "  step 1: batch 2, output 1, loss 1, gradient 4, updated weight 4" in done.out.splitlines()
    folder = saver.path / "step_1"
    load = torch.load(folder / "parameter_gradients.pt", weights_only=True)
    assert torch.equal(value(tmp_path, "gradient/2.weight", 1), load["2.weight"])
    assert torch.equal(value(tmp_path, "output/outputs", 1), torch.load(folder / "forward_output.pt"))
    assert torch.equal(value(tmp_path, "loss/loss", 1), torch.load(folder / "loss.pt"))
    assert torch.equal(value(tmp_path, "batch/loader/y", 1), torch.load(folder / "batch.pt")["y"])
    assert torch.equal(
        value(tmp_path, "updated_weight/0.bias", 1), torch.load(folder / "parameter_weights.pt")["0.bias"]
    )
    golden = Golden.find(tmp_path / "golden", "old")
    assert golden.manifest["steps"]["1"]["loss"]["loss"] == pytest.approx(float(value(tmp_path, "loss/loss", 1)))
    golden.verify()


def test_pickles_are_not_read_and_it_says_so(saver: Saver, take):
    saver.save()
    saver.pickled("step_0/hook_data.pkl", Bomb())
    saver.pickled("metadata.pkl", Bomb())
    done = take(saver.path)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    at = lines.index("not read, a pickle runs whatever code it holds when it is read:")
    assert lines[at + 1] == "  metadata.pkl, model_structure.pkl, hook_data.pkl (step 0), layer_outputs.pkl (step 0)"
    assert "torch.save(pickle.load(open('hook_data.pkl', 'rb')), 'hook_data.pt')" in done.out
    told = json.loads(take(saver.path, "--json", "--replace").out)["refused"]
    assert {one["name"] for one in told} == {
        "metadata.pkl",
        "model_structure.pkl",
        "hook_data.pkl",
        "layer_outputs.pkl",
    }


def test_a_pickle_in_a_files_disguise_is_not_run(saver: Saver, take):
    saver.save()
    torch.save(Bomb(), saver.path / "step_0/loss.pt")
    (saver.path / "step_0/batch.pt").write_bytes(pickle.dumps(Bomb(), protocol=2))
    for name in ("batch.pt", "loss.pt"):
        done = take(saver.path)
        assert done.status == 2
        assert f"step_0/{name} holds a " in done.err
        assert (
            "test_import.burst, and reading that runs code of the file's choice, so nothing of it was read" in done.err
        )
        (saver.path / "step_0" / name).unlink()


def test_an_object_of_a_class_is_named(saver: Saver, take, tmp_path: Path):
    saver.save()
    saver.put(0, "batch.pt", AudioBatch(torch.ones(2)))
    done = take(saver.path)
    assert done.status == 2
    assert "batch.pt holds a test_import.AudioBatch, and reading that runs code" in done.err
    assert "or leave it out: --skip batch.pt" in done.err
    assert not (tmp_path / "golden/old").exists()


def test_a_file_that_is_left_out_is_named(saver: Saver, take):
    saver.save()
    saver.put(0, "batch.pt", AudioBatch(torch.ones(2)))
    done = take(saver.path, "--skip", "batch.pt")
    assert done.status == 0
    assert "not read, left out, as --skip asks:\n  batch.pt (step 0)\n" in done.out
    done = take(saver.path, "--replace", "--skip", "batches.pt")
    assert done.status == 2
    assert "--skip batches.pt: no step in" in done.err


def test_a_file_that_nobody_knows_is_named(saver: Saver, take):
    saver.save()
    saver.put(0, "extra.pt", torch.ones(1))
    assert "not read, the old saver wrote no such file:\n  extra.pt (step 0)\n" in take(saver.path).out


def test_arrays_are_to_be_tensors(saver: Saver, take):
    saver.save()
    saver.put(0, "layer_outputs.pt", {"0": np.ones(3)})
    done = take(saver.path)
    assert done.status == 2
    assert "layer_outputs.pt holds a numpy" in done.err
    assert "torch.from_numpy(array)" in done.err


@pytest.mark.parametrize("cut", [0, 10, -200])
def test_a_file_cut_short_is_trouble(saver: Saver, take, cut: int):
    path = saver.save() / "step_0/parameter_gradients.pt"
    path.write_bytes(path.read_bytes()[:cut])
    done = take(saver.path)
    assert done.status == 2
    assert f"{path} " in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("parameter_gradients.pt", [torch.ones(1)], "holds a list, and a table from names to tensors is needed"),
        ("parameter_gradients.pt", {"0.weight": "text"}, "'0.weight' is a str, and a tensor or None is needed"),
        (
            "layer_outputs.pt",
            {"0": {"output": torch.ones(1), "grad_input": None}},
            "'0' holds 'grad_input'; inputs and",
        ),
    ],
)
def test_what_holds_something_else_is_trouble(saver: Saver, take, name: str, content: object, message: str):
    saver.save()
    saver.put(0, name, content)
    done = take(saver.path)
    assert done.status == 2
    assert message in done.err


def test_layers_that_were_turned_into_tensors_are_activations(saver: Saver, take, tmp_path: Path):
    saver.save()
    x = torch.ones(2)
    saver.put(0, "layer_outputs.pt", {"0": {"inputs": (x,), "outputs": x * 2}, "1": (x * 3, x * 4), "2": x * 5})
    assert take(saver.path).status == 0
    for site, times in (
        ("input/0#0/in.0", 1),
        ("activation/0#0", 2),
        ("activation/1#0/out.0", 3),
        ("activation/1#0/out.1", 4),
        ("activation/2#0", 5),
    ):
        assert torch.equal(value(tmp_path, site), x * times)


def test_a_parameter_without_a_gradient_has_none(saver: Saver, take, tmp_path: Path):
    saver.save()
    saver.put(0, "parameter_gradients.pt", {"module.0.weight": torch.ones(8, 4), "module.0.bias": None})
    assert take(saver.path).status == 0
    entry = Golden.find(tmp_path / "golden", "old").entry(0, Site.parse("gradient/0.bias"))
    assert entry is not None
    assert entry.dtype == "none"


def test_a_loss_may_be_a_number_or_in_a_table(saver: Saver, take, tmp_path: Path):
    saver.save(2)
    saver.put(0, "loss.pt", 1.5)
    saver.put(1, "loss.pt", {"loss": torch.tensor(2.5)})
    assert take(saver.path).status == 0
    assert [float(value(tmp_path, "loss/loss", step)) for step in (0, 1)] == [1.5, 2.5]


def test_a_golden_that_is_there_is_not_replaced_unasked(saver: Saver, take, tmp_path: Path):
    Studio(tmp_path, "old").record(training())
    before = (tmp_path / "golden/old/golden.json").read_bytes()
    done = take(saver.save())
    assert done.status == 2
    assert "is there already; --replace puts this in its place" in done.err
    assert (tmp_path / "golden/old/golden.json").read_bytes() == before
    assert take(saver.path, "--replace").status == 0


def test_a_failing_import_leaves_the_golden_that_was_there(saver: Saver, take, tmp_path: Path):
    assert take(saver.save(2)).status == 0
    before = sorted((path, path.read_bytes()) for path in (tmp_path / "golden").rglob("*") if path.is_file())
    saver.put(1, "loss.pt", SimpleNamespace(x=1))
    assert take(saver.path, "--replace").status == 2
    assert before == sorted((path, path.read_bytes()) for path in (tmp_path / "golden").rglob("*") if path.is_file())


def test_importing_twice_gives_the_same_bytes(saver: Saver, take, tmp_path: Path):
    take(saver.save(2))
    first = {path.name: path.read_bytes() for path in (tmp_path / "golden/old").rglob("*") if path.is_file()}
    take(saver.path, "--replace")
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "golden/old").rglob("*") if path.is_file()}


def test_a_directory_that_is_none_of_a_savers_is_trouble(saver: Saver, take, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert (
        "holds no step_<N>, and so is not what an output saver left; it holds nothing" in take(tmp_path / "empty").err
    )
    assert f"is one step; give the directory that holds it: {saver.path}" in take(saver.save() / "step_0").err
    assert "is no directory; give the one that holds step_0, step_1, ..." in take(tmp_path / "none").err
    (saver.path / "step_3").mkdir()
    done = take(saver.path)
    assert done.status == 2
    assert "step_3 has nothing to import: it holds nothing, and what is read is batch.pt, " in done.err


def test_two_directories_of_one_step_are_trouble(saver: Saver, take):
    """One of them would be left out, and nobody would know."""
    saver.save()
    (saver.path / "step_0").rename(saver.path / "step_00")
    saver.step(0)
    done = take(saver.path)
    assert done.status == 2
    assert f"{saver.path / 'step_0'} and {saver.path / 'step_00'} are both step 0; leave one of them there" in done.err


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_holds_code_is_refused_in_one_line(saver: Saver, take, recwarn: pytest.WarningsRecorder):
    saver.save()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), saver.path / "step_0/batch.pt")
    recwarn.clear()
    done = take(saver.path)
    assert (done.status, len(recwarn)) == (2, 0)
    assert "batch.pt is a TorchScript archive, which holds code; --skip batch.pt leaves it out" in done.err


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (torch.tensor(0.1).item(), torch.float32),
        (float("nan"), torch.float32),
        (0.1, torch.float64),
        (1e300, torch.float64),
    ],
)
def test_a_loss_that_was_a_number_has_the_dtype_that_it_came_from(
    saver: Saver, take, tmp_path: Path, number: float, dtype: torch.dtype
):
    """``loss.item()`` of one side is compared with the loss of the other."""
    saver.save()
    saver.put(0, "loss.pt", {"loss": number})
    assert take(saver.path).status == 0
    loss = value(tmp_path, "loss/loss")
    assert loss.dtype is dtype
    assert loss.item() == pytest.approx(number, rel=0, abs=0, nan_ok=True)
