"""The README, CI and tox say the same."""

from __future__ import annotations

import os
import re

import pytest
from readme import ROOT, blocks, section

RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
TOX = (ROOT / "tox.ini").read_text(encoding="utf-8")
COMMANDS = [block.text.strip() for block in blocks(section("Two commands")) if block.language == "sh"]


def test_there_are_two_commands_in_the_readme():
    assert [command.rpartition(" ")[2] for command in COMMANDS] == ["parity", "tests"]


@pytest.mark.parametrize("command", COMMANDS)
def test_ci_runs_the_readmes_commands(command: str):
    name = command.rpartition(" ")[2]
    assert f"{name}() {{\n    {command}\n}}" in RUN
    assert f"\nstage '{name}' {name}\n" in RUN


def test_ci_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "\nset -euo pipefail\n" in RUN


def test_every_environment_that_is_named_exists():
    named = set()
    for path in (".ci/run", ".github/workflows/ci.yml", "README.md", "CONTRIBUTING.md"):
        named |= set(re.findall(r"tox -e ([\w-]+)", (ROOT / path).read_text(encoding="utf-8")))
    assert named >= {"gpu", "lint", "nemo", "parity", "tests", "types"}
    assert named <= set(re.findall(r"^\[testenv:(?:\{[^}]*\})?([\w-]+)\]", TOX, re.MULTILINE))


def test_torch_has_the_pin_of_the_constraints_everywhere():
    (pin,) = re.findall(r"^torch==.*$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    found = re.findall(r"torch==[\d.]+", TOX + RUN + (ROOT / "README.md").read_text(encoding="utf-8"))
    assert found
    assert set(found) == {pin}


def test_tools_have_one_version():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for tool in ("ruff", "mypy"):
        assert len(set(re.findall(rf"{tool}==[\d.]+", project + TOX))) == 1
