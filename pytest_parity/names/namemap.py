"""NameMap: the user's rules from the candidate's names to the reference's, parsed once and bound to two models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pytest_parity.errors import NameMapError
from pytest_parity.names.binding import bind
from pytest_parity.names.bound import BoundNames
from pytest_parity.names.rule import checked, parse_rule
from pytest_parity.names.table import Rule, RuleTable
from pytest_parity.site import ROOT

__all__ = ["NameMap", "NameSpec"]

Key: TypeAlias = "str | re.Pattern[str]"
NameSpec: TypeAlias = (
    "NameMap | Mapping[Key, str] | Mapping[str, str] | Sequence[tuple[Key, str]] | Callable[[str], str]"
)


@dataclass(frozen=True, slots=True)
class NameMap:
    """Rules from the candidate's names to the reference's; immutable.

    A key is a dotted path in which ``{i}`` matches exactly one component, or a compiled regular expression that matches
    the whole path. A dotted key matches at component boundaries, what remains of the path is appended to its value. Of
    several rules the one with most components wins, literals before wildcards, a regular expression before a shorter
    key. ``"a.b#0": "c.d#3"`` maps one call of a module and nothing below it. A name without a rule keeps its name.
    """

    table: RuleTable
    rules: tuple[Rule, ...]
    function: Callable[[str], str] | None = None

    @classmethod
    def build(cls, spec: NameSpec | None) -> NameMap:
        """Parse a mapping, a sequence of pairs or a function of a path; raises ``NameMapError``."""
        if isinstance(spec, NameMap):
            return spec
        if spec is None:
            return cls.identity()
        if isinstance(spec, Mapping):
            return cls._of([parse_rule(key, value) for key, value in spec.items()])
        if isinstance(spec, Sequence) and not isinstance(spec, (str, bytes)):
            return cls._of([parse_rule(*_pair(item)) for item in spec])
        if callable(spec):
            return cls(RuleTable.of(()), (), spec)
        raise NameMapError(f"names={spec!r} is no name map; give a mapping, pairs, or a function of a path")

    @classmethod
    def identity(cls) -> NameMap:
        """Every name is itself."""
        return cls._of(())

    @classmethod
    def _of(cls, rules: Sequence[Rule]) -> NameMap:
        return cls(RuleTable.of(rules), tuple(rules))

    def translate(self, path: str) -> str:
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
    ) -> BoundNames:
        """Apply the rules to all module, parameter and buffer paths of either side.

        The aliases are the further names of tied tensors, each with the name that stands for the tensor: those of the
        candidate may land where the tensor itself does, and what lands on one of the reference's is that tensor.

        Raises ``NameMapError`` for a rule that matches no name of the candidate or lands on none of the reference's,
        and for two names of the candidate that land on one.
        """
        return bind(
            self.table,
            self.rules,
            self.translate,
            candidate=dict.fromkeys(name or ROOT for name in candidate),
            reference=dict.fromkeys(name or ROOT for name in reference),
            candidate_aliases=candidate_aliases or {},
            reference_aliases=reference_aliases or {},
        )


def _pair(item: object) -> tuple[object, object]:
    if not isinstance(item, Sequence) or isinstance(item, str) or len(item) != 2:  # noqa: PLR2004 -- a pair
        raise NameMapError(
            f"name rule {item!r}: a sequence of rules holds pairs of the candidate's and the reference's"
        )
    return item[0], item[1]


def _called(function: Callable[[str], str], path: str) -> str:
    text = f"{getattr(function, '__qualname__', function)!s}({path!r})"
    target = function(path)
    if not isinstance(target, str):
        raise NameMapError(f"name rule {text}: it gives {target!r}, not a path")
    return checked(target, text)
