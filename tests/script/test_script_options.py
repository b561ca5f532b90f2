"""Each option of ``parity record`` and ``parity check`` reaches the script's process, or is refused before it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from outside import Outside, data, loss_of, net
from torch.optim import SGD

from pytest_parity.cli import main, parse
from pytest_parity.session.plan import Keeping, Plan
from pytest_parity.settings import Batches, Mode


def script() -> None:
    model = net()
    optimizer = SGD(model.parameters(), 0.1)
    for batch in data(24):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()


@pytest.fixture
def plan_of(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The plan that a command line amounts to; the case ``case`` has a golden of the steps 0 to 5."""
    outside.record(script, first=6)
    plans: list[Plan] = []

    def keep(_args: object, plan: Plan) -> int:
        plans.append(plan)
        return 0

    monkeypatch.setattr("pytest_parity.cli.record.run_script", keep)
    monkeypatch.setattr("pytest_parity.cli.check.run_script", keep)

    def made(*words: str) -> Plan:
        assert main([words[0], "--case", "case", *words[1:], "--", "python", "train.py", "--steps", "9"]) == 0
        return plans[-1]

    return made


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ((), "mode", Mode.RECORD),
        ((), "keeping", Keeping()),
        ((), "rng", "off"),
        (("--steps", "0,2-4"), "keeping", Keeping((0, 2, 3, 4))),
        (("--first", "2", "--every", "5"), "keeping", Keeping(None, 5, 2)),
        (("--rng", "keyed"), "rng", "keyed"),
        (("--seed", "7"), "seed", 7),
        (("--kinds", "loss, gradient"), "kinds", ("loss", "gradient")),
        (("--replay", "mask", "--replay", "noise"), "replay", ("mask", "noise")),
        (("--all-ranks",), "all_ranks", True),
        (("--reason", "better"), "reason", "better"),
        (("--model", "__main__:net"), "model", "__main__:net"),
        ((), "command", "python train.py --steps 9"),
    ],
)
def test_an_option_of_record_is_in_the_plan(plan_of: Any, words: tuple[str, ...], name: str, value: object) -> None:
    assert getattr(plan_of("record", *words), name) == value


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ((), "mode", Mode.CHECK),
        ((), "rng", None),
        ((), "batches", Batches.OWN),
        ((), "weights", False),
        (("--weights",), "weights", True),
        (("--batches", "recorded"), "batches", Batches.RECORDED),
        (("--rtol", "0.1", "--atol", "0.01"), "rtol", 0.1),
        (("--rtol", "0.1", "--atol", "0.01"), "atol", 0.01),
        (("--ignore", "batch/*,loss/*"), "ignore", ("batch/*", "loss/*")),
        (("--coverage", "0.5"), "coverage", 0.5),
        (("--names", "models:NAMES"), "names", "models:NAMES"),
        (("--first", "2"), "keeping", Keeping(None, None, 2)),
    ],
)
def test_an_option_of_check_is_in_the_plan(plan_of: Any, words: tuple[str, ...], name: str, value: object) -> None:
    assert getattr(plan_of("check", *words), name) == value


def test_files_are_where_the_command_was_typed_wherever_the_script_goes(plan_of: Any, tmp_path: Path) -> None:
    plan = plan_of("check", "--names", "names.toml", "--out", "left")
    assert (plan.names, plan.out, plan.root) == tuple(str(tmp_path / name) for name in ("names.toml", "left", "golden"))


def test_goldens_are_where_ref_says_else_the_environment(
    plan_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARITY_REF", "there")
    assert plan_of("record").root == str(tmp_path / "there")
    assert plan_of("record", "--ref", "here").root == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("record", "--case", "case"), "there is no command; write it behind --, as in parity record --case NAME --"),
        (("record", "--case", "../x", "--", "python"), "'../x' cannot be a case"),
        (("record", "--case", "c", "--steps", "1", "--first", "2", "--", "python"), "steps [1] name every step"),
        (
            ("check", "--case", "case", "--steps", "9", "--", "python"),
            "step 9 was asked for, and the golden of case keeps",
        ),
        (("check", "--case", "case", "--rtol", "1", "--", "python"), "atol"),
        (
            ("check", "--case", "case", "--kinds", "gradients", "--", "python"),
            "'gradients' is no kind; did you mean 'gradient'? kinds are batch, weight",
        ),
        (("record", "--case", "case", "--kinds", "loss,x", "--", "python"), "'x' is no kind; kinds are batch, weight"),
        (
            ("check", "--case", "case", "--save", "no/x.json", "--", "python"),
            "--save no/x.json: there is no directory no",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_script_runs(
    outside: Outside, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    outside.record(script, first=2)
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--steps", "0,x", "'0,x' is no list of steps; write 0,1,2 or 0-4,10"),
        ("--steps", "4-2", "'4-2' is no list of steps"),
        ("--first", "0", "'0' is no number of steps, which is at least 1"),
        ("--every", "few", "'few' is no number of steps"),
    ],
)
def test_steps_that_are_none_are_refused(
    capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["record", "--case", "c", option, value, "--", "python"])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_steps_are_chosen_by_first_and_every(outside: Outside) -> None:
    assert outside.record(script, first=4, every=2).steps == (0, 2)
    assert outside.record(script, every=3).steps == (0, 3)
    assert outside.record(script).steps == (0, 1, 2)


@pytest.mark.parametrize("mode", ["RECORD", "CHECK"])
def test_who_waits_for_a_script_holds_no_torch(mode: str) -> None:
    """It is an idle process beside a training, which may need the memory."""
    code = (
        "import sys; import pytest_parity.cli.check, pytest_parity.cli.record, pytest_parity.cli.script; "
        f"from pytest_parity.session.plan import Plan; Plan('{mode}', 'case', 'golden').to_json(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
