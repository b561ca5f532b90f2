"""Manners of the command line: colours and progress where someone looks, help with examples, what stands behind ``--``."""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
from pathlib import Path

import pytest
from cli_command import Command, training
from parity_studio import Studio

from pytest_parity.cli import COMMANDS, make_parser, parse, terminal
from pytest_parity.cli.terminal import RED, Style, progress

ESCAPE = "\x1b["


class Terminal(io.StringIO):
    """A stream that someone looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def recorded(studio: Studio) -> Path:
    return studio.record(training()).path


# colours


def test_a_terminal_gets_colours_and_a_pipe_does_not():
    assert Style.of("auto", Terminal())("bad", RED) == "\x1b[31mbad\x1b[0m"
    assert Style.of("auto", io.StringIO())("bad", RED) == "bad"
    assert Style.of("auto", Terminal())("", RED) == ""


@pytest.mark.parametrize(
    ("variables", "on_a_terminal", "in_a_pipe"),
    [
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_the_environment_decides_about_colours(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], on_a_terminal: bool, in_a_pipe: bool
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (Style.of("auto", Terminal()).on, Style.of("auto", io.StringIO()).on) == (on_a_terminal, in_a_pipe)
    assert Style.of("always", io.StringIO()).on
    assert not Style.of("never", Terminal()).on


def test_color_may_stand_before_or_after_the_command(parity_command: Command, recorded: Path):
    assert ESCAPE in parity_command("--color", "always", "verify", recorded).out
    assert ESCAPE in parity_command("verify", recorded, "--color=always").out
    assert ESCAPE not in parity_command("verify", recorded, "--color", "never").out
    assert ESCAPE not in parity_command("verify", recorded).out


def test_what_a_program_reads_has_no_colours(parity_command: Command, recorded: Path):
    done = parity_command("verify", recorded, "--json", "--color", "always")
    assert ESCAPE not in done.out
    assert json.loads(done.out)["bad"] == 0


def test_trouble_is_red_where_colours_are_wanted(
    parity_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert parity_command("show", "x", "--color", "always").err.startswith(
        "\x1b[31mparity show:\x1b[0m there is no case"
    )
    assert parity_command("show", "x").err.startswith("parity show: there is no case")


# progress


def lines_of(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, quiet: bool = False, patience: float = 0) -> str:
    monkeypatch.setattr(terminal, "_PATIENCE", patience)
    monkeypatch.setattr(terminal, "_OFTEN", 0)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(argparse.Namespace(quiet=quiet), "verifying nest/tiny", 2000) as advance:
        advance(500)
        advance(1500)
    return stream.getvalue()


def test_long_work_is_seen_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch):
    said = lines_of(monkeypatch, Terminal()).split("\r\x1b[K")
    assert said[0] == ""
    assert said[1].startswith("verifying nest/tiny:  25%, 500 B of 2 kB, ")
    assert said[1].endswith(" s left")
    assert said[2].startswith("verifying nest/tiny: 100%, 2 kB of 2 kB, ")
    assert said[-1] == ""


def test_nothing_is_said_in_a_pipe(monkeypatch: pytest.MonkeyPatch):
    assert lines_of(monkeypatch, io.StringIO()) == ""


def test_nothing_is_said_when_asked_to_be_quiet(monkeypatch: pytest.MonkeyPatch):
    assert lines_of(monkeypatch, Terminal(), quiet=True) == ""


def test_nothing_is_said_on_a_terminal_that_cannot_take_it_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    assert lines_of(monkeypatch, Terminal()) == ""


def test_nothing_is_said_about_what_is_quickly_done(monkeypatch: pytest.MonkeyPatch):
    assert lines_of(monkeypatch, Terminal(), patience=3600) == ""


def test_the_line_goes_when_the_work_breaks_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminal, "_PATIENCE", 0)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())

    def interrupted() -> None:
        with progress(argparse.Namespace(quiet=False), "pairing tensors", 3, "tensor") as advance:
            advance(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "pairing tensors:  33%, 1 tensor of 3, " in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_verify_is_seen_to_go_on(parity_command: Command, recorded: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(terminal, "_PATIENCE", 0)
    monkeypatch.setattr(terminal, "_OFTEN", 0)
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    assert parity_command("verify", recorded, "--quiet").status == 0
    assert stream.getvalue() == ""
    assert parity_command("verify", recorded).status == 0
    assert "\r\x1b[Kverifying case:   4%, " in stream.getvalue()
    assert stream.getvalue().rpartition("\r\x1b[Kverifying")[2].startswith(" case: 100%, ")
    assert stream.getvalue().endswith("\r\x1b[K")


# help


def examples(command: str) -> list[str]:
    parser = make_parser(command)
    [subparsers] = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    epilog = (subparsers.choices[command].epilog or "").replace("\\\n", " ")
    return [line.strip() for line in epilog.splitlines() if line.startswith("  parity ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example_that_parses(command: str):
    shown = examples(command)
    assert any(line.startswith(f"parity {command} ") for line in shown)
    for line in shown:
        _, *words = shlex.split(line.partition(" > ")[0])
        assert parse(words).command in COMMANDS


def test_an_example_that_does_not_parse_is_found():
    with pytest.raises(SystemExit):
        parse(["verify", "--steps", "1"])


@pytest.mark.parametrize("columns", [70, 200])
def test_help_is_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        parse(["verify", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert columns / 2 < max(map(len, lines)) <= columns
    assert "  parity verify golden/" in lines


# what stands behind --


@pytest.mark.parametrize(
    ("words", "behind"),
    [
        (["prune", "--yes", "--", "-p", "no", "--", "--yes"], ["-p", "no", "--", "--yes"]),
        (["--color", "never", "-q", "prune", "--", "--color", "always"], ["--color", "always"]),
        (["prune"], []),
        (["prune", "tests"], ["tests"]),
    ],
)
def test_what_stands_behind_the_dashes_is_another_programs(words: list[str], behind: list[str]):
    args = parse(words)
    assert (args.command, args.behind) == ("prune", behind)
    assert args.color == ("never" if "never" in words else "auto")


def test_other_commands_take_the_dashes_as_every_program_does():
    assert parse(["show", "--", "-odd"]).golden == "-odd"
