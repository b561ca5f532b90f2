"""The marker ``parity``: what a test says about its case, validated at collection."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from pytest_parity.compare.coverage import check_coverage, check_patterns
from pytest_parity.compare.tolerance import make
from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import check_case_name
from pytest_parity.plugin.options import RNG_MODES
from pytest_parity.plugin.text import nearest, quoted
from pytest_parity.result import Tolerance
from pytest_parity.settings import MarkerOptions
from pytest_parity.site import Kind

__all__ = ["SIGNATURE", "read_marker"]

SIGNATURE = "parity(case, *, names, kinds, rtol, atol, factor, valid, rng, replay, ignore, coverage, allow_dtype)"
_KEYWORDS = (
    "case",
    "names",
    "kinds",
    "rtol",
    "atol",
    "factor",
    "valid",
    "rng",
    "replay",
    "ignore",
    "coverage",
    "allow_dtype",
)

_TOLERANCE = frozenset({"rtol", "atol", "factor"})


def read_marker(item: pytest.Item) -> tuple[str | None, MarkerOptions]:
    """The case, if one is named, and the options of a test's markers, its class's and its module's, read together.

    Of each keyword the marker nearest to the test that gives it counts. Raises ``UsageError``.
    """
    found: dict[str, Any] = {}
    for mark in item.iter_markers("parity"):
        values = _validated(mark)
        nearer = _TOLERANCE & set(found)
        found = {key: value for key, value in values.items() if not (nearer and key in _TOLERANCE)} | found
    return found.pop("case", None), MarkerOptions(**found)


def _validated(mark: pytest.Mark) -> dict[str, Any]:
    given = _arguments(mark)
    tolerance = make(given.pop("rtol", None), given.pop("atol", None), "@pytest.mark.parity", given.pop("factor", None))
    values = {keyword: _CHECKS[keyword](value) for keyword, value in given.items() if value is not None}
    return values | _as_options(tolerance)


def _as_options(tolerance: Tolerance | None) -> dict[str, float]:
    if tolerance is None:
        return {}
    if tolerance.factor is not None:
        return {"factor": tolerance.factor}
    return {"rtol": tolerance.rtol, "atol": tolerance.atol}


def _arguments(mark: pytest.Mark) -> dict[str, Any]:
    if len(mark.args) > 1:
        raise UsageError(
            f"@pytest.mark.parity takes one name without a keyword, the case, and was given {len(mark.args)}; "
            f"write: {SIGNATURE}"
        )
    for keyword in mark.kwargs:
        if keyword not in _KEYWORDS:
            raise UsageError(
                f"@pytest.mark.parity has no keyword {keyword!r}{nearest(keyword, _KEYWORDS)}; write: {SIGNATURE}"
            )
    if mark.args and "case" in mark.kwargs:
        raise UsageError(
            f"@pytest.mark.parity was given the case twice: {mark.args[0]!r}, case={mark.kwargs['case']!r}"
        )
    return {"case": mark.args[0], **mark.kwargs} if mark.args else dict(mark.kwargs)


def _case(value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(
            f"@pytest.mark.parity({value!r}): the case is its name, a string; write: @pytest.mark.parity('nest/tiny')"
        )
    check_case_name(value)
    return value


def _names(value: Any) -> Any:
    file = isinstance(value, os.PathLike) or (isinstance(value, str) and value.endswith(".toml"))
    if not file and (isinstance(value, str) or not (callable(value) or isinstance(value, Iterable))):
        raise UsageError(
            f"@pytest.mark.parity(names={value!r}): a name map is a table of rules, a TOML file or a function; "
            "write: names={'encoder.blocks.{i}': 'encoder.layers.{i}'}"
        )
    return value


def _kinds(value: Any) -> frozenset[Kind]:
    known = [str(kind) for kind in Kind]
    names = _strings("kinds", value, "['activation', 'gradient']")
    for name in names:
        if str(name) not in known:
            raise UsageError(
                f"@pytest.mark.parity(kinds=...): {name!r} is no kind{nearest(str(name), known)}; "
                f"there are: {quoted(known)}"
            )
    return frozenset(Kind(name) for name in names)


def _valid(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(pattern, str) for pattern in value):
        raise UsageError(
            f"@pytest.mark.parity(valid={value!r}): valid regions are a table from patterns of module paths; "
            "write: valid={'encoder.layers.*': Valid(dim=1, lengths='audio_len')}"
        )
    return value


def _rng(value: Any) -> str:
    if value not in RNG_MODES:
        raise UsageError(f"@pytest.mark.parity(rng={value!r}): rng is one of: {quoted(RNG_MODES)}")
    return str(value)


def _replay(value: Any) -> tuple[str, ...]:
    return _strings("replay", value, "['mask_processor']")


def _ignore(value: Any) -> tuple[str, ...]:
    return check_patterns(value, "@pytest.mark.parity")


def _coverage(value: Any) -> float:
    return check_coverage(value, "@pytest.mark.parity")


def _allow_dtype(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"@pytest.mark.parity(allow_dtype={value!r}): allow_dtype is True or False")
    return value


def _strings(keyword: str, value: Any, example: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"@pytest.mark.parity({keyword}={value!r}): {keyword} is a list; write: {keyword}={example}")
    found = tuple(value)
    if not found or not all(isinstance(name, str) for name in found):
        raise UsageError(f"@pytest.mark.parity({keyword}={value!r}): a list of names; write: {keyword}={example}")
    return found


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "case": _case,
    "names": _names,
    "kinds": _kinds,
    "valid": _valid,
    "rng": _rng,
    "replay": _replay,
    "ignore": _ignore,
    "coverage": _coverage,
    "allow_dtype": _allow_dtype,
}
