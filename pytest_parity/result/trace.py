"""Trace: one step of a check told in full, every site of it, where a report is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pytest_parity.result.delta import Delta, delta_from_plain

__all__ = ["Closeup", "Element", "Histogram", "LossFound", "Trace", "Traced"]


@dataclass(frozen=True, slots=True)
class LossFound:
    """One loss of one step; a value is ``None`` where that side has none."""

    step: int
    name: str
    reference: float | None
    candidate: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a site on both sides; of complex numbers the moduli, of an update new minus start."""

    index: tuple[int, ...]
    here: bool | int | float
    reference: bool | int | float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Elements by ``log10|a-r|``: ``counts[i]`` are those from ``start + i*width`` to ``start + (i+1)*width``."""

    start: float
    width: float
    counts: tuple[int, ...]
    equal: int
    """Elements that do not differ."""
    nonfinite: int
    """Elements that differ and are not finite on one side."""


@dataclass(frozen=True, slots=True)
class Closeup:
    """The elements of a site that fails: those that are the farthest apart, the worst first, and how all are spread."""

    worst: tuple[Element, ...]
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class Traced:
    """One site of the step."""

    delta: Delta
    shape: tuple[int, ...] | None = None
    """The reference's; ``None`` where it has no tensor there."""
    dtype: str = ""
    replayed: bool = False
    """The recorded output took the place of its own."""
    isolated: bool = False
    """An update that was stepped from the reference's own start."""
    closeup: Closeup | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The first step that fails, else the last that was compared, and what a report shows beside it."""

    step: int | None = None
    sites: tuple[Traced, ...] = ()
    """In execution order, those of the candidate alone at the end."""
    losses: tuple[LossFound, ...] = ()
    """Of every step."""
    floors: tuple[tuple[int, float], ...] = ()
    """Each step with the largest error of its sites in multiples of their noise floors, where one is known."""
    names: dict[str, str] = field(default_factory=dict)
    """The reference's path of each module that the candidate has under another, to that."""
    environment: dict[str, str] = field(default_factory=dict)
    """What the candidate was computed with."""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Trace:
        """The inverse of ``asdict``, also after a round trip through JSON."""
        return cls(
            **{
                **plain,
                "sites": tuple(_traced(one) for one in plain["sites"]),
                "losses": tuple(LossFound(**one) for one in plain["losses"]),
                "floors": tuple((step, floors) for step, floors in plain["floors"]),
            }
        )


def _traced(plain: dict[str, Any]) -> Traced:
    shape, closeup = plain["shape"], plain["closeup"]
    return Traced(
        **{
            **plain,
            "delta": delta_from_plain(plain["delta"]),
            "shape": None if shape is None else tuple(shape),
            "closeup": closeup and _closeup(closeup),
        }
    )


def _closeup(plain: dict[str, Any]) -> Closeup:
    histogram = plain["histogram"]
    return Closeup(
        tuple(Element(**{**one, "index": tuple(one["index"])}) for one in plain["worst"]),
        Histogram(**{**histogram, "counts": tuple(histogram["counts"])}),
    )
