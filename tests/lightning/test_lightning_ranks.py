"""Two processes that train together: rank 0 records, every rank checks."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_fit import PACKAGES

from pytest_parity import Golden
from pytest_parity.lightning import ParityCheck, ParityRecord

HERE = Path(__file__).parent
SCENARIOS = (
    "record",
    "check",
    "check another start",
    "check outputs alone",
    "check a fault of rank 1",
    "check a fault of rank 0",
    "check a module",
    "check recorded batches",
    "record accumulated",
    "check accumulated",
    "record keyed",
    "check keyed",
    "record every rank",
    "check every rank",
    "record one of every rank",
    "record wrapped",
    "check unwrapped",
    "record unwrapped",
    "check wrapped",
)


@dataclass
class Ran:
    """What a script's trainings raised, by scenario, and all that they said."""

    path: Path
    raised: dict[str, str]
    said: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("ranks"), PACKAGES[0], *SCENARIOS)


def run(path: Path, package: str, *scenarios: str) -> Ran:
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "PARITY_REF", "PARITY_SCRIPT"}}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / "ranks_script.py"), package, *scenarios],
        cwd=path,
        env=kept | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert done.returncode == 0, done.stderr
    return Ran(path, dict(map(json.loads, lines)), done.stderr)


def first_line(ran: Ran, scenario: str) -> str:
    """Of the failure in a process, which its launcher quotes."""
    lines = ran.raised[scenario].splitlines()
    return next(line for line in lines if line.startswith("pytest_parity.errors.")).partition(": ")[2]


def test_rank_0_records_and_every_rank_checks(ran: Ran) -> None:
    assert ran.raised["record"] == ran.raised["check"] == ""
    assert not (ran.path / "golden/nest/tiny.rank1").exists()
    assert "nest/tiny: 122 of 122 sites compared in steps 0-1: 122 equal\n" in ran.said
    assert "rank 1: nest/tiny: 72 of 86 sites compared in steps 0-1: 72 equal, 14 ignored\n" in ran.said


def test_every_rank_has_the_references_weights(ran: Ran) -> None:
    assert ran.raised["check another start"] == ""


def test_a_rank_that_has_nothing_of_the_golden_is_left_alone(ran: Ran) -> None:
    assert ran.raised["check outputs alone"] == ""


def test_a_fault_of_rank_1_alone_fails_the_training(ran: Ran) -> None:
    assert first_line(ran, "check a fault of rank 1") == (
        "rank 1: nest/tiny step 0: AdamW: its update of net.0.weight is the first that differs, while the weights, gradients "
        "and optimizer state that it starts from agree"
    )
    assert "weight_decay is 0.5, the golden's run had 0.01" in ran.raised["check a fault of rank 1"]


def test_all_ranks_raise_what_differs_first(ran: Ran) -> None:
    assert first_line(ran, "check a fault of rank 0").startswith("nest/tiny step 0: AdamW: its update of net.0.weight")
    assert first_line(ran, "check a module") == (
        "nest/tiny step 0: net.1 is the first module whose output differs while its inputs agree"
    )


def test_batches_of_rank_0_are_not_given_to_others(ran: Ran) -> None:
    assert "nest/tiny has the batches of rank 0 alone" in ran.raised["check recorded batches"]


def test_gradients_that_a_rank_accumulates_are_its_own(ran: Ran) -> None:
    assert ran.raised["record accumulated"] == ran.raised["check accumulated"] == ""
    assert "rank 1:   kinds= leaves out what the golden has: input, activation, gradient\n" in ran.said


def test_a_rank_that_keeps_nothing_draws_as_it_will_in_a_check(ran: Ran) -> None:
    """Else its dropout, which is in the gradients of rank 0, would be another in each training."""
    assert ran.raised["record keyed"] == ran.raised["check keyed"] == ""
    assert not (ran.path / "golden/keyed.rank1").exists()


def test_every_rank_records_where_asked_for_and_checks_its_own(ran: Ran) -> None:
    assert ran.raised["record every rank"] == ran.raised["check every rank"] == ""
    assert "rank 1: all.rank1: 118 of 118 sites compared" in ran.said
    cases = [Golden.find(ran.path / "golden", case) for case in ("all", "all.rank1")]
    batches = [one.manifest["batches"]["0"] for one in cases]
    assert batches[0] != batches[1]


def test_one_rank_is_not_recorded_again_alone(ran: Ran) -> None:
    assert ran.raised["record one of every rank"].count("all was recorded by every rank of a training") == 1


def test_a_wrapped_model_is_the_same_model(ran: Ran) -> None:
    assert ran.raised["record wrapped"] == ran.raised["check unwrapped"] == ""
    assert ran.raised["record unwrapped"] == ran.raised["check wrapped"] == ""
    assert ran.said.count("195 of 195 sites compared in steps 0-2: 195 equal") == 2


def test_the_other_package_has_ranks_too(tmp_path: Path) -> None:
    ran = run(tmp_path, PACKAGES[1], "record", "check", "check a fault of rank 1")
    assert ran.raised["record"] == ran.raised["check"] == ""
    assert "rank 1: nest/tiny: 72 of 86 sites compared in steps 0-1: 72 equal, 14 ignored\n" in ran.said
    assert first_line(ran, "check a fault of rank 1").startswith("rank 1: nest/tiny step 0: AdamW: its update")


@pytest.mark.parametrize("callback", [ParityRecord, ParityCheck])
def test_a_callback_can_be_sent_to_a_process_of_its_own(callback: type) -> None:
    sent = pickle.loads(pickle.dumps(callback("nest/tiny", "elsewhere", steps=[1])))
    assert isinstance(sent, callback)
    assert sent.case == "nest/tiny"
    assert sent.recorded is None
