"""One rule of a name map, parsed once.

A key is a dotted path in which ``{i}`` stands for one whole component; ``#0`` at its end says that the rule is about
one call of a module. The value is the same with the wildcards to be filled in, or an expression over such paths.
``(model)`` is the path with no components: the root.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from pytest_parity.errors import NameMapError
from pytest_parity.names.expression import Expression, from_plain
from pytest_parity.site import ROOT

__all__ = ["PathRule", "PatternRule", "Target", "join", "parse_rule", "split"]

Target: TypeAlias = "str | Expression"
"""Where a name lands: the reference's name, or what it is made of."""

_WILDCARD = re.compile(r"\{([A-Za-z_]\w*)\}")


def split(path: str) -> tuple[str, ...]:
    """The components of a dotted path; the root has none."""
    return () if path == ROOT else tuple(path.split("."))


def join(components: tuple[str, ...]) -> str:
    """The inverse of ``split``."""
    return ".".join(components) or ROOT


@dataclass(frozen=True, slots=True)
class PathRule:
    """``text`` is the rule as the user wrote it; a rule with a ``call`` is about that call of exactly that module."""

    text: str
    key: tuple[str, ...]
    wildcards: tuple[tuple[int, str], ...]
    """Position in the key, and the wildcard's name."""
    value: tuple[str, ...] | Expression
    call: int | None = None
    value_call: int = 0

    @property
    def shape(self) -> tuple[bool, ...]:
        """Which components are wildcards; it sorts literals before wildcards."""
        places = {place for place, _ in self.wildcards}
        return tuple(place in places for place in range(len(self.key)))

    @property
    def literals(self) -> tuple[str, ...]:
        """The components that are no wildcards."""
        return tuple(part for part, wild in zip(self.key, self.shape, strict=True) if not wild)

    def target(self, path: tuple[str, ...]) -> Target | None:
        """Where a path with this rule's literals lands; None where one wildcard would be two different texts."""
        filled: dict[str, str] = {}
        for place, name in self.wildcards:
            if filled.setdefault(name, path[place]) != path[place]:
                return None

        def fill(text: str) -> str:
            return _WILDCARD.sub(lambda match: filled[match[1]], text)

        rest = path[len(self.key) :]
        if isinstance(self.value, Expression):
            return self.value.filled(fill).renamed(lambda leaf: join(split(leaf) + rest))
        return join(tuple(map(fill, self.value)) + rest)


@dataclass(frozen=True, slots=True)
class PatternRule:
    """A regular expression over the whole path, and the template that the match is expanded into."""

    text: str
    pattern: re.Pattern[str]
    template: Target

    def target(self, path: str) -> Target | None:
        """Where a path lands; None where the expression does not match all of it."""
        match = self.pattern.fullmatch(path)
        if match is None:
            return None
        try:
            if isinstance(self.template, Expression):
                return self.template.filled(match.expand).renamed(lambda leaf: checked(leaf, self.text))
            return checked(match.expand(self.template), self.text)
        except (re.error, IndexError) as error:
            raise NameMapError(f"name rule {self.text}: {error}") from None


def parse_rule(key: object, value: object) -> PathRule | PatternRule:
    """Read one rule; a table as the value is an expression as TOML holds it. Raises ``NameMapError`` with the rule in it."""
    shown = f"re.compile({key.pattern!r})" if isinstance(key, re.Pattern) else repr(key)
    text = f"{shown}: {value!r}"
    if isinstance(value, Mapping):
        value = from_plain(value, text)
        text = f"{shown}: {value!r}"
    if isinstance(key, re.Pattern):
        if not isinstance(value, (str, Expression)) or not isinstance(key.pattern, str):
            _refuse(text, "the expression and its value are text")
        return PatternRule(text, key, value)
    if not isinstance(key, str) or not isinstance(value, (str, Expression)):
        _refuse(text, "a key is text or a compiled regular expression, a value is text")
    return _path_rule(key, value, text)


def checked(path: str, rule: str) -> str:
    """A path that a rule gave, or an error that quotes the rule."""
    if path == "":
        return ROOT
    if not all(path.split(".")):
        _refuse(rule, f"it gives {path!r}, which has an empty component")
    return path


def _path_rule(key: str, value: Target, text: str) -> PathRule:
    key_path, call = _split_call(key, text)
    parts = _components(key_path, text)
    wildcards = []
    for place, part in enumerate(parts):
        match = _WILDCARD.fullmatch(part)
        if match:
            wildcards.append((place, match[1]))
        elif "{" in part:
            _refuse(text, f"{part!r} mixes text and a wildcard, which stands for a whole component; use re.compile")
    names = tuple(name for _, name in wildcards)
    if isinstance(value, Expression):
        _check_expression(value, call, names, text)
        return PathRule(text, parts, tuple(wildcards), value)
    value_path, value_call = _split_call(value, text)
    if (call is None) != (value_call is None):
        _refuse(text, "a rule for one call has '#' and a number on both sides")
    value_parts = _components(value_path, text)
    _check_wildcards(value_parts, names, text)
    return PathRule(text, parts, tuple(wildcards), value_parts, call, value_call or 0)


def _check_expression(value: Expression, call: int | None, names: tuple[str, ...], text: str) -> None:
    if call is not None or any("#" in leaf for leaf in value.leaves()):
        _refuse(text, "what is rearranged is parameters and buffers; a rule for one call leads to a call")
    for leaf in value.leaves():
        _components(leaf, text)
    _check_wildcards(tuple(value.texts()), names, text)


def _check_wildcards(parts: tuple[str, ...], names: tuple[str, ...], text: str) -> None:
    """Every wildcard of a value is one of the key's."""
    for part in parts:
        for name in _WILDCARD.findall(part):
            if name not in names:
                have = f"the key has {', '.join(f'{{{name}}}' for name in names)}" if names else "the key has none"
                _refuse(text, f"the value's {{{name}}} is no wildcard of the key ({have})")


def _split_call(path: str, text: str) -> tuple[str, int | None]:
    path, mark, number = path.partition("#")
    if not mark:
        return path, None
    if not (number.isascii() and number.isdigit()):
        _refuse(text, f"'#{number}' is no call; the first call of a module is '#0'")
    return path, int(number)


def _components(path: str, text: str) -> tuple[str, ...]:
    if path == "":
        _refuse(text, f"an empty path; the root is {ROOT!r}")
    parts = split(path)
    if not all(parts):
        _refuse(text, f"{path!r} has an empty component")
    for part in parts:
        if "{" in (rest := _WILDCARD.sub("", part)) or "}" in rest:
            _refuse(text, f"the braces in {part!r} are not a wildcard; one looks like '{{i}}'")
    return parts


def _refuse(text: str, why: str) -> NoReturn:
    raise NameMapError(f"name rule {text}: {why}")
