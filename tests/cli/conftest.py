from __future__ import annotations

import pytest
from cli_command import Command, command
from parity_studio import Studio
from recordings import Two


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "PARITY_REF", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def parity_command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run ``parity`` in this process."""
    return command(capsys)


@pytest.fixture
def two(studio: Studio, parity_command: Command) -> Two:
    """Two recordings, to be compared."""
    return Two(studio, Studio(studio.path / "other"), parity_command)
