from __future__ import annotations

from pathlib import Path

import pytest

from .project import Run


def test_nothing_is_written_where_all_agrees(recorded: Path, pytester: pytest.Pytester):
    assert pytester.runpytest().ret == 0
    assert not (recorded.parent / ".parity").exists()


def test_what_is_left_is_ignored_by_git(run: Run, recorded: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALE", "2")
    run()
    out = recorded.parent / ".parity"
    assert not out.exists() or (out / ".gitignore").read_text() == "*\n"
