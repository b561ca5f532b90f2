from __future__ import annotations

from pathlib import Path

import pytest
from tiny_fit import PACKAGES, Tiny


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the script runs: goldens go to ``golden``, what a failing check leaves to ``.parity``."""
    for name in ("CI", "PARITY_REF", "PARITY_SCRIPT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


_made: dict[str, Tiny] = {}


@pytest.fixture(params=PACKAGES)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    if request.param not in _made:
        _made[request.param] = Tiny(request.param)
    return _made[request.param]
