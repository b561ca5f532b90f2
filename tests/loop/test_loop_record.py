"""``with record(...)``: a loop of one's own as the reference."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_loop import batches, made, train
from torch import nn

from pytest_parity import Golden, GoldenError, Kind, UsageError, check, record
from pytest_parity.golden.cases import cases
from pytest_parity.session.loop import Loop


def recorded(**options: Any) -> Loop:
    model, optimizer = made()
    with record("golden", "case", model, optimizer, **options) as run:
        train(run, model, optimizer)
    return run


def content(place: Path) -> dict[str, bytes]:
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_every_step_is_in_the_golden_and_the_run_says_so(place: Path) -> None:
    run = recorded()
    assert run.recorded is not None
    assert run.recorded.steps == (0, 1, 2)
    assert str(run).startswith(f"case: recorded {run.recorded.sites} sites in steps 0-2, ")
    with Golden.find(place / "golden", "case") as golden:
        kinds = {entry.site.kind for entry in golden.entries(1)}
        assert torch.equal(golden.tensor(golden.entries(1)[0]), batches()[1])
    assert kinds == set(Kind) - {Kind.ACTIVATION_GRADIENT, Kind.PROBE}


def test_a_path_is_a_directory_too(place: Path) -> None:
    model, optimizer = made()
    with record(place / "there", "nest/tiny", model, optimizer) as run:
        train(run, model, optimizer)
    assert cases(place / "there") == ("nest/tiny",)


def test_one_step_needs_no_loop() -> None:
    model, _ = made()
    with record("golden", "case", model) as run:
        model(torch.ones(2, 4)).sum().backward()
    assert run.recorded is not None
    assert run.recorded.steps == (0,)
    assert run.recorded.sites > len(list(model.parameters()))


def test_the_steps_that_are_kept_keep_their_numbers() -> None:
    model, optimizer = made()
    seen = []
    with record("golden", "case", model, optimizer) as run:
        for batch in run.steps(batches(6), keep=[0, 4]):
            seen.append(run.step)
            optimizer.zero_grad()
            model(batch).sum().backward()
            optimizer.step()
    assert seen == [0, 1, 2, 3, 4, 5]
    assert run.recorded is not None
    assert run.recorded.steps == (0, 4)
    seen.clear()
    model, optimizer = made(seed=1)
    with check("golden", "case", model, optimizer, weights=True) as run:
        for batch in run.steps([]):
            seen.append(run.step)
            optimizer.zero_grad()
            model(batch).sum().backward()
            optimizer.step()
    assert seen == [0, 4]


def test_several_optimizers() -> None:
    model, _ = made()
    both = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.Adam(model[3].parameters())]
    with record("golden", "case", model, both) as run:
        for batch in run.steps(batches(1)):
            model(batch).sum().backward()
            for optimizer in both:
                optimizer.step()
    with Golden.find(Path("golden"), "case") as golden:
        assert golden.manifest["settings"]["optimizers"] == ["SGD", "Adam"]
    assert run.recorded is not None


def test_an_exception_leaves_the_golden_that_was_there(place: Path) -> None:
    recorded()
    before = content(place)
    model, optimizer = made(seed=1)

    def broken() -> None:
        with record("golden", "case", model, optimizer) as run:
            train(run, model, optimizer)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert content(place) == before


def test_an_interrupt_leaves_no_golden_where_there_was_none(place: Path) -> None:
    model, optimizer = made()

    def interrupted() -> None:
        with record("golden", "case", model, optimizer) as run:
            for batch in run.steps(batches()):
                model(batch)
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(place) == {}


def test_the_model_is_let_go() -> None:
    model, _ = made()
    with record("golden", "case", model):
        model(torch.ones(2, 4))
    assert not any(module._forward_hooks for module in model.modules())


def test_the_generators_are_as_before() -> None:
    model, optimizer = made()
    random.seed(1)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    with record("golden", "case", model, optimizer) as run:
        train(run, model, optimizer)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]


def test_rng_off_draws_as_without_a_recording() -> None:
    model, optimizer = made()
    with record("golden", "case", model, optimizer, rng="off") as run:
        train(run, model, optimizer)
    drawn = torch.rand(1)
    plain, its = made()

    class Bare:
        def steps(self, loader: Any) -> Any:
            return loader

        def assert_step(self, **_: Any) -> None: ...

    train(Bare(), plain, its)  # type: ignore[arg-type]
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize("body", ["nothing", "no batch taken"])
def test_a_body_that_takes_no_step_is_an_error(place: Path, body: str) -> None:
    model, optimizer = made()

    def run_it() -> None:
        with record("golden", "case", model, optimizer) as run:
            if body != "nothing":
                run.steps(batches())  # a generator that nobody asks for a batch

    with pytest.raises(UsageError) as caught:
        run_it()
    assert str(caught.value) == (
        "record('golden', 'case', ...): its body never took a step, so nothing of the Sequential was seen; inside the with "
        "belongs: for batch in run.steps(loader): ... (or, without steps, one call of it)"
    )
    assert content(place) == {}


def test_nothing_is_recorded_after_the_with(place: Path) -> None:
    run = recorded()
    before = content(place)
    over = (
        r"the with of record\('golden', 'case', \.\.\.\) is over; what is to be recorded or compared belongs inside it"
    )
    for late in (
        lambda: run.assert_loss(torch.ones(())),
        lambda: run.assert_close("x", torch.ones(1)),
        lambda: run.steps(batches()),
    ):
        with pytest.raises(UsageError, match=over):
            late()
    assert content(place) == before


def test_without_the_body_as_a_function_there_is_no_noise_floor() -> None:
    run = recorded()
    with Golden.find(Path("golden"), "case") as golden:
        assert golden.noise is None
    assert "no noise floor: the body of a with cannot be run again;" in str(run)
    assert "record(..., again=train)" in str(run)


def test_the_body_as_a_function_gives_one_and_the_model_is_as_the_body_left_it() -> None:
    model, optimizer = made()
    with record("golden", "case", model, optimizer, again=lambda run: train(run, model, optimizer)) as run:
        train(run, model, optimizer)
    with Golden.find(Path("golden"), "case") as golden:
        assert golden.noise is not None
        assert golden.noise.draws == 3
    assert "noise floor from 3 draws: 4 further runs" in str(run)
    plain, its = made()
    with record("without", "case", plain, its) as run:
        train(run, plain, its)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    state = [one["exp_avg"] for one in optimizer.state.values()]
    assert all(torch.equal(a, b["exp_avg"]) for a, b in zip(state, its.state.values(), strict=True))


def test_a_function_that_is_not_the_body_gives_no_floor_and_the_note_says_why() -> None:
    model, optimizer = made()
    with record("golden", "case", model, optimizer, again=lambda run: train(run, model, optimizer, scale=2)) as run:
        train(run, model, optimizer)
    assert run.recorded is not None
    assert any(
        note.startswith(
            "no noise floor: run again, unchanged, the test does not give the same: gradient/0.weight of step 0"
        )
        for note in run.recorded.notes
    )


def test_what_the_golden_tells_of_its_origin(place: Path) -> None:
    recorded(provenance={"nemo": "2.3", "data": ["dummy"]}, config={"model": {"width": 6}}, seed=7)
    manifest = json.loads((place / "golden/case/golden.json").read_text())
    assert (manifest["provenance"]["nemo"], manifest["provenance"]["data"]) == ("2.3", ["dummy"])
    assert manifest["settings"]["config"] == {"model": {"width": 6}}
    assert manifest["settings"]["seed"] == 7


def test_recording_again_says_what_moved_and_why() -> None:
    recorded()
    model, optimizer = made(lr=2e-2)
    with record("golden", "case", model, optimizer, reason="twice the rate") as run:
        train(run, model, optimizer)
    assert "in place of the golden that was there" in str(run)
    assert "reason: twice the rate" in str(run)
    with Golden.find(Path("golden"), "case") as golden:
        assert [line["reason"] for line in golden.manifest["history"]] == ["twice the rate"]


def test_under_ci_a_golden_is_not_replaced_without_a_reason(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    recorded()  # the first needs none
    before = content(place)
    with pytest.raises(UsageError) as caught:
        recorded()
    assert str(caught.value) == (
        "case has a golden in golden, and under CI it is not recorded again without a reason, which goes into its "
        "history: record('golden', 'case', ..., reason='the loss is a mean now')"
    )
    assert content(place) == before
    recorded(reason="the same again")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rng": "none"}, "record(rng='none'): it is one of keyed, global, off"),
        ({"kinds": "activation"}, "kinds='activation' is one string, and several are asked for: ('activation',)"),
        ({"kinds": ["activations"]}, "'activations' is none of batch, weight"),
        ({"replay": "mask"}, "record(replay='mask'): it is one string, and several are asked for: ('mask',)"),
        ({"replay": ["mask"]}, "replay='mask' matches no module"),
        ({"again": print, "draws": 0}, "record(draws=0): the draws of a noise floor are 1 or more"),
        ({"provenance": {"environment": {}}}, "record(provenance=...) has 'environment'"),
        ({"reason": "env"}, "the reason 'env' says that the environment of case is another"),
    ],
)
def test_arguments_that_make_no_sense(place: Path, options: dict[str, Any], message: str) -> None:
    if "reason" in options:
        recorded()
    before = content(place)
    with pytest.raises(UsageError, match=re.escape(message)):
        recorded(**options)
    assert content(place) == before


def test_values_that_a_golden_cannot_keep_are_refused_before_the_training() -> None:
    for name in ("provenance", "config"):
        with pytest.raises(
            GoldenError, match=rf"{name}\.path is a PosixPath, and a golden's manifest keeps plain values"
        ):
            recorded(**{name: {"path": Path("x")}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((nn.Linear(1, 1), "golden", "case"), "the directory of goldens comes first, and it was given a Linear"),
        (("golden", nn.Linear(1, 1), "case"), "the second is the case's name, and it was given a Linear"),
        (("golden", "case", "model"), "the third is a torch.nn.Module, and it was given a str"),
        (("golden", "../case", nn.Linear(1, 1)), "'../case' cannot be a case: a component starts with a dot"),
        (
            ("golden", "case", nn.Linear(1, 1), 3),
            "optimizer= takes torch optimizers, one or several, and was given a int",
        ),
    ],
)
@pytest.mark.parametrize("door", [record, check])
def test_arguments_in_another_order(door: Any, arguments: tuple[Any, ...], message: str) -> None:
    if door is check:
        recorded()

    def enter() -> None:
        with door(*arguments):
            pass

    with pytest.raises(UsageError, match=re.escape(message)):
        enter()
