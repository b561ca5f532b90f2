"""The example's directory on the path, as its scripts have it, and a text to train on."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from example_script import EXAMPLE, Script

sys.path.insert(0, str(EXAMPLE))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    from make_text import text as made

    path = tmp_path / "harbour.txt"
    path.write_text(made(1200)[:1200], encoding="utf-8")
    return path


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Script:
    """Run one of the example's scripts in a directory of its own, as a command line would."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *words: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        runpy.run_path(str(EXAMPLE / name), run_name="__main__")

    return run
