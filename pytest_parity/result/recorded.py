"""Recorded: what a recording left, and what it moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_parity.result.curve import CurveComparison

__all__ = ["Moved", "Recorded", "SiteMoved"]


@dataclass(frozen=True, slots=True)
class SiteMoved:
    """How far a golden's value at a site moved when the golden was replaced.

    ``before`` and ``after`` are L2 norms (of an update, new minus start), or the value itself where there is one
    element; of integers and booleans the share of elements that are others stands in ``after``, and ``before`` is 0.
    ``times`` is the distance in multiples of the noise floor where there was one (``by_floor``), else of rounding.
    """

    site: str
    step: int
    before: float
    after: float
    times: float
    by_floor: bool
    exact: bool = False
    """Integers or booleans."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What another golden in a golden's place moved."""

    counts: dict[str, int]
    """Sites that are ``equal``, moved ``within`` the factor of their floor or ``beyond``, ``new``, ``gone``, ``reshaped``."""
    worst: tuple[SiteMoved, ...] = ()
    """Those that moved, the farthest first; not all of them."""
    losses: tuple[tuple[int, str, float, float], ...] = ()
    """Step, name, before and after of each loss that moved; not all of them."""
    others: tuple[str, ...] = ()
    """Which sites are new, gone or of another shape or dtype, and how; not all of them."""
    changes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What differs between the two environments and provenances: name to (before, after)."""
    reason: str = ""
    curves: tuple[CurveComparison, ...] = ()
    """Each training curve of either, the new one's first run held against the one that was there."""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Moved:
        """The inverse of ``asdict``, also after a round trip through JSON."""
        return cls(
            **{
                **plain,
                "worst": tuple(SiteMoved(**one) for one in plain["worst"]),
                "losses": tuple((step, name, before, after) for step, name, before, after in plain["losses"]),
                "others": tuple(plain["others"]),
                "changes": {name: (pair[0], pair[1]) for name, pair in plain["changes"].items()},
                "curves": tuple(map(CurveComparison.from_plain, plain["curves"])),
            }
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording left: a golden of ``sites`` observations in ``steps``, ``size`` bytes on disk at ``path``."""

    case: str
    steps: tuple[int, ...]
    sites: int
    size: int
    path: str
    notes: tuple[str, ...] = ()
    moved: Moved | None = None
    """Where a golden was there before."""
    curves: tuple[str, ...] = ()
    """The names of its training curves."""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Recorded:
        """The inverse of ``asdict``, also after a round trip through JSON."""
        moved = plain["moved"]
        return cls(
            **{
                **plain,
                "steps": tuple(plain["steps"]),
                "notes": tuple(plain["notes"]),
                "moved": moved and Moved.from_plain(moved),
                "curves": tuple(plain["curves"]),
            }
        )
