"""NameMap: the user's rules from the candidate's names to the reference's, parsed once and bound to two models."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pytest_parity.errors import NameMapError
from pytest_parity.names.binding import bind
from pytest_parity.names.bound import BoundNames
from pytest_parity.names.expression import Expression
from pytest_parity.names.file import read_names
from pytest_parity.names.layout import Shapes
from pytest_parity.names.rule import Target, checked, parse_rule
from pytest_parity.names.table import Rule, RuleTable
from pytest_parity.site import ROOT

__all__ = ["NameMap", "NameSpec"]

Key: TypeAlias = "str | re.Pattern[str]"
Value: TypeAlias = "str | Expression | Mapping[str, object]"
NameSpec: TypeAlias = (
    "NameMap | str | os.PathLike[str] | Mapping[Key, Value] | Mapping[str, Value] | Mapping[str, str] "
    "| Sequence[tuple[Key, Value]] | Callable[[str], Target]"
)
"""What ``names=`` takes; text and paths are of a TOML file."""


@dataclass(frozen=True, slots=True)
class NameMap:
    """Rules from the candidate's names to the reference's; immutable.

    A key is a dotted path in which ``{i}`` matches exactly one component, or a compiled regular expression that matches
    the whole path. A dotted key matches at component boundaries, what remains of the path is appended to its value. Of
    several rules the one with most components wins, literals before wildcards, a regular expression before a shorter
    key. ``"a.b#0": "c.d#3"`` maps one call of a module and nothing below it. A name without a rule keeps its name.

    A value may be an expression: what the candidate's tensor, or each tensor below the key, is made of.
    """

    table: RuleTable
    rules: tuple[Rule, ...]
    function: Callable[[str], Target] | None = None

    @classmethod
    def build(cls, spec: NameSpec | None) -> NameMap:
        """Parse a mapping, a sequence of pairs, a TOML file or a function of a path; raises ``NameMapError``."""
        if isinstance(spec, NameMap):
            return spec
        if spec is None:
            return cls.identity()
        if isinstance(spec, (str, os.PathLike)):
            return cls.build(read_names(spec))
        if isinstance(spec, Mapping):
            return cls._of([parse_rule(key, value) for key, value in spec.items()])
        if isinstance(spec, Sequence) and not isinstance(spec, bytes):
            return cls._of([parse_rule(*_pair(item)) for item in spec])
        if callable(spec):
            return cls(RuleTable.of(()), (), spec)
        raise NameMapError(
            f"names={spec!r} is no name map; give a mapping, pairs, a TOML file, or a function of a path"
        )

    @classmethod
    def identity(cls) -> NameMap:
        """Every name is itself."""
        return cls._of(())

    @classmethod
    def _of(cls, rules: Sequence[Rule]) -> NameMap:
        return cls(RuleTable.of(rules), tuple(rules))

    def about(self, candidate: Iterable[str], reference: Collection[str] | None = None) -> NameMap:
        """The rules that speak of these names, and lead to one of the reference's where those are given.

        For where little is known of a model, as of its tensors alone: a rule about anything else is no slip there.
        """
        if self.function is not None:
            return self
        kept = {
            id(rule)
            for name in candidate
            for rule, target in self._speaking_of(name)
            if reference is None or any(leaf in reference for leaf in _leaves(target))
        }
        return self._of([rule for rule in self.rules if id(rule) in kept])

    def _speaking_of(self, name: str) -> Iterator[tuple[Rule, Target]]:
        yield from self.table.matches(name)
        for call in self.table.calls:
            yield from self.table.call_matches(name, call)

    def translate(self, path: str) -> Target:
        """Where a path lands, unchecked."""
        if self.function is not None:
            return _called(self.function, path)
        return next((target for _, target in self.table.matches(path)), path)

    def bind(
        self,
        candidate: Iterable[str],
        reference: Iterable[str],
        *,
        candidate_aliases: Mapping[str, str] | None = None,
        reference_aliases: Mapping[str, str] | None = None,
        candidate_shapes: Shapes | None = None,
        reference_shapes: Shapes | None = None,
    ) -> BoundNames:
        """Apply the rules to all module, parameter and buffer paths of either side.

        The aliases are the further names of tied tensors, each with the name that stands for the tensor: those of the
        candidate may land where the tensor itself does, and what lands on one of the reference's is that tensor.
        Expressions are about the tensors in the two tables of shapes.

        Raises ``NameMapError`` for a rule that matches no name of the candidate or lands on none of the reference's,
        for two names of the candidate that land on one, and for expressions that do not give the candidate's shapes,
        use an element of the reference's twice, or leave one out.
        """
        return bind(
            self.table,
            self.rules,
            self.translate,
            candidate=dict.fromkeys(name or ROOT for name in candidate),
            reference=dict.fromkeys(name or ROOT for name in reference),
            candidate_aliases=candidate_aliases or {},
            reference_aliases=reference_aliases or {},
            candidate_shapes=candidate_shapes or {},
            reference_shapes=reference_shapes or {},
        )


def _leaves(target: Target) -> Iterable[str]:
    return target.leaves() if isinstance(target, Expression) else (target,)


def _pair(item: object) -> tuple[object, object]:
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:  # noqa: PLR2004 -- a pair
        raise NameMapError(
            f"name rule {item!r}: a sequence of rules holds pairs of the candidate's and the reference's"
        )
    return item[0], item[1]


def _called(function: Callable[[str], Target], path: str) -> Target:
    text = f"{getattr(function, '__qualname__', function)!s}({path!r})"
    target = function(path)
    if isinstance(target, Expression):
        return target
    if not isinstance(target, str):
        raise NameMapError(f"name rule {text}: it gives {target!r}, not a path")
    return checked(target, text)
