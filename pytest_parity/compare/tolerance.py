"""Tolerances: how close is close enough at a site, and who said so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NoReturn

from pytest_parity.errors import ToleranceError
from pytest_parity.result import Tolerance
from pytest_parity.site import Kind, Site

__all__ = ["Table", "Tolerances", "default_tolerance", "make"]

Table = Mapping[str, Any]
"""A kind's name, or a glob over the text of the reference's sites, to ``(rtol, atol)``, ``{"rtol": _, "atol": _}``, or
``{"factor": _}`` of the noise floor."""

_DEFAULTS = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex32": (1e-3, 1e-5),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
"""The table in the documentation of ``torch.testing.assert_close``; what is not in it is compared exactly."""

_NEITHER = (0.0, 0.0)


def default_tolerance(actual: str, expected: str) -> Tolerance:
    """The tolerance of ``torch.testing`` for a pair of dtypes, by name: of each number the larger of the two."""
    (rtol, atol), (other_rtol, other_atol) = _DEFAULTS.get(actual, _NEITHER), _DEFAULTS.get(expected, _NEITHER)
    return Tolerance(max(rtol, other_rtol), max(atol, other_atol), "dtype default")


def make(rtol: float | None, atol: float | None, origin: str, factor: float | None = None) -> Tolerance | None:
    """A tolerance declared at ``origin``, or ``None`` where no number is given.

    Raises ``ToleranceError`` for one of ``rtol`` and ``atol`` without the other, for a ``factor`` besides them, and for
    a number that is negative, infinite, NaN or none; a factor is above 0.
    """
    if factor is not None:
        if rtol is not None or atol is not None:
            raise ToleranceError(
                f"{origin}: factor={factor!r} besides rtol or atol; give a factor of the noise floor, or both of rtol and atol"
            )
        if not _number("factor", factor, origin):
            raise ToleranceError(f"{origin}: factor={factor!r}; it must be above 0, as in factor=10")
        return Tolerance(0.0, 0.0, origin, float(factor))
    if rtol is None and atol is None:
        return None
    if rtol is None or atol is None:
        given, missing = ("rtol", "atol") if atol is None else ("atol", "rtol")
        value = rtol if atol is None else atol
        raise ToleranceError(
            f"{origin}: {given}={value!r} without {missing}; give both, for instance {given}={value!r}, {missing}=0.0"
        )
    return Tolerance(_number("rtol", rtol, origin), _number("atol", atol, origin), origin)


def _number(name: str, value: object, origin: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ToleranceError(f"{origin}: {name}={value!r} is not a number")
    if not math.isfinite(value) or value < 0:
        raise ToleranceError(f"{origin}: {name}={value!r}; it must be a finite number that is not negative")
    return float(value)


class Tolerances:
    """Which tolerance holds at a site.

    ``levels`` are pairs of an origin ("marker", "parity_tolerances") and a table, strongest first; the dtype's default
    stands behind them all, and a tolerance given in a call before them. Within one table the last pattern that matches
    wins, and a kind's name is weaker than any pattern. Raises ``ToleranceError`` for a key that is neither a kind nor a
    pattern, and for numbers that ``make`` refuses.
    """

    def __init__(self, levels: Sequence[tuple[str, Table]] = ()) -> None:
        self._levels = tuple(_Level(origin, table) for origin, table in levels)
        self._known: dict[Site, Tolerance | None] = {}
        self._defaults: dict[tuple[str, str], Tolerance] = {}

    def of(self, site: Site, actual: str, expected: str, call: Tolerance | None = None) -> Tolerance:
        """The tolerance at ``site`` (the reference's) for a pair of dtypes, by name, where no noise floor decides.

        ``call`` overrides everything; what was declared as a factor has no numbers, and the dtype's default applies.
        """
        declared = self.declared(site, call)
        if declared is not None and declared.factor is None:
            return declared
        key = (actual, expected)
        known = self._defaults.get(key)
        if known is None:
            known = self._defaults[key] = default_tolerance(actual, expected)
        return known

    def declared(self, site: Site, call: Tolerance | None = None) -> Tolerance | None:
        """What was declared for a site (the reference's), by the call or at the strongest level; ``None``: nothing."""
        if call is not None:
            return call
        if site not in self._known:
            self._known[site] = self._find(site)
        return self._known[site]

    def _find(self, site: Site) -> Tolerance | None:
        text = str(site)
        for level in self._levels:
            found = level.find(site.kind.value, text)
            if found is not None:
                return found
        return None


class _Level:
    """One table, checked."""

    def __init__(self, origin: str, table: Table) -> None:
        self._kinds: dict[str, Tolerance] = {}
        self._patterns: list[tuple[str, Tolerance]] = []
        for key, value in table.items():
            tolerance = _entry(f"{origin} {key!r}", value)
            if key in Kind._value2member_map_:
                self._kinds[key] = tolerance
            else:
                self._patterns.append((_pattern(key, origin), tolerance))

    def find(self, kind: str, text: str) -> Tolerance | None:
        for pattern, tolerance in reversed(self._patterns):
            if fnmatchcase(text, pattern):
                return tolerance
        return self._kinds.get(kind)


def _entry(origin: str, value: Any) -> Tolerance:
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - {"rtol", "atol", "factor"})
        if unknown:
            raise ToleranceError(
                f"{origin}: unknown {', '.join(map(repr, unknown))}; a tolerance has rtol and atol, or a factor"
            )
        if "factor" in value:
            made = make(value.get("rtol"), value.get("atol"), origin, value["factor"])
            return made or _neither(origin)
        value = (value.get("rtol"), value.get("atol"))
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or len(value) != len(_NEITHER):
        raise ToleranceError(f"{origin}: {value!r} is not a pair (rtol, atol)")
    tolerance = make(value[0], value[1], origin)
    return tolerance or _neither(origin)


def _neither(origin: str) -> NoReturn:
    raise ToleranceError(f"{origin}: neither rtol nor atol; give both")


def _pattern(key: str, origin: str) -> str:
    if "/" in key or "*" in key:
        return key
    kinds = [kind.value for kind in Kind]
    near = get_close_matches(key, kinds, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ToleranceError(
        f"{origin}: {key!r} is neither a kind nor a pattern; {hint}kinds are {', '.join(kinds)}; "
        f"a pattern looks like 'activation/encoder.layers.*'"
    )
