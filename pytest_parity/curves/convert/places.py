"""Directories that are looked into for logs: not hidden ones, not those of tools, never through links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["directories"]

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


def directories(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each directory from ``root`` downwards, its files' names sorted, and those of the directories to go on with: clear it to stop."""
    for place, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in _SKIPPED)
        yield Path(place), sorted(names), below
