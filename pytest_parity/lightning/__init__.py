"""Lightning callbacks: ``ParityRecord``, ``ParityCheck``, ``MetricsCallback``, for either package's ``Trainer``.

Importing it imports neither Lightning nor torch: each trainer asks ``from_environment`` for callbacks, and mostly gets none.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_parity.lightning.callbacks import ParityCheck, ParityRecord
    from pytest_parity.lightning.metrics import MetricsCallback

__all__ = ["MetricsCallback", "ParityCheck", "ParityRecord", "from_environment"]

_LAZY = {"MetricsCallback": "metrics", "ParityCheck": "callbacks", "ParityRecord": "callbacks"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def from_environment() -> list[Any]:
    """The callbacks that ``parity record|check -- SCRIPT`` asks of each trainer that the script makes; else none."""
    if not os.environ.get("PARITY_SCRIPT"):
        return []
    from pytest_parity.lightning.callbacks import handed  # noqa: PLC0415  it imports torch

    return handed()
