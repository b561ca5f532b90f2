"""``parity compare`` of what ``parity import`` made: no structure was recorded, and the tensors tell what they can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_command import Command, Done
from parity_studio import Studio
from test_import import Saver


@pytest.fixture
def compared(tmp_path: Path, parity_command: Command) -> Callable[..., Done]:
    """Import two directories, and compare them."""

    def run(reference: Path, candidate: Path, *arguments: object) -> Done:
        root = tmp_path / "golden"
        for case, path in (("one", reference), ("other", candidate)):
            assert parity_command("import", path, "--case", case, "--root", root, "--replace").status == 0
        return parity_command("compare", "one", "other", "--root", root, *arguments)

    return run


def test_two_runs_of_one_program_agree(tmp_path: Path, compared):
    done = compared(Saver(tmp_path / "a").save(2), Saver(tmp_path / "b").save(2))
    assert done.status == 0, done.out
    assert "no divergence: 24 of 24 sites compared in steps 0-1: 24 equal" in done.out
    assert "structure (as the recorded tensors tell; no structure was recorded)" in done.out
    assert "  67 parameters in 4 tensors in the reference, 67 parameters in 4 tensors in the candidate" in done.out


def test_what_differs_is_found(tmp_path: Path, compared):
    done = compared(Saver(tmp_path / "a").save(), Saver(tmp_path / "b", scale=1.01).save())
    assert done.status == 1
    assert "first divergence: step 0: the output outputs is the first site that differs" in done.out
    assert "gradients: 0 of 4 match (0.0%): 4 differs" in done.out


def test_another_batch_comes_first(tmp_path: Path, compared):
    other = Saver(tmp_path / "b", scale=1.01)
    other.save()
    other.put(0, "batch.pt", {"x": torch.zeros(5, 4), "y": torch.zeros(5, dtype=torch.int64)})
    done = compared(Saver(tmp_path / "a").save(), other.path)
    assert done.status == 1
    assert "first divergence: the data differs from step 0 on: " in done.out


def test_batches_in_another_order_are_said_to_be(tmp_path: Path, compared):
    other = Saver(tmp_path / "b")
    other.save(2)
    batches = [(other.path / f"step_{step}/batch.pt").read_bytes() for step in range(2)]
    for step in range(2):
        (other.path / f"step_{step}/batch.pt").write_bytes(batches[1 - step])
    done = compared(Saver(tmp_path / "a").save(2), other.path)
    assert done.status == 1
    assert "first divergence: the data differs from step 0 on: batch 0 here is the golden's batch 1 (order)" in done.out


def test_another_shape_is_a_difference_of_structure(tmp_path: Path, compared):
    other = Saver(tmp_path / "b")
    other.model[0] = torch.nn.Linear(4, 8, bias=False)
    other.model[2] = torch.nn.Linear(8, 5)
    other.optimizer = torch.optim.AdamW(other.model.parameters())
    done = compared(Saver(tmp_path / "a").save(), other.save())
    assert done.status == 1
    assert "  3 of 4 tensors in common; of these 1 match in shape, 3 in dtype" in done.out
    assert "first divergence: 0.bias: the reference has it, the candidate has not" in done.out


def test_a_step_that_was_not_saved_is_said(tmp_path: Path, compared):
    done = compared(Saver(tmp_path / "a").save(3), Saver(tmp_path / "b").save(2), "--step", "2")
    assert done.status == 2
    assert "step 2 is not in the candidate; it has steps 0-1" in done.err


def test_a_name_map_holds_here_too(tmp_path: Path, compared):
    other = Saver(tmp_path / "b")
    other.save()
    for name in ("parameter_gradients.pt", "parameter_weights.pt"):
        held = torch.load(other.path / "step_0" / name, weights_only=True)
        other.put(0, name, {f"net.{key}": one for key, one in held.items()})
    names = tmp_path / "names.toml"
    names.write_text('[names]\n"net.{i}.weight" = "{i}.weight"\n"net.{i}.bias" = "{i}.bias"\n', encoding="utf-8")
    first = Saver(tmp_path / "a").save()
    assert compared(first, other.path).status == 1
    done = compared(first, other.path, "--names", names)
    assert done.status == 0, done.out


def test_rules_about_modules_and_calls_of_which_the_saver_knew_nothing_are_no_slip(tmp_path: Path, compared):
    other = Saver(tmp_path / "b")
    other.save()
    for name in ("parameter_gradients.pt", "parameter_weights.pt"):
        held = torch.load(other.path / "step_0" / name, weights_only=True)
        other.put(0, name, {f"net.{key}": one for key, one in held.items()})
    names = tmp_path / "names.toml"
    further = '"mel.basis" = "features.fb"\n"net.1#0" = "act#1"\n"net.1" = "act"\n'
    names.write_text(f'[names]\n"net.{{i}}" = "{{i}}"\n{further}', encoding="utf-8")
    first = Saver(tmp_path / "a").save()
    done = compared(first, other.path, "--names", names)
    assert done.status == 0, done.out
    names.write_text('[names]\n"nett.{i}" = "{i}"\n', encoding="utf-8")
    assert compared(first, other.path, "--names", names).status == 1


def test_with_a_recording_of_today(tmp_path: Path, parity_command: Command):
    """The kinds that the saver did not know are left out, and the line says which."""
    old = Saver(tmp_path / "a")
    old.save()
    assert parity_command("import", old.path, "--case", "old", "--root", tmp_path / "golden").status == 0

    def body(scale: float):
        def run(parity):
            new = Saver(tmp_path / "unused", scale)
            torch.manual_seed(0)
            batch = {"x": torch.randn(5, 4), "y": torch.randint(3, (5,))}
            with parity.watch(new.model, optimizer=new.optimizer) as watch:
                for one in watch.steps([batch]):
                    out = new.model(one["x"]).log_softmax(-1) * scale
                    loss = torch.nn.functional.nll_loss(out, one["y"])
                    new.optimizer.zero_grad()
                    loss.backward()
                    new.optimizer.step()
                    parity.assert_outputs(out)
                    parity.assert_loss(loss)

        return run

    Studio(tmp_path, "new").record(body(1.0), marker=None)
    done = parity_command("compare", "old", "new", "--root", tmp_path / "golden", "--json")
    found = json.loads(done.out)["comparison"]
    said = "only the candidate has these kinds, and the reference was imported: weight, input, activation"
    assert any(note.startswith(said) for note in found["notes"])
    kinds = {"gradient", "updated_weight", "loss", "output", "batch"}
    assert set(found["kinds"]) == kinds


@pytest.mark.parametrize("bent", [False, True])
def test_what_does_not_train_is_no_difference_to_a_recording_of_today(
    tmp_path: Path, parity_command: Command, *, bent: bool
):
    """A saver of parameters wrote no buffer, and ``None`` for the gradient of what is frozen; a recording has neither so."""

    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
        model[0].bias.requires_grad_(False)
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    def stepped(model: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> torch.Tensor:
        loss = model(x).pow(3).sum()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    model, optimizer = made()
    loss = stepped(model, optimizer, x)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert gradients["0.bias"] is None
    if bent:
        gradients["1.bias"] = None
    saved = {
        "batch": x,
        "loss": loss.detach(),
        "parameter_gradients": gradients,
        "parameter_weights": {name: parameter.detach() for name, parameter in model.named_parameters()},
    }
    (tmp_path / "old" / "step_0").mkdir(parents=True)
    for name, value in saved.items():
        torch.save(value, tmp_path / "old" / "step_0" / f"{name}.pt")
    assert parity_command("import", tmp_path / "old", "--case", "old", "--root", tmp_path / "golden").status == 0

    def run(parity):
        model, optimizer = made()
        with parity.watch(model, optimizer=optimizer) as watch:
            for batch in watch.steps([x]):
                parity.assert_loss(stepped(model, optimizer, batch))

    Studio(tmp_path, "new").record(run, marker=None)
    done = parity_command("compare", "old", "new", "--root", tmp_path / "golden")
    assert done.status == bent, done.out
    assert (
        "says nothing of 0.bias, 1.num_batches_tracked, 1.running_mean, 1.running_var, which do not train" in done.out
    )
    assert ("gradient/1.bias" in done.out) == bent
    assert (
        "says nothing of"
        not in parity_command("compare", "old", "new", "--root", tmp_path / "golden", "--kind", "loss").out
    )
