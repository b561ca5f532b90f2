"""Packages: Lightning under both of its names, which are alike and share no class."""

from __future__ import annotations

import importlib
import sys

from pytest_parity.errors import UsageError

__all__ = ["callback_classes"]

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


def callback_classes() -> tuple[type, ...]:
    """The callback classes of the packages that are imported; of those installed where none is."""
    names = [name for name in _PACKAGES if name in sys.modules]
    if not names:
        for name in _PACKAGES:
            try:
                importlib.import_module(name)
            except ImportError:
                continue
            names.append(name)
    if not names:
        raise UsageError("there is no Lightning here: pip install 'pytest-parity[lightning]'")
    return tuple(sys.modules[name].Callback for name in names)
