"""Name maps: what the candidate calls a module or a parameter, and what the reference calls it."""

from __future__ import annotations

from pytest_parity.names.bound import BoundNames
from pytest_parity.names.namemap import NameMap, NameSpec

__all__ = ["BoundNames", "NameMap", "NameSpec"]
