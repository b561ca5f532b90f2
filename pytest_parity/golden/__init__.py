"""Goldens on disk: a case's observations as safetensors files, and a manifest that a person can read.

Importing the package imports no torch; ``Golden`` and ``GoldenWriter`` do, when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_parity.golden.cases import cases, check_case_name
from pytest_parity.golden.manifest import SCHEMA

if TYPE_CHECKING:
    from pytest_parity.golden.entry import Entry
    from pytest_parity.golden.reader import Golden
    from pytest_parity.golden.writer import GoldenWriter

__all__ = ["SCHEMA", "Entry", "Golden", "GoldenWriter", "cases", "check_case_name"]

_LAZY = {"Entry": "entry", "Golden": "reader", "GoldenWriter": "writer"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
