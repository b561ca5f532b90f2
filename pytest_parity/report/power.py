"""The power test: what a check made of the faults that were put into its candidate, as plain data and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import isinf
from typing import Any

from pytest_parity.report.words import amount, elided, listed, number
from pytest_parity.result import Tolerance

__all__ = ["CAUGHT", "ERROR", "ESCAPED", "NO_EFFECT", "Power", "Reach", "Tried", "power_line", "power_lines"]

CAUGHT, ESCAPED, NO_EFFECT = "caught", "escaped", "no effect"
ERROR = "error"
"""Stands among the kinds of sites where the test itself raised something."""

_NAMED = 8
_FLOOR = "noise floor"
"""The origin of a factor that nobody declared."""
_SITE = 60


@dataclass(frozen=True, slots=True)
class Tried:
    """A fault in one module, and what the check made of it.

    ``fault`` and ``place`` are words (``weight times 1.01``, ``Linear at depth 3``), ``module`` is the candidate's name
    of the module, ``kinds`` the number of sites that failed by kind. ``end`` is ``caught``, ``escaped``, or ``no
    effect``: every bit of the run was what it is without the fault.
    """

    fault: str
    module: str
    place: str
    end: str
    kinds: dict[str, int]
    error: str = ""
    """What the test itself raised."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The smallest scale error that a tolerance catches at the sites of one kind, as a share (``0.01`` is 1 %).

    ``some`` is the smallest that any of the ``sites`` still shows, ``half`` the smallest that half of them show, ``every``
    the smallest that all of them show, and ``site`` the bluntest, which shows no less; infinite where a site shows none.
    """

    kind: str
    tolerance: Tolerance
    sites: int
    some: float
    half: float
    every: float
    site: str


@dataclass(frozen=True, slots=True)
class Power:
    """One test's power: the faults tried in ``runs`` runs, or why none could be (``refused``).

    ``excused``: by what the test is, none can be; else a test whose faults could not be tried fails.
    """

    tried: tuple[Tried, ...] = ()
    reach: tuple[Reach, ...] = ()
    runs: int = 0
    left_out: int = 0
    """Faults that were not tried, over the limit."""
    notes: tuple[str, ...] = ()
    refused: str = ""
    excused: bool = False

    def ended(self, end: str) -> list[Tried]:
        """The faults that ended in one way."""
        return [one for one in self.tried if one.end == end]

    @property
    def passed(self) -> bool:
        """Whether faults were tried, and none that changed anything escaped; or none could be, by what the test is."""
        return self.excused or (bool(self.ended(CAUGHT)) and not self.ended(ESCAPED))

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Power:
        """The inverse, also after a round trip through JSON."""
        reach = (Reach(**{**one, "tolerance": Tolerance(**one["tolerance"])}) for one in plain["reach"])
        tried = tuple(Tried(**one) for one in plain["tried"])
        return cls(**{**plain, "tried": tried, "reach": tuple(reach), "notes": tuple(plain["notes"])})


def power_line(case: str, power: Power) -> str:
    """``mlp: 2 of 40 faults escaped: bias dropped in head, ...``."""
    if power.refused:
        return f"{case}: no self-test: {power.refused}"
    escaped = power.ended(ESCAPED)
    names = listed([_name(one) for one in escaped], _NAMED)
    if not escaped:
        return f"{case}: none of {amount(len(power.tried), 'fault')} changed anything, so nothing was tested"
    return f"{case}: {len(escaped)} of {amount(len(power.tried), 'fault')} escaped: {names}"


def power_lines(case: str, power: Power, *, width: int = 100) -> list[str]:
    """The section of one test: what was tried, a line for each fault, those that escaped, and what tolerances reach."""
    if power.refused:
        return [power_line(case, power)]
    counts = ", ".join(f"{len(power.ended(end))} {end}" for end in (CAUGHT, ESCAPED, NO_EFFECT))
    lines = [f"{case}: {amount(len(power.tried), 'fault')} tried in {amount(power.runs, 'run')}: {counts}"]
    lines += _indented(_faults(power), words=1)
    lines += [f"  ESCAPED: {_name(one)} ({one.place})" for one in power.ended(ESCAPED)]
    raised = [f"{_name(one)}: {one.error}" for one in power.tried if one.error]
    lines += [f"  caught by an error of the test's own: {one}" for one in raised[:_NAMED]]
    lines += [f"  and by {len(raised) - _NAMED} more"] if len(raised) > _NAMED else []
    unmoved = [_name(one) for one in power.ended(NO_EFFECT)]
    if unmoved:
        lines.append(f"  no effect, every bit of the run is the same: {listed(unmoved, _NAMED)}")
    if power.reach:
        lines += ["  smallest scale error that is caught:", *_indented(_reach(power.reach, width), words=2)]
    return [*lines, *_left_out(power), *(f"  {note}" for note in power.notes)]


def _left_out(power: Power) -> Iterator[str]:
    if power.left_out:
        yield (
            f"  {amount(power.left_out, 'further fault')} left out: the ini option parity_selftest_limit allows "
            f"{len(power.tried)} a test"
        )


def _name(tried: Tried) -> str:
    return f"{tried.fault} in {tried.module}"


def _faults(power: Power) -> Iterator[tuple[str, ...]]:
    yield "fault", "tried", CAUGHT, ESCAPED, NO_EFFECT, "caught at"
    for fault in dict.fromkeys(_general(one.fault) for one in power.tried):
        tried = [one for one in power.tried if _general(one.fault) == fault]
        ends = Counter(one.end for one in tried)
        kinds = Counter(kind for one in tried for kind in one.kinds if one.end == CAUGHT)
        at = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        yield fault, str(len(tried)), *(str(ends[end]) for end in (CAUGHT, ESCAPED, NO_EFFECT)), at


def _general(fault: str) -> str:
    """The fault without the name of the module that another one is swapped with."""
    return "layers swapped" if fault.startswith("swapped with ") else fault


def _reach(reaches: Sequence[Reach], width: int) -> Iterator[tuple[str, ...]]:
    yield "kind", "sites", "at one site", "at half", "at every site", "tolerance", "bluntest site"
    room = max(_SITE, width // 2)
    for one in reaches:
        yield (
            one.kind,
            str(one.sites),
            _share(one.some),
            _share(one.half),
            _share(one.every),
            _tolerance(one.tolerance),
            elided(one.site, room),
        )


def _share(value: float) -> str:
    return "none" if isinf(value) else f"1 + {number(value)}"


def _tolerance(tolerance: Tolerance) -> str:
    if tolerance.factor is not None:
        floors = f"{tolerance.factor:g} noise floors"
        return floors if tolerance.origin == _FLOOR else f"{floors} ({tolerance.origin})"
    return f"rtol={tolerance.rtol:g}, atol={tolerance.atol:g} ({tolerance.origin})"


def _indented(rows: Iterable[tuple[str, ...]], words: int) -> list[str]:
    """Rows in columns: the first one and the last ``words`` to the left, numbers to the right."""
    rows = list(rows)
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    numbers = range(1, len(widths) - words)
    return [
        "    "
        + "  ".join(
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
