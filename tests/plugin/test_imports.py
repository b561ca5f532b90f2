"""A run that compares nothing does not pay for torch, and neither does the process that only reports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

WITNESS = """
    import sys

    def pytest_unconfigure(config):
        if not hasattr(config, "workerinput"):
            print("torch", "torch" in sys.modules, "plugin", "pytest_parity.plugin" in sys.modules)
"""
PLAIN = "def test_plain(): pass\n\ndef test_unused(parity): pass"


def python(pytester: pytest.Pytester, *args: str) -> str:
    pytester.makeconftest(WITNESS)
    return pytester.run(sys.executable, "-m", "pytest", *args).stdout.str()


@pytest.mark.parametrize("args", [("--help",), ("--collect-only",), ("-k", "plain")])
def test_torch_is_not_imported(pytester: pytest.Pytester, args: tuple[str, ...]):
    pytester.makepyfile(PLAIN)
    assert "torch False plugin True" in python(pytester, *args)


def test_the_controller_does_not_import_torch(recorded: Path, pytester: pytest.Pytester):
    output = python(pytester, "-n", "2")
    assert "torch False plugin True" in output
    assert "1 passed" in output


def test_the_witness_sees_torch_where_it_is(recorded: Path, pytester: pytest.Pytester):
    assert "torch True plugin True" in python(pytester)


def imported(pytester: pytest.Pytester, *args: str) -> set[str]:
    log = pytester.run(sys.executable, "-X", "importtime", *args).stderr.lines
    return {line.rpartition("|")[2].strip() for line in log}


@pytest.mark.parametrize("args", [("--version",), ("--version", "--version")])
def test_version_does_not_import_torch(pytester: pytest.Pytester, args: tuple[str, ...]):
    modules = imported(pytester, "-m", "pytest", *args)
    assert "pytest" in modules
    assert "torch" not in modules


def test_the_log_of_imports_sees_torch_where_it_is(pytester: pytest.Pytester):
    assert "torch" in imported(pytester, "-c", "import pytest_parity.session.parity")
