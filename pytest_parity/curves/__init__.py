"""Curves: training curves recorded, read, compared, plotted and judged. Importing it imports no numpy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_parity.curves.curve import Curve, Series
    from pytest_parity.curves.files import find_curves, write_curve
    from pytest_parity.curves.reading import read_curve
    from pytest_parity.curves.writing import MetricsWriter

__all__ = ["Curve", "MetricsWriter", "Series", "find_curves", "read_curve", "write_curve"]

_LAZY = {
    "Curve": "curve",
    "MetricsWriter": "writing",
    "Series": "curve",
    "find_curves": "files",
    "read_curve": "reading",
    "write_curve": "files",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
