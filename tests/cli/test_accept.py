"""What a failing check left, made the golden's: what is replaced, what is refused, and that nothing else moves."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cli_command import Command, training
from parity_studio import Studio

from pytest_parity import Golden, ParityFailure
from pytest_parity.golden import GoldenWriter
from pytest_parity.site import Kind, Site


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def accept(studio: Studio, parity_command: Command):
    return lambda *args: parity_command("accept", "--out", studio.path / "out", "--root", studio.path / "golden", *args)


def fails(studio: Studio, body, **options) -> None:
    with pytest.raises(ParityFailure):
        studio.check(body, collect=True, **options)


@pytest.mark.parametrize("adam", [True, False])
def test_after_it_the_candidate_passes(studio: Studio, accept, *, adam: bool):
    studio.record(training(adam=adam))
    candidate = training(1.5, adam=adam)
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
    before = {entry.site: entry.digest for entry in studio.record(training()).entries(0)}
    fails(studio, training(1.5))
    accept("--yes")
    other = Studio(tmp_path / "other")
    other.record(training(1.5))
    replaced = 0
    for entry in studio.golden().entries(0):
        theirs = other.golden().entry(0, entry.site)
        assert theirs is not None
        assert entry.order == theirs.order
        if entry.digest != before[entry.site]:
            assert entry.digest == theirs.digest, str(entry.site)
            replaced += 1
    assert replaced > 8
    assert studio.golden().manifest["steps"] == other.golden().manifest["steps"]


def test_other_sites_stay_byte_for_byte(studio: Studio, accept):
    studio.record(training(steps=2))
    before = contents(studio.path / "golden")
    fails(studio, training(steps=2, aside=3.0))
    assert accept("--yes").status == 0
    after = contents(studio.path / "golden")
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    assert changed == {
        f"case/{name}" for name in ("golden.json", "step_0/outputs.safetensors", "step_1/outputs.safetensors")
    }
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


def test_a_check_that_could_not_go_on_is_refused_and_not_sent_round_in_a_circle(studio: Studio, accept):
    def of_width(width: int):
        def body(parity) -> None:
            model = torch.nn.Linear(3, width)
            with parity.watch(model):
                model(torch.ones(2, 3))

        return body

    studio.record(of_width(2))
    fails(studio, of_width(3))
    done = accept("--yes")
    assert done.status == 2
    assert "the check stopped at something that it cannot go on after; record it again: pytest --parity-rec" in done.err


def test_steps_that_hang_together_are_refused(studio: Studio, accept):
    studio.record(training(steps=2))
    fails(studio, training(1.5, steps=2))
    done = accept("--yes")
    assert done.status == 2
    assert "in step 0 something fails that the weights depend on" in done.err
    assert "record it again: pytest --parity-record --parity-case 'case' --parity-reason TEXT" in done.err


@pytest.mark.parametrize("adam", [True, False])
def test_steps_that_run_free_are_not(studio: Studio, accept, *, adam: bool):
    studio.record(training(steps=2, load=False, adam=adam))
    candidate = training(1.5, steps=2, load=False, adam=adam)
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


def test_a_later_check_that_stops_takes_the_place_of_this_one(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))

    def broken(parity) -> None:
        parity.watch(torch.nn.Linear(1, 1)).__enter__()

    with pytest.raises(ParityFailure):
        studio.check(broken)
    assert "the check stopped at a failure" in accept("--yes").err


def test_a_later_check_that_passes_leaves_nothing(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))
    assert studio.check(training()).passed
    assert "nothing to accept" in accept("--yes").out


def test_a_replayed_output_that_cannot_be_replaced_is_refused(studio: Studio, accept):
    def body(width: int):
        def run(parity) -> None:
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Flatten(0) if width else torch.nn.Flatten(1))
            with parity.watch(model, replay=["1"]):
                model(parity.input("x", lambda: torch.ones(2, 3)))

        return run

    studio.record(body(0))
    fails(studio, body(1))
    done = accept("--yes")
    assert done.status == 2
    assert "and there is no tensor of the candidate's own" in done.err


def test_no_floor_is_kept_of_what_is_replaced(studio: Studio, accept):
    before = {entry.site: entry.digest for entry in studio.record(training(), draws=2).entries(0)}
    fails(studio, training(1.5))
    accept("--yes")
    golden = studio.golden()
    assert golden.noise is not None
    moved = [entry for entry in golden.entries(0) if entry.digest != before[entry.site]]
    assert {entry.site.kind for entry in moved} >= {Kind.GRADIENT, Kind.UPDATED_WEIGHT, Kind.LOSS}
    assert [str(entry.site) for entry in moved if golden.noise.of(0, entry.order) is not None] == []


def test_floors_of_what_failed_go_and_others_stay(studio: Studio, accept):
    studio.record(training(), draws=2)
    before = studio.golden().noise
    assert before is not None
    fails(studio, training(aside=2.0))
    done = accept("--yes")
    assert "the noise floors of 1 site go" in done.out
    golden = studio.golden()
    assert golden.noise is not None
    gone = [
        str(entry.site)
        for entry in golden.entries(0)
        if before.of(0, entry.order) is not None and golden.noise.of(0, entry.order) is None
    ]
    assert gone == ["output/aside"]
    assert golden.manifest["history"][-1]["floors_dropped"] == 1
    kept = next(entry for entry in golden.entries(0) if entry.site == Site(Kind.LOSS, "loss"))
    assert golden.noise.of(0, kept.order) == before.of(0, kept.order)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_candidate_the_golden_is_its_own_or_untouched(studio: Studio, accept, seed: int):
    draw = random.Random(seed)
    options = {"steps": draw.choice([1, 1, 2]), "load": draw.choice([True, False]), "adam": draw.choice([True, False])}
    studio.record(training(**options), draws=draw.choice([0, 2]))
    before = contents(studio.path / "golden")
    candidate = training(
        draw.choice([1.0, 1.01, 1.5]),
        draw.choice([1.0, 1 + 1e-7, 1.3]),
        aside=draw.choice([1.0, 2.0]),
        lr=draw.choice([0.05, 0.1]),
        **options,
    )
    try:
        studio.check(candidate, collect=True)
    except ParityFailure:
        done = accept("--yes")
        if done.status == 0:
            assert studio.check(candidate).passed
            studio.golden().verify()
        else:
            assert contents(studio.path / "golden") == before


def test_several_cases_each_have_their_own_answer(studio: Studio, accept):
    for case in ("one", "two"):
        studio.case = case
        studio.record(training())
    fails(studio, training(aside=2.0))
    studio.case = "one"
    with pytest.raises(ParityFailure):
        studio.check(training(1.5))
    done = accept("--yes")
    assert done.status == 2
    assert "one cannot be accepted" in done.err
    assert "two: accepted" in done.out


def test_only_the_cases_that_are_named(studio: Studio, accept):
    for case in ("one", "two"):
        studio.case = case
        studio.record(training())
        fails(studio, training(aside=2.0))
    assert accept("two", "--yes").out.splitlines()[-1] == "two: accepted"
    assert (studio.path / "out/one/golden.json").exists()


def test_a_case_that_nothing_was_left_of(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(aside=2.0))
    done = accept("cas")
    assert done.status == 2
    assert "no failing check has left cas in" in done.err
    assert "there is: case." in done.err


def test_a_case_is_accepted_once_however_often_it_is_named(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(aside=2.0))
    done = accept("case", "case", "--yes")
    assert (done.status, done.err) == (0, "")


def test_what_was_left_and_cannot_be_read_does_not_keep_the_others(studio: Studio, accept):
    for case in ("one", "two"):
        studio.case = case
        studio.record(training())
        fails(studio, training(aside=2.0))
    (studio.path / "out/one/golden.json").write_text("{")
    assert "two: accepted" in accept("two", "--yes").out
    done = accept("--yes")
    assert done.status == 2
    assert "golden.json is not JSON" in done.err


def test_a_directory_that_is_not_there_is_trouble(studio: Studio, parity_command: Command):
    done = parity_command("accept", "--out", studio.path / "nowhere")
    assert (done.status, done.out) == (2, "")
    assert "nowhere: there is no such directory" in done.err


def test_json_tells_all_and_asks_nothing(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))
    done = accept("--json")
    told = json.loads(done.out)["cases"]["case"]
    assert (done.status, told["accepted"], told["error"]) == (1, False, "")
    assert told["moved"]["counts"]["beyond"] > 0


def test_under_ci_it_takes_a_reason(studio: Studio, accept, monkeypatch: pytest.MonkeyPatch):
    studio.record(training())
    fails(studio, training(1.5))
    monkeypatch.setenv("CI", "true")
    done = accept("--yes")
    assert (done.status, "under CI no golden is replaced without a reason" in done.err) == (2, True)
    assert accept("--yes", "--reason", "scaled").status == 0


def test_the_environment_is_no_reason_where_it_is_the_same(studio: Studio, accept):
    studio.record(training())
    fails(studio, training(1.5))
    done = accept("--yes", "--reason", "env")
    assert (done.status, "the reason 'env' says" in done.err) == (2, True)


def test_the_environment_is_one_where_it_is_another(studio: Studio, accept):
    studio.record(training())
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        fails(studio, training(1.5))
    finally:
        torch.set_num_threads(threads)
    assert accept("--yes", "--reason", "env").status == 0
    (line,) = studio.golden().manifest["history"]
    assert line["changes"] == {"threads": [str(threads), str(threads + 1)]}


def test_a_directory_that_was_recorded_is_none_that_was_left(studio: Studio, parity_command: Command):
    studio.record(training())
    done = parity_command("accept", "--out", studio.path / "golden", "--root", studio.path / "golden")
    assert done.out.startswith("nothing to accept")


KILLED = """
import os, signal, sys
from pytest_parity.cli import main
from pytest_parity.golden import staging

