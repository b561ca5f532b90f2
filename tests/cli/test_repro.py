"""``parity repro``: the module to blame, alone, in a script that runs where there is torch and no more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_command import Command, Done
from parity_studio import Body, Studio
from reproduced import ALL, Alone, Attention, Blocks, Convolution, Norms, Recurrent, Tied, names, training
from safetensors.torch import load_file, save_file

from pytest_parity import ParityFailure
from pytest_parity.result import Comparison, Fault
from pytest_parity.session.parity import Parity
from pytest_parity.session.reproducing import writing
from pytest_parity.settings import Mode

Repro = Callable[..., Done]


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    run = Alone()
    yield run
    run.close()


@pytest.fixture
def repro(studio: Studio, parity_command: Command, alone: Alone, monkeypatch: pytest.MonkeyPatch) -> Repro:
    def run(script: Path) -> tuple[int, str]:
        ran = alone(script.parent)
        return ran.status, (ran.out if ran.status in {0, 1} else ran.out + ran.err).strip()

    monkeypatch.setattr(writing, "_run", run)
    places = ("--left", studio.path / "out", "--root", studio.path / "golden", "--out", studio.path / "repro")
    return lambda *args: parity_command("repro", studio.case, *places, *args)


@pytest.fixture
def broken(studio: Studio) -> Callable[[Body, Body], Path]:
    """Record the one, check the other, which fails; the directory that a reproduction goes to."""

    def run(reference: Body, candidate: Body, **options: Any) -> Path:
        studio.record(reference, **options)
        with pytest.raises(ParityFailure):
            studio.check(candidate, collect=True)
        return studio.path / "repro"

    return run


def isolated(studio: Studio, body: Body) -> Comparison:
    """A check that fails, with isolation behind it."""
    parity = Parity(studio.settings(Mode.CHECK))

    def whole() -> None:
        body(parity)
        parity.finish()

    try:
        with pytest.raises(ParityFailure) as failed:
            whole()
        assert failed.value.comparison is not None
        return parity.isolated(failed.value.comparison, parity.repeating(body))
    finally:
        parity.abandon()


def mend(directory: Path, key: str, name: str, value: Any) -> None:
    """Set a setting of a module as the reference has it."""
    told = json.loads((directory / "module.json").read_text())
    assert told["modules"][key]["attributes"][name] != value
    told["modules"][key]["attributes"][name] = value
    (directory / "module.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("kind", "wrong", "blamed", "setting", "right"),
    [
        (Norms, (1e-2,), "norm", ("norm", "eps"), 1e-5),
        (Blocks, (1.1,), "blocks.1", ("blocks.1", "scale"), 1.0),
        (Blocks, (1.0, 0.4), "blocks.1.drop", ("blocks.1.drop", "p"), 0.5),
        (Recurrent, (0.5,), "rnn", ("rnn", "dropout"), 0.0),
        (Attention, (1,), "att", ("att", "num_heads"), 2),
        (Tied, (0.2,), "act", ("act", "negative_slope"), 0.1),
    ],
    ids=["norm", "between", "dropout", "lstm", "attention", "tied"],
)
def test_it_differs_as_the_check_did_and_agrees_once_it_is_mended(
    broken, repro: Repro, alone: Alone, *, kind, wrong, blamed, setting, right
):
    directory = broken(training(kind), training(kind, *wrong))
    done = repro()
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"case: {blamed}, written to {directory}")
    ran = alone(directory)
    assert ran.status == 1, ran.err
    assert f"activation/{blamed}#0" in ran.out
    if setting == ("att", "num_heads"):
        mend(directory, "att", "head_dim", 2)
    mend(directory, *setting, right)
    ran = alone(directory)
    assert (ran.status, ran.err) == (0, "")
    assert "differs" not in ran.out
    assert "agree with the reference" in ran.out


def test_a_convolution_at_its_border(broken, repro: Repro, alone: Alone):
    directory = broken(training(Convolution), training(Convolution, "reflect"))
    repro()
    assert "activation/conv#0" in alone(directory).out
    mend(directory, "conv", "padding_mode", "zeros")
    assert alone(directory).status == 0


def test_a_buffer_that_a_forward_leaves_behind(broken, repro: Repro, alone: Alone):
    directory = broken(training(Convolution), training(Convolution, "zeros", 0.3))
    repro()
    ran = alone(directory)
    assert ran.status == 1
    assert "updated_weight/norm.running_mean" in ran.out
    mend(directory, "norm", "momentum", 0.1)
    assert alone(directory).status == 0


def test_a_weight_that_is_another(broken, repro: Repro, alone: Alone):
    def off(value: float) -> Body:
        class Off(Norms):
            def forward(self, x):
                with torch.no_grad():
                    self.last.bias.add_(value)
                return super().forward(x)

        Off.__qualname__, Off.__module__ = "Off", Norms.__module__
        return training(Off)

    directory = broken(off(0.0), off(1.0))
    done = repro("--module", "last")
    assert done.status == 1  # its forward is right; the weight that it computed with is gone
    weights = load_file(directory / "weights.safetensors")
    weights["last.bias"] += 1.0
    save_file(weights, directory / "weights.safetensors")
    ran = alone(directory)
    assert ran.status == 1
    assert "activation/last#0" in ran.out
    assert " 1 " in ran.out


def test_gradients_are_compared_where_those_of_the_output_are_recorded(broken, repro: Repro, alone: Alone):
    directory = broken(training(Norms), training(Norms, 1e-2))
    repro()
    assert names(directory / "expected.safetensors") == [
        "activation/norm#0",
        "gradient/norm.bias",
        "gradient/norm.weight",
    ]
    assert "gradient/norm.weight  differs" in " ".join(alone(directory).out.split("\n"))
    assert "gradient" not in alone(directory, "--forward").out


def test_without_them_it_says_so(broken, repro: Repro):
    kinds = tuple(kind for kind in ALL if kind != "activation_gradient")
    broken(training(Norms, kinds=kinds), training(Norms, 1e-2, kinds=kinds))
    assert "gradients are not compared: the golden has no activation_gradient" in repro().out


def test_an_optimizers_step(broken, repro: Repro, alone: Alone):
    directory = broken(training(Norms), training(Norms, weight_decay=0.5))
    assert "case: AdamW, written to" in repro().out
    ran = alone(directory)
    assert ran.status == 1
    assert "updated_weight/first.weight" in ran.out
    told = json.loads((directory / "module.json").read_text())
    told["optimizer"]["groups"][0]["settings"]["weight_decay"] = 0.01
    (directory / "module.json").write_text(json.dumps(told))
    assert alone(directory).status == 0


def test_safetensors_is_used_where_it_is_installed(broken, repro: Repro, alone: Alone):
    directory = broken(training(Norms), training(Norms, 1e-2))
    repro()
    assert alone(directory, block=("pytest_parity",)).out == alone(directory).out


def test_the_noise_floor_decides_where_there_is_one(broken, repro: Repro, alone: Alone):
    directory = broken(training(Norms), training(Norms, 1e-2), draws=2)
    repro()
    ran = alone(directory)
    assert ran.status == 1
    assert " norm " in ran.out
    mend(directory, "norm", "eps", 1e-5)
    assert alone(directory).status == 0


def test_any_module_that_is_named(broken, repro: Repro, alone: Alone):
    directory = broken(training(Blocks), training(Blocks, 1.1))
    done = repro("--module", "blocks.0.down")
    assert done.status == 1
    assert "it agrees: what differs is elsewhere" in done.out
    assert alone(directory).status == 0


def test_the_later_call_of_a_module(broken, repro: Repro):
    directory = broken(training(Tied), training(Tied, 0.2))
    assert "case: act, written to" in repro("--module", "act#1").out
    assert names(directory / "expected.safetensors") == ["activation/act#1"]
    assert (
        "no output of act#2 in step 0: the module is called 2 times there, counted from #0"
        in repro("--module", "act#2").err
    )


def test_a_module_that_is_not_there(broken, repro: Repro):
    broken(training(Norms), training(Norms, 1e-2))
    done = repro("--module", "nrom")
    assert done.status == 2
    assert "the model of case has no such module; did you mean norm?" in done.err


def test_what_is_not_plain_is_named(broken, repro: Repro):
    def body(factor: float) -> Body:
        def run(parity) -> None:
            torch.manual_seed(0)
            model = parity.load(Norms())
            whole = model.norm.forward
            model.norm.forward = lambda x: whole(x) * factor
            with parity.watch(model):
                model(parity.input("x", lambda: torch.randn(3, 4))).square().mean().backward()

        return run

    broken(body(1.0), body(2.0))
    done = repro()
    assert "not plain, so left as the class has it, or out: norm.forward (" in done.out
    assert done.out.splitlines()[-1].endswith("what differs is in what was left out, elsewhere, or was mended since")
    assert done.status == 1


def test_a_class_inside_of_a_function_cannot_be_built_again(broken, repro: Repro):
    class Inside(Norms):
        pass

    broken(training(Inside), training(Inside, 1e-2))
    done = repro("--module", "(model)")
    assert done.status == 2
    assert "(model) cannot be built again: its class is Inside, defined inside of a function" in done.err
    assert repro().status == 0  # the norm is torch's


def test_without_recorded_inputs_it_says_what_to_record(broken, repro: Repro):
    kinds = ("activation", "output", "weight")
    broken(training(Norms, kinds=kinds), training(Norms, 1e-2, kinds=kinds))
    done = repro()
    assert done.status == 2
    assert "holds no inputs of modules (kinds= leaves them out), so norm cannot be run alone" in done.err


def test_a_value_of_the_tests_own_is_no_module(broken, repro: Repro):
    def body(factor: float) -> Body:
        def run(parity) -> None:
            torch.manual_seed(0)
            model = parity.load(Norms())
            with parity.watch(model):
                out = model(parity.input("x", lambda: torch.randn(3, 4)))
            parity.assert_loss(out.square().mean() * factor)

        return run

    broken(body(1.0), body(2.0))
    done = repro()
    assert done.status == 2
    assert "the loss is what differs, and the test's own code computes it of modules that agree" in done.err


def test_what_the_loop_does_with_gradients_is_no_modules_doing(studio: Studio, repro: Repro):
    def body(factor: float) -> Body:
        def run(parity) -> None:
            torch.manual_seed(0)
            model = parity.load(Norms())
            with parity.watch(model, kinds=("weight", "input", "activation", "activation_gradient", "gradient")):
                model(parity.input("x", lambda: torch.randn(3, 4))).square().mean().backward()
                for one in model.parameters():
                    assert one.grad is not None
                    one.grad *= factor

        return run

    studio.record(body(1.0), draws=2)
    found = isolated(studio, body(0.25))
    assert found.diagnosis is not None
    assert found.diagnosis.fault is Fault.LOOP
    done = repro()
    assert done.status == 2
    assert "so there is no module to write: look at what the loop does with them in step 0" in done.err


def test_a_backward_without_its_beginning_is_refused(broken, repro: Repro):
    kinds = ("weight", "input", "activation", "gradient")

    def body(factor: float) -> Body:
        def run(parity) -> None:
            torch.manual_seed(0)
            model = parity.load(Norms())
            with parity.watch(model, kinds=kinds):
                (model(parity.input("x", lambda: torch.randn(3, 4))).square().mean() * factor).backward()

        return run

    broken(body(1.0), body(2.0))
    done = repro()
    assert done.status == 2
    assert "record it with kinds=(..., 'activation_gradient')" in done.err
    assert "--module last" in done.err


def test_nothing_was_left(studio: Studio, repro: Repro):
    studio.record(training(Norms))
    assert "out: there is no such directory" in repro().err
    (studio.path / "out").mkdir()
    done = repro()
    assert done.status == 2
    assert "no failing check of case has left a model's description" in done.err
    assert done.err.rstrip().endswith("check it again: pytest --parity-case 'case'")


def test_a_case_that_is_misspelt_says_which_was_meant(studio: Studio, broken, parity_command: Command):
    broken(training(Norms), training(Norms, 1e-2))
    done = parity_command("repro", "cas", "--left", studio.path / "out", "--root", studio.path / "golden")
    assert done.status == 2
    assert done.err.rstrip().endswith("did you mean case?")


def test_a_golden_that_was_recorded_since_is_refused(studio: Studio, broken, repro: Repro):
    broken(training(Norms), training(Norms, 1e-2))
    studio.record(training(Norms, 1e-3))
    assert "is not the one that case was checked against" in repro().err


def test_a_directory_of_someone_elses_is_not_touched(broken, repro: Repro):
    directory = broken(training(Norms), training(Norms, 1e-2))
    directory.mkdir()
    (directory / "thesis.tex").write_text("mine")
    done = repro()
    assert (done.status, (directory / "thesis.tex").read_text()) == (2, "mine")
    assert "is there, and nothing that this command has written" in done.err


def test_it_may_be_written_again(broken, repro: Repro):
    broken(training(Norms), training(Norms, 1e-2))
    assert repro().status == 0
    assert repro().status == 0


def test_json_says_the_same(broken, repro: Repro):
    broken(training(Norms), training(Norms, 1e-2))
    told = json.loads(repro("--json").out)
    assert (told["module"], told["status"]) == ("norm", 1)
    assert told["said"][-1] == "norm: 3 of 3 differ" or told["said"][-1] == "norm: 2 of 3 differ"


def test_names_of_the_candidates_own(studio: Studio, repro: Repro, alone: Alone):
    class Renamed(torch.nn.Module):
        def __init__(self, eps: float) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(4, 8), torch.nn.LayerNorm(8, eps=eps)

        def forward(self, x):
            return self.b(self.a(x))

    def body(model, names=None) -> Body:
        def run(parity) -> None:
            torch.manual_seed(0)
            own = parity.load(model(), names=names)
            with parity.watch(own, names=names):
                own(parity.input("x", lambda: torch.randn(3, 4)))

        return run

    studio.record(body(lambda: torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.LayerNorm(8))))
    with pytest.raises(ParityFailure):
        studio.check(body(lambda: Renamed(1e-2), {"a": "0", "b": "1"}))
    assert "case: b, written to" in repro().out
    assert "case: b, written to" in repro("--module", "1").out
    mend(studio.path / "repro", "b", "eps", 1e-5)
    assert alone(studio.path / "repro").status == 0


def test_in_a_process_of_its_own(studio: Studio, broken, parity_command: Command):
    broken(training(Norms), training(Norms, 1e-2))
    places = ("--left", studio.path / "out", "--root", studio.path / "golden", "--out", studio.path / "repro")
    done = parity_command("repro", studio.case, *places)
    assert (done.status, done.err) == (0, "")
    assert "it shows the difference" in done.out


def test_a_source_that_cannot_be_imported_says_what_to_put_on_the_path(broken, repro: Repro, alone: Alone):
    directory = broken(training(Tied), training(Tied, 0.2))
    repro()
    told = json.loads((directory / "module.json").read_text())
    told["modules"]["act"]["class"] = "elsewhere.layers:Layer"
    told["roots"]["elsewhere.layers"] = "/home/me/project"
    (directory / "module.json").write_text(json.dumps(told))
    ran = alone(directory)
    assert ran.status == 2
    assert "elsewhere.layers cannot be imported" in ran.err
    assert "put /home/me/project on the path: PYTHONPATH=/home/me/project python" in ran.err


def test_isolations_own_bound_holds_where_it_was_measured(studio: Studio, repro: Repro):
    studio.record(training(Norms), draws=2)
    found = isolated(studio, training(Norms, 1e-2))
    assert found.isolation is not None
    first = found.isolation.faulty[0]
    assert (first.module, repro().status) == ("norm", 0)
    bound = json.loads((studio.path / "repro/module.json").read_text())["expected"][first.site]
    norm = float(load_file(studio.path / "repro/expected.safetensors")[first.site].double().norm())
    assert bound == {
        "what": "output",
        "name": "out",
        "gain": 0.0,
        "norm": pytest.approx(3 * first.relative / first.floors * norm),
    }
