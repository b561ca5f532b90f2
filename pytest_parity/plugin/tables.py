"""Settings that are tables: ``[tool.pytest_parity]`` of pyproject.toml, and the tolerances that a fixture returns."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_parity.compare.tolerance import Table, Tolerances
from pytest_parity.errors import UsageError
from pytest_parity.plugin.text import nearest, quoted

__all__ = ["checked_tolerances", "read_tables"]

_KEYS = ("tolerances", "profiles")


def read_tables(pyproject: Path) -> dict[str, Any]:
    """What ``[tool.pytest_parity]`` says, in the order it is written, its tolerances checked; raises ``UsageError``."""
    try:
        source = pyproject.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    if "pytest_parity" not in source:
        return {}
    # Python 3.10 has no TOML reader of its own; pytest depends on tomli there.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        table = toml.loads(source).get("tool", {}).get("pytest_parity", {})
    except toml.TOMLDecodeError as error:
        raise UsageError(f"{pyproject}: {error}") from error
    for key in table:
        if key not in _KEYS:
            raise UsageError(
                f"{pyproject}: [tool.pytest_parity] has no key {key!r}{nearest(key, _KEYS)}; it takes: {quoted(_KEYS)}"
            )
    checked_tolerances(table.get("tolerances", {}), origin=f"{pyproject}: [tool.pytest_parity.tolerances]")
    return dict(table)


def checked_tolerances(table: Any, *, origin: str) -> Table:
    """The table itself; raises ``UsageError`` where it is none, and ``ToleranceError`` for what is wrong in it."""
    if not isinstance(table, Mapping):
        raise UsageError(f"{origin} is {table!r}, not a table; write as in: gradient = {{rtol = 1e-4, atol = 1e-7}}")
    for pattern in table:
        if not isinstance(pattern, str):
            raise UsageError(f"{origin}: {pattern!r} is not text; write a kind, or a pattern of sites")
    Tolerances([(origin, table)])
    return table
