"""What a failing check left, made the golden's: what is replaced, what is refused, and that nothing else moves."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from command import Command, training
from parity_studio import Studio

from pytest_parity import Golden, ParityFailure
from pytest_parity.golden import GoldenWriter
from pytest_parity.site import Kind, Site


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def accept(studio: Studio, parity_command: Command):
    return lambda *args: parity_command(
        "accept", "--out", studio.path / "out", "--root", studio.path / "golden", *args
    )


def fails(studio: Studio, body, **options) -> None:
    with pytest.raises(ParityFailure):
        studio.check(body, collect=True, **options)


def test_after_it_the_candidate_passes(studio: Studio, accept):
    studio.record(training())
    candidate = training(1.5)
    fails(studio, candidate)
    done = accept("--yes", "--reason", "the output is scaled")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0] == "case: what the check left, in the golden's place"
    assert done.out.splitlines()[-1] == "case: accepted"
    assert studio.check(candidate).passed
    studio.golden().verify()


def test_the_reference_fails_then(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))
    accept("--yes")
    fails(studio, training())


def test_what_was_replaced_is_what_a_recording_would_have_written(studio: Studio, accept, tmp_path: Path):
    studio.record(training())
    fails(studio, training(1.5))
    accept("--yes")
    other = Studio(tmp_path / "other")
    other.record(training(1.5))
    for entry in studio.golden().entries(0):
        theirs = other.golden().entry(0, entry.site)
        assert theirs is not None
        assert (entry.digest, entry.order) == (theirs.digest, theirs.order), str(entry.site)
    assert studio.golden().manifest["steps"] == other.golden().manifest["steps"]


def test_other_sites_stay_byte_for_byte(studio: Studio, accept):
    studio.record(training(steps=2))
    before = contents(studio.path / "golden")
    fails(studio, training(steps=2, aside=3.0))
    assert accept("--yes").status == 0
    after = contents(studio.path / "golden")
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert changed == {f"case/{name}" for name in ("golden.json", "step_0/outputs.safetensors", "step_1/outputs.safetensors")}
    assert studio.check(training(steps=2, aside=3.0)).passed


def test_the_history_says_what_and_why(studio: Studio, accept):
    studio.record(training())
    before = studio.golden().manifest["steps"]["0"]["loss"]["loss"]
    fails(studio, training(1.5))
    accept("--yes", "--reason", " the output\nis scaled ")
    (line,) = studio.golden().manifest["history"]
    assert line["reason"] == "the output is scaled"
    assert line["accepted"] is True
    assert line["loss"]["step 0: loss"] == [before, studio.golden().manifest["steps"]["0"]["loss"]["loss"]]
    assert line["moved"][0].keys() == {"site", "step", "before", "after", "roundings"}


def test_what_was_left_is_gone_after_it(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))
    accept("--yes")
    done = accept("--yes")
    assert done.status == 0
    assert done.out == f"nothing to accept: no failing check has left anything in {studio.path / 'out'}\n"


def test_without_an_answer_it_only_shows(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))
    before = contents(studio.path)
    done = accept()
    assert done.status == 1
    assert "loss of step 0: " in done.out
    assert done.out.endswith("case: not accepted, nothing was changed; --yes accepts it\n")
    assert contents(studio.path) == before


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("\n", 1), ("no\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(studio: Studio, accept, monkeypatch: pytest.MonkeyPatch, answer: str, status: int):
    studio.record(training())
    fails(studio, training(1.5))
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer, raising=False)
    done = accept()
    assert "accept? [y/N] " in done.out
    assert done.status == status


def test_a_check_that_stopped_early_is_refused(studio: Studio, accept):
    studio.record(training())
    before = contents(studio.path / "golden")
    with pytest.raises(ParityFailure):
        studio.check(training(1.5))
    done = accept("--yes")
    assert done.status == 2
    assert done.err == (
        "parity accept: case cannot be accepted: the check stopped at a failure, and has not seen what comes after; "
        "run it to its end: pytest --parity-collect --parity-case 'case'\n"
    )
    assert contents(studio.path / "golden") == before


def test_steps_that_hang_together_are_refused(studio: Studio, accept):
    studio.record(training(steps=2))
    fails(studio, training(1.5, steps=2))
    done = accept("--yes")
    assert done.status == 2
    assert "in step 0 something fails that the weights depend on" in done.err
    assert "record it again: pytest --parity-record --parity-case 'case' --parity-reason TEXT" in done.err


def test_steps_that_run_free_are_not(studio: Studio, accept):
    studio.record(training(steps=2, load=False))
    candidate = training(1.5, steps=2, load=False)
    fails(studio, candidate)
    assert accept("--yes").status == 0
    assert studio.check(candidate).passed


def test_another_learning_rate_is_kept_with_the_updates(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(lr=0.1))
    assert accept("--yes").status == 0
    assert studio.golden().manifest["steps"]["0"]["hyperparameters"]["0"][0]["lr"] == 0.1
    assert studio.check(training(lr=0.1)).passed


def test_a_step_over_the_memory_is_refused_where_updates_fail(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5), memory=0)
    done = accept("--yes")
    assert done.status == 2
    assert "a step is larger than parity_memory" in done.err


def test_a_step_over_the_memory_is_fine_where_none_does(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(aside=2.0), memory=0)
    assert accept("--yes").status == 0
    assert studio.check(training(aside=2.0)).passed


def test_other_sites_are_refused(studio: Studio, accept):
    studio.record(training())

    def further(parity) -> None:
        training()(parity)
        parity.assert_close("further", torch.ones(2))

    fails(studio, further)
    done = accept("--yes")
    assert done.status == 2
    assert "the candidate has other sites than the golden (1 extra)" in done.err


def test_a_check_that_watched_less_is_refused(studio: Studio, accept):
    def linear(scale: float, kinds: list[str] | None):
        def body(parity) -> None:
            torch.manual_seed(0)
            model = torch.nn.Linear(3, 3)
            with parity.watch(model, kinds=kinds):
                out = model(parity.input("x", lambda: torch.ones(2, 3))) * scale
                out.sum().backward()
            parity.assert_outputs(out)

        return body

    studio.record(linear(1.0, None))
    fails(studio, linear(2.0, ["activation"]))
    done = accept("--yes")
    assert done.status == 2
    assert "the check did not watch gradient, input, loss, output, weight" in done.err or "did not watch" in done.err


def test_a_golden_that_was_recorded_since_is_refused(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))
    studio.record(training(2.0))
    before = contents(studio.path / "golden")
    done = accept("--yes")
    assert done.status == 2
    assert "is not the one that it was checked against; check it again: pytest --parity-collect" in done.err
    assert contents(studio.path / "golden") == before


def test_a_later_check_that_passes_or_stops_elsewhere_leaves_nothing_of_this_one(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))

    def broken(_parity) -> None:
        raise RuntimeError("before anything")

    with pytest.raises(RuntimeError):
        studio.check(broken)
    assert accept("--yes").status == 2  # nothing was asked of the fixture: what there was is of the check before
