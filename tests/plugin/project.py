"""What the plugin's tests share about the small projects that they run pytest in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., pytest.RunResult]


def manifest(case: Path) -> dict[str, object]:
    """A golden's manifest."""
    found: dict[str, object] = json.loads((case / "golden.json").read_text(encoding="utf-8"))
    return found


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
