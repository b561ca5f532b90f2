"""Settings: what a test's session was asked to do, resolved by the door it came in through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pytest_parity.site import Kind

__all__ = ["MarkerOptions", "Mode", "Settings"]


class Mode(str, Enum):
    """Which of the two sinks the observations go into."""

    RECORD = "record"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class MarkerOptions:
    """What the marker ``parity`` says of one test; ``None`` or empty where it says nothing."""

    names: Any = None
    kinds: frozenset[Kind] | None = None
    rtol: float | None = None
    atol: float | None = None
    valid: Mapping[str, Any] | None = None
    rng: str | None = None
    replay: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """One test's case: its mode, where the goldens are (``root``), and what a failing check leaves (``out``).

    ``memory`` is a budget in bytes for what a check keeps of a step. ``tolerances`` is the fixture's table, ``names``
    the fixture's name map; the marker's come before both.
    """

    mode: Mode
    case: str
    root: Path
    out: Path
    memory: int = 1 << 30
    seed: int = 0
    marker: MarkerOptions = field(default_factory=MarkerOptions)
    tolerances: Mapping[str, Any] = field(default_factory=dict)
    names: Any = None
    strict: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
