"""The rules of a name map, arranged so that looking up a name costs one dictionary lookup per shape of key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_parity.errors import NameMapError
from pytest_parity.names.rule import PathRule, PatternRule, Target, split

__all__ = ["Rule", "RuleTable"]

Rule = PathRule | PatternRule
_Shape = tuple[bool, ...]
_Found = tuple[tuple[str, ...], int | None]


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Rules by the shape of their keys, the strongest shape first: more components, then literals before wildcards."""

    shapes: tuple[tuple[_Shape, dict[_Found, PathRule]], ...]
    patterns: tuple[PatternRule, ...]
    calls: tuple[int, ...]
    """Every call index that a rule speaks of."""

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> RuleTable:
        """Arrange; raises ``NameMapError`` where two rules have the same key."""
        shapes: dict[_Shape, dict[_Found, PathRule]] = {}
        for rule in rules:
            if isinstance(rule, PatternRule):
                continue
            known = shapes.setdefault(rule.shape, {})
            other = known.setdefault((rule.literals, rule.call), rule)
            if other is not rule:
                raise NameMapError(f"name rules {other.text} and {rule.text} are about the same names")
        return cls(
            shapes=tuple(sorted(shapes.items(), key=lambda item: (-len(item[0]), item[0]))),
            patterns=tuple(rule for rule in rules if isinstance(rule, PatternRule)),
            calls=tuple(sorted({rule.call for rule in rules if isinstance(rule, PathRule) and rule.call is not None})),
        )

    def matches(self, path: str) -> Iterator[tuple[Rule, Target]]:
        """Every rule that is about a path, with where it lands; the one that wins comes first.

        A regular expression speaks of the whole path: it is stronger than a key that is only a prefix of it.
        """
        components = split(path)
        waiting = self.patterns
        for shape, rules in self.shapes:
            if len(shape) < len(components) and waiting:
                yield from _pattern_matches(waiting, path)
                waiting = ()
            yield from _shape_matches(shape, rules, components, None)
        yield from _pattern_matches(waiting, path)

    def call_matches(self, path: str, call: int) -> Iterator[tuple[PathRule, Target]]:
        """Every rule that is about one call of exactly this module, the one that wins first."""
        components = split(path)
        for shape, rules in self.shapes:
            if len(shape) == len(components):
                yield from _shape_matches(shape, rules, components, call)


def _shape_matches(
    shape: _Shape, rules: dict[_Found, PathRule], components: tuple[str, ...], call: int | None
) -> Iterator[tuple[PathRule, Target]]:
    if len(shape) > len(components):
        return
    literals = tuple([part for part, wild in zip(components, shape, strict=False) if not wild])
    rule = rules.get((literals, call))
    target = rule and rule.target(components)
    if rule and target:
        yield rule, target


def _pattern_matches(patterns: tuple[PatternRule, ...], path: str) -> Iterator[tuple[PatternRule, Target]]:
    for rule in patterns:
        target = rule.target(path)
        if target is not None:
            yield rule, target
