from __future__ import annotations

from pathlib import Path

import pytest

# pytester drops what a run in this process imported, and torch, here with what it imports late, cannot come twice.
import torch._dynamo  # noqa: F401

import pytest_parity.session  # noqa: F401

from .project import Run

ONE_TEST = """
    import os
    import torch

    def test_value(parity):
        parity.assert_close("x", torch.arange(1.0, 5.0) * float(os.environ.get("SCALE", "1")))
"""


@pytest.fixture(autouse=True)
def _plain_terminal(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "BUILD_NUMBER", "PARITY_REF", "PYTEST_ADDOPTS", "SCALE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    # Neighbours that import much, again in every run of this process.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:hydra_pytest")


@pytest.fixture(params=[(), ("-n", "2")], ids=["plain", "xdist"])
def run(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> Run:
    """Run pytest in the project, alone and with two workers."""
    return lambda *args: pytester.runpytest(*args, *request.param)


@pytest.fixture
def one_test(pytester: pytest.Pytester) -> Path:
    """A project of one test, whose value is ``SCALE`` times the reference's; its case is ``test_one/test_value``."""
    return pytester.makepyfile(test_one=ONE_TEST)


@pytest.fixture
def recorded(one_test: Path, pytester: pytest.Pytester) -> Path:
    """The same with its golden."""
    assert pytester.runpytest("--parity-record").ret == 0
    return one_test
