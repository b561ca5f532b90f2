"""Settings: what a test's session was asked to do, resolved by the door it came in through."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.site import Kind

if TYPE_CHECKING:
    from pytest_parity.golden.volatile import Volatile

__all__ = ["Batches", "MarkerOptions", "Mode", "Settings", "under_ci"]

_FALSE = frozenset({"", "0", "false", "no", "off"})


def under_ci() -> bool:
    """Whether the environment variable CI says that this runs where nobody looks on."""
    return os.environ.get("CI", "").strip().lower() not in _FALSE


class Mode(str, Enum):
    """Which of the two sinks the observations go into."""

    RECORD = "record"
    CHECK = "check"


class Batches(str, Enum):
    """What a check makes of the batches that a loop draws itself."""

    OWN = "own"
    """They are compared with the golden's, and trained on."""
    RECORDED = "recorded"
    """The golden's take their place."""
    UNSEEN = "unseen"
    """They are trained on: another rank's were recorded."""


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
    ignore: tuple[str, ...] = ()
    coverage: float | None = None
    allow_dtype: bool | None = None
    factor: float | None = None
    """Of the noise floor, in place of ``rtol`` and ``atol``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One test's case: its mode, where the goldens are (``root``), and what a failing check leaves (``out``).

    ``memory`` is a budget in bytes for what a check keeps of a step. ``tolerances`` is the fixture's table, ``names``
    the fixture's name map; the marker's come before both. ``volatile`` is where the golden is kept instead of ``root``:
    in memory; nothing is left in ``out`` then.
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
    ignore: tuple[str, ...] = ()
    """Patterns of sites that are not judged in any of many tests; the marker's and the watch's are added."""
    coverage: float = 1.0
    """The share of the reference's module calls that must find a counterpart, where the test says no other."""
    profile: str = ""
    allow_dtype: bool = False
    """Whether values of another dtype than the reference's are compared; else that is a verdict of its own."""
    config: Mapping[str, Any] | None = None
    """What the test is configured with, as plain nested tables; ``None``: nothing is known."""
    draws: int = 0
    """Of the noise floor, when recording; 0 records none."""
    factor: float | None = None
    """Of the noise floor, where nothing nearer to the test says another; ``None``: the dtype's."""
    probe: bool = False
    """Whether each leaf module is also fed probes: when recording; a check then demands that the golden has them."""
    reason: str = ""
    """Why a golden is recorded again; ``"env"`` claims that nothing but the environment is another."""
    detail: bool = False
    """Whether every site of a step is kept for a report, and the elements of those that fail."""
    collect: bool = False
    """Whether a failing helper lets the test go on, and the failure comes at its end."""
    batches: Batches = Batches.RECORDED
    """What a check makes of the batches of a loop that runs elsewhere."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    recorded_by: str = "pytest --parity-record"
    """What someone types to record the case, as messages say it."""
    memory_by: str = "the ini option parity_memory"
    """The same of ``memory``; empty where it is fixed."""
    watched_by: str = "watch"
    """What takes ``tolerances=`` for captured kinds."""
    dtype_by: str = "@pytest.mark.parity(allow_dtype=True), or allow_dtype = true in a profile"
    """What someone types to have another dtype's values compared; empty where that cannot be had."""
    volatile: Volatile | None = None
