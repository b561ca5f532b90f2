from __future__ import annotations

from pathlib import Path

import pytest
from own_loop import made, train

from pytest_parity import record


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the script runs: goldens go to ``golden``, what a failing check leaves to ``.parity``."""
    for name in ("CI", "PARITY_REF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def golden(place: Path) -> Path:
    """Three steps, with a noise floor."""
    model, optimizer = made()
    with record("golden", "case", model, optimizer, again=lambda run: train(run, model, optimizer)) as run:
        train(run, model, optimizer)
    return place / "golden" / "case"
