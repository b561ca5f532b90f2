"""The command line as a whole: it starts without torch, and trouble is one line and exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_command import Command, training
from parity_studio import Studio

from pytest_parity.cli import COMMANDS, main


def imported(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest_parity.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("accept", "--help"), ()])
def test_it_starts_without_torch(arguments: tuple[str, ...]):
    modules = imported(*arguments)
    assert "pytest_parity.cli" in modules
    assert not {"torch", "numpy", "pytest"} & modules


def test_a_command_that_reads_a_golden_is_seen_to_import_it(studio: Studio):
    studio.record(training())
    assert "torch" in imported("show", str(studio.path / "golden/case"))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: parity {command}" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("pytest-parity 0.")


@pytest.mark.parametrize("arguments", [[], ["shwo"], ["show"]])
def test_wrong_arguments_are_trouble(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: parity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nest/tiny"], "parity show: there is no case 'nest/tiny' in golden, nor any other; record it with"),
        (["verify"], "parity verify: there is no golden at or below golden; record one with: pytest --parity-record"),
        (
            ["accept", "x"],
            "parity accept: no failing check has left x in .parity; there is nothing at all. Check it to",
        ),
    ],
)
def test_trouble_is_one_line(
    parity_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    done = parity_command(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(message)
    assert done.err.count("\n") == 1


def test_who_reads_may_stop_reading(studio: Studio):
    studio.record(training())
    command = [sys.executable, "-m", "pytest_parity.cli", "show", str(studio.path / "golden/case")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 2  # what nobody has read is no success


def test_a_directory_of_a_cases_name_does_not_hide_the_case(
    studio: Studio, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    studio.record(training())
    monkeypatch.chdir(studio.path)
    (studio.path / "case").mkdir()
    assert parity_command("show", "case").out.startswith("case: ")


def test_the_environment_says_where_goldens_are(
    studio: Studio, parity_command: Command, monkeypatch: pytest.MonkeyPatch
):
    studio.record(training())
    monkeypatch.setenv("PARITY_REF", str(studio.path / "golden"))
    assert json.loads(parity_command("show", "case", "--json").out)["case"] == "case"
