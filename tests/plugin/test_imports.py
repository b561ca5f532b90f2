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


@pytest.fixture(autouse=True)
def witness(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(WITNESS)


def python(pytester: pytest.Pytester, *args: str) -> str:
    return pytester.run(sys.executable, "-m", "pytest", *args).stdout.str()


@pytest.mark.parametrize("args", [("--help",), ("--version", "--version"), ("--collect-only",), ()])
def test_torch_is_not_imported(pytester: pytest.Pytester, args: tuple[str, ...]):
    pytester.makepyfile("def test_plain(): pass\n\ndef test_unused(parity): pass")
    assert "torch False plugin True" in python(
        pytester, "--deselect", "test_torch_is_not_imported.py::test_unused", *args
    )


def test_version_alone_does_not_import_torch(pytester: pytest.Pytester):
    result = pytester.run(sys.executable, "-X", "importtime", "-m", "pytest", "--version")
    assert "| torch\n" not in result.stderr.str()


def test_the_controller_does_not_import_torch(recorded: Path, pytester: pytest.Pytester):
    output = python(pytester, "-n", "2")
    assert "torch False plugin True" in output
    assert "1 passed" in output


def test_the_witness_sees_torch_where_it_is(recorded: Path, pytester: pytest.Pytester):
    assert "torch True plugin True" in python(pytester)
