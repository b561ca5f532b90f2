"""``parity completion``: a shell that has read the script knows commands, options, paths and cases."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_command import Command, training
from parity_studio import Studio
from test_cli_start import imported

from pytest_parity.cli import COMMANDS

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_shtab_parity parity "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(parity_command: Command, tmp_path: Path):
    """What bash offers for the last of these words."""
    script = tmp_path / "parity.bash"
    script.write_text(parity_command("completion", "bash").out)
    program = tmp_path / "bin/parity"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pytest_parity.cli "$@"\n')
    program.chmod(0o755)

    def run(*words: str, **environment: str) -> set[str]:
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", BASH, "bash", str(script), "parity", *words],
            env={**os.environ, "PATH": path, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return set(done.stdout.split())

    return run


def test_commands_are_completed(complete):
    assert complete("") >= set(COMMANDS)
    assert complete("ver") == {"verify"}


def test_options_and_their_choices_are_completed(complete):
    assert complete("accept", "--y") == {"--yes"}
    assert complete("show", "--color", "al") == {"always"}
    assert complete("completion", "") == {"bash", "zsh", "fish"}


def test_cases_are_completed(complete, studio: Studio):
    studio.record(training())
    root = str(studio.path / "golden")
    assert complete("show", "ca", PARITY_REF=root) == {"case"}
    assert "case" not in complete("show", "ca", PARITY_REF=str(studio.path / "elsewhere"))


def test_paths_are_completed(complete, studio: Studio, monkeypatch: pytest.MonkeyPatch):
    studio.record(training())
    monkeypatch.chdir(studio.path)
    assert complete("verify", "gold") == {"golden"}
    assert complete("show", "x", "--root", "gold") == {"golden"}


@pytest.mark.parametrize(
    ("shell", "first"), [("bash", "# AUTOMATICALLY"), ("zsh", "#compdef parity"), ("fish", "# AUTOMATICALLY")]
)
def test_each_script_says_how_it_is_installed(parity_command: Command, shell: str, first: str):
    done = parity_command("completion", shell)
    lines = done.out.splitlines()
    assert done.status == 0
    assert lines[0].startswith(first)
    assert lines[1].startswith(f"# to install: parity completion {shell} > ")
    assert all(command in done.out for command in COMMANDS)
    assert "parity completion cases 2>/dev/null" in done.out
    assert json.loads(parity_command("completion", shell, "--json").out) == {"shell": shell, "script": done.out[:-1]}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_that_is_here_can_read_its_script(parity_command: Command, tmp_path: Path, shell: str):
    script = tmp_path / "script"
    script.write_text(parity_command("completion", shell).out)
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True)


def test_without_shtab_it_says_what_to_install(parity_command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    done = parity_command("completion", "bash")
    assert (done.status, done.out) == (2, "")
    assert done.err == "parity completion: completion needs shtab: pip install 'pytest-parity[cli]'\n"


def test_asking_for_cases_needs_neither_shtab_nor_torch():
    modules = imported("completion", "cases")
    assert "pytest_parity.golden.cases" in modules
    assert not {"torch", "shtab"} & modules


def test_making_a_script_imports_every_command_and_no_torch():
    script = (
        "import sys; from pytest_parity.cli import main; main(['completion', 'bash', '--json']); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert {f"pytest_parity.cli.{module}" for module in COMMANDS.values()} | {"shtab"} <= modules
    assert "torch" not in modules
