"""Two configurations side by side, as plain nested tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from pytest_parity.contract.effects import Effect, effect_of
from pytest_parity.contract.reading import ConfigFile
from pytest_parity.errors import UsageError
from pytest_parity.result import Difference

__all__ = ["Change", "ConfigComparison", "KeyCompared", "compare_configs", "config_differences", "flattened"]

_ABSENT = "absent"


class Change(str, Enum):
    """What became of a key."""

    SAME = "same"
    CHANGED = "changed"
    TYPE = "type"
    """Values of two types: ``true`` and ``"True"``, ``1`` and ``1.0``, ``null`` and anything."""
    MISSING = "missing"
    """In the reference alone."""
    EXTRA = "extra"
    """In the candidate alone."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class KeyCompared:
    """One dotted key of two configurations; a value that is not there is ``...``."""

    key: str
    change: Change
    reference: Any
    candidate: Any
    effect: Effect
    reason: str
    """Of the effect."""


@dataclass(frozen=True, slots=True)
class ConfigComparison:
    """Every key of two configurations that was compared, in the reference's order, the candidate's own ones last."""

    reference: str
    candidate: str
    keys: tuple[KeyCompared, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Each pattern that was given, to the number of keys that it leaves out."""
    unresolved: Mapping[str, str] = field(default_factory=dict)
    """Compared keys whose value the files alone do not tell, to the reason: they are compared as they are written."""

    @property
    def differences(self) -> tuple[KeyCompared, ...]:
        """What is not the same, what changes numbers first."""
        order = {effect: place for place, effect in enumerate(Effect)}
        found = [one for one in self.keys if one.change is not Change.SAME]
        return tuple(sorted(found, key=lambda one: order[one.effect]))

    @property
    def passed(self) -> bool:
        """Whether something was compared and all of it is the same."""
        return bool(self.keys) and not self.differences


def compare_configs(
    reference: ConfigFile, candidate: ConfigFile, *, only: Sequence[str] = (), ignore: Sequence[str] = ()
) -> ConfigComparison:
    """Compare two files key by key; a list of plain values is one value.

    ``only`` and ``ignore`` are dotted keys or patterns (``*`` crosses dots) and stand for what is below them, too. Raises
    ``UsageError`` where one of ``only`` selects nothing in either, and where nothing is left to compare.
    """
    whole = _of_two_sorts(reference.values, candidate.values)
    theirs, ours = (_flat(one, whole) for one in (reference, candidate))
    rows = list(_rows(theirs, ours))
    names = [row.key for row in rows]
    for pattern in only:
        if not any(_selects(pattern, name) for name in names):
            raise UsageError(
                f"--only {pattern} selects no key of {reference.name} and none of {candidate.name}; "
                f"their sections are {_sections(names)}"
            )
    kept = [row for row in rows if not only or any(_selects(pattern, row.key) for pattern in only)]
    ignored = Counter(dict.fromkeys(ignore, 0))
    compared: list[KeyCompared] = []
    for row in kept:
        excepting = [one for one in ignore if _selects(one, row.key)]
        ignored.update(excepting[:1])
        compared += [] if excepting else [row]
    if not compared:
        why = "--ignore leaves none" if kept else "neither has any"
        raise UsageError(f"{reference.name} and {candidate.name}: there is no key to compare, {why}")
    open_keys = {**candidate.unresolved, **reference.unresolved}
    left = {name: why for name, why in open_keys.items() if any(_within(name, row.key) for row in compared)}
    return ConfigComparison(reference.name, candidate.name, tuple(compared), dict(ignored), left)


def config_differences(golden: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What a configuration says otherwise than the golden's, by dotted key."""
    theirs, ours = dict(flattened(golden)), dict(flattened(here))
    return tuple(
        Difference("config", key, str(theirs.get(key, _ABSENT)), str(ours.get(key, _ABSENT)))
        for key in dict.fromkeys([*theirs, *ours])
        if (key in theirs) != (key in ours) or theirs[key] != ours[key]
    )


def flattened(
    config: Any, prefix: str = "", *, whole_lists: bool = False, whole: Collection[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Each value with its dotted key: ``model.layers.0.width``; an empty table or list is a value.

    With ``whole_lists`` so is a list without tables in it; what the keys ``whole`` have is one, too.
    """
    if prefix and prefix in whole:
        yield prefix, config
        return
    if isinstance(config, Mapping) and config:
        items = [(str(key), value) for key, value in config.items()]
    elif isinstance(config, (list, tuple)) and config and not (whole_lists and _is_plain(config)):
        items = [(str(place), value) for place, value in enumerate(config)]
    else:
        yield prefix, config
        return
    for key, value in items:
        yield from flattened(value, f"{prefix}.{key}" if prefix else key, whole_lists=whole_lists, whole=whole)


def _flat(config: ConfigFile, whole: Collection[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in flattened(config.values, whole_lists=True, whole=whole) if config.values else ():
        if key in found:
            raise UsageError(
                f"{config.name} has the key {key} twice, nested and with a dot in its name (or as a number and as a text); "
                "rename one of them"
            )
        found[key] = value
    return found


def _of_two_sorts(reference: Mapping[str, Any], candidate: Mapping[str, Any]) -> frozenset[str]:
    """The keys that have a list on one side and a table on the other; below them ``0`` would mean two things."""
    lists, tables = ({key for one in (reference, candidate) for key in _holders(one, sort)} for sort in (list, Mapping))
    return frozenset(lists & tables)


def _holders(config: Any, sort: type, prefix: str = "") -> Iterator[str]:
    """The keys of all that is of a sort, lists or tables."""
    if isinstance(config, sort):
        yield prefix
    items = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        yield from _holders(value, sort, f"{prefix}.{key}" if prefix else str(key))


def _is_plain(value: Any) -> bool:
    """Whether there is no table anywhere in it."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return not isinstance(value, Mapping)


def _rows(theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[KeyCompared]:
    """A row per key; where one side has a value and the other a table, one for both."""
    tables = {key: _below(ours, key) for key in theirs if key not in ours}
    ours = {**ours, **{key: table for key, table in tables.items() if table}}
    covered = {name for key, table in tables.items() if table for name in _names_below(ours, key)}
    tables = {key: _below(theirs, key) for key in ours if key not in theirs and key not in covered}
    theirs = {**theirs, **{key: table for key, table in tables.items() if table}}
    covered |= {name for key, table in tables.items() if table for name in _names_below(theirs, key)}
    for key in dict.fromkeys([*theirs, *ours]):
        if key not in covered:
            rule = effect_of(key)
            one, other = theirs.get(key, ...), ours.get(key, ...)
            yield KeyCompared(key, _change(one, other), one, other, rule.effect, rule.reason)


def _names_below(flat: Mapping[str, Any], key: str) -> list[str]:
    return [name for name in flat if name.startswith(f"{key}.")]


def _below(flat: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name[len(key) + 1 :]: flat[name] for name in _names_below(flat, key)}


def _change(reference: Any, candidate: Any) -> Change:
    if candidate is ...:
        return Change.MISSING
    if reference is ...:
        return Change.EXTRA
    if _types(reference) == _types(candidate):
        return Change.SAME if _equal(reference, candidate) else Change.CHANGED
    kinds = {type(reference), type(candidate)}
    if kinds <= {int, float} or kinds == {list}:  # 0 and 0.1 are two numbers, 1 and 1.0 one number of two types
        return Change.TYPE if reference == candidate else Change.CHANGED
    return Change.TYPE


def _types(value: Any) -> Any:
    return [_types(item) for item in value] if isinstance(value, list) else type(value)


def _equal(one: Any, other: Any) -> bool:
    """NaN is NaN here: it is what is written."""
    return bool(one == other) or repr(one) == repr(other)


def _selects(pattern: str, key: str) -> bool:
    return fnmatchcase(key, pattern) or fnmatchcase(key, f"{pattern}.*")


def _within(name: str, key: str) -> bool:
    return name == key or name.startswith(f"{key}.")


def _sections(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(name.partition(".")[0] for name in names)) or "none"