def killed(*arguments):
    if sys.argv[1] == "after":
        exchange(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

exchange, staging.exchange = staging.exchange, killed
main(sys.argv[2:])
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_around_the_exchange_leaves_a_whole_golden(studio: Studio, accept, when: str):
    studio.record(training())
    candidate = training(1.5)
    fails(studio, candidate)
    paths = ["accept", "--yes", "--out", str(studio.path / "out"), "--root", str(studio.path / "golden")]
    done = subprocess.run([sys.executable, "-c", KILLED, when, *paths], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    studio.golden().verify()
    again = accept("--yes")
    if when == "before":
        assert again.status == 0
        assert [path.name for path in (studio.path / "golden").iterdir()] == ["case"]
    else:  # it was accepted already
        assert "is not the one that it was checked against" in again.err
    assert studio.check(candidate).passed


def test_a_disk_that_is_full_leaves_the_old_golden(studio: Studio, accept, monkeypatch: pytest.MonkeyPatch):
    studio.record(training())
    fails(studio, training(1.5))
    before = contents(studio.path / "golden")

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GoldenWriter, "finish_step", full)
    done = accept("--yes")
    assert (done.status, "No space left on device" in done.err) == (2, True)
    assert contents(studio.path / "golden") == before


def test_a_golden_that_is_damaged_is_refused(studio: Studio, accept):
    path = studio.record(training()).path / "step_0/activations.safetensors"
    fails(studio, training(1.5))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    done = accept("--yes")
    assert done.status == 2
    assert "is damaged" in done.err
    assert isinstance(studio.golden(), Golden)
