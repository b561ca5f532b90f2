"""Binding rules to two models' names: translate every name once, then refuse what cannot be meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from pytest_parity.errors import NameMapError
from pytest_parity.names.bound import UNMAPPED, BoundNames, Call
from pytest_parity.names.expression import Expression
from pytest_parity.names.layout import REARRANGED, Layout, Shapes
from pytest_parity.names.regroup import rearrangements, settled
from pytest_parity.names.rule import PathRule, Target
from pytest_parity.names.suggest import nearest
from pytest_parity.names.table import Rule, RuleTable
from pytest_parity.site import ROOT

__all__ = ["bind"]

Names = Mapping[str, None]
RuledCalls = dict[Call, tuple[Call, PathRule]]
"""A call of the candidate's, its target, and the rule that says so."""


def bind(
    table: RuleTable,
    rules: Sequence[Rule],
    translate: Callable[[str], Target],
    *,
    candidate: Names,
    reference: Names,
    candidate_aliases: Mapping[str, str],
    reference_aliases: Mapping[str, str],
    candidate_shapes: Shapes,
    reference_shapes: Shapes,
) -> BoundNames:
    """Apply the rules and check the result; what is refused is listed at ``NameMap.bind``."""
    found = {name: list(table.matches(name)) for name in dict.fromkeys([*candidate, *candidate_aliases])}
    calls, called = _calls(table, candidate)
    _check_matched(rules, called | {id(rule) for pairs in found.values() for rule, _ in pairs}, candidate)
    _check_landed(found, reference, reference_aliases)
    _check_calls(calls, reference)

    paths = {name: pairs[0][1] if pairs else translate(name) for name, pairs in found.items()}
    texts = {name: pairs[0][0].text for name, pairs in found.items() if pairs}
    layouts = rearrangements(
        paths,
        texts,
        candidate_shapes,
        reference_shapes,
        candidate_aliases=candidate_aliases,
        reference_aliases=reference_aliases,
    )
    plain = settled(paths, layouts, reference)
    own = {name: target for name, target in plain.items() if name not in candidate_aliases}
    _yield_root(own, found)
    _follow_aliases(own, reference, reference_aliases, {name for layout in layouts for name in layout.reference})
    _check_collisions(own, calls, texts)
    _check_taken(own, layouts)

    def further(name: str) -> str:
        target = translate(name)
        if isinstance(target, Expression):
            return own.get(candidate_aliases.get(name, name), name)
        return _further(name, target, own, candidate_aliases, reference)

    return BoundNames(
        paths=own, calls={call: target for call, (target, _) in calls.items()}, translate=further, layouts=layouts
    )


def _further(name: str, target: str, paths: Mapping[str, str], aliases: Mapping[str, str], reference: Names) -> str:
    """Where a name that was not bound lands: an alias that has no counterpart of its own, where its tensor does."""
    return target if target in reference else paths.get(aliases.get(name, name), target)


def _calls(table: RuleTable, candidate: Names) -> tuple[RuledCalls, set[int]]:
    """The calls that rules speak of; and the identity of every rule for a call that matches something."""
    calls: RuledCalls = {}
    matched: set[int] = set()
    for index in table.calls:
        for name in candidate:
            for rule, target in table.call_matches(name, index):
                assert isinstance(target, str)  # a rule for one call has no expression
                matched.add(id(rule))
                calls.setdefault((name, index), ((target, rule.value_call), rule))
    return calls, matched


def _check_matched(rules: Sequence[Rule], matched: set[int], candidate: Names) -> None:
    for rule in rules:
        if id(rule) in matched:
            continue
        if isinstance(rule, PathRule):
            places = {place for place, _ in rule.wildcards}
            guess = ".".join("0" if place in places else part for place, part in enumerate(rule.key))
            what = "is no module of" if rule.call is not None else "matches no module, parameter or buffer of"
            raise NameMapError(f"name rule {rule.text}: the key {what} the candidate{nearest(guess, candidate)}")
        raise NameMapError(f"name rule {rule.text}: the expression matches all of no name of the candidate's")


def _check_landed(
    found: Mapping[str, Sequence[tuple[Rule, Target]]], reference: Names, aliases: Mapping[str, str]
) -> None:
    """A rule none of whose names arrives is a slip of the pen; one of whose names some arrive is not."""
    missed: dict[int, tuple[Rule, str]] = {}
    landed = set()
    for pairs in found.values():
        for rule, target in pairs[:1]:
            leaves = target.leaves() if isinstance(target, Expression) else (target,)
            nowhere = next((leaf for leaf in leaves if leaf not in reference and leaf not in aliases), None)
            if nowhere is None:
                landed.add(id(rule))
            else:
                missed.setdefault(id(rule), (rule, nowhere))
    for key, (rule, target) in missed.items():
        if key not in landed:
            raise NameMapError(
                f"name rule {rule.text}: it leads to {target!r}, which the reference does not have"
                f"{nearest(target, reference)}"
            )


def _check_calls(calls: RuledCalls, reference: Names) -> None:
    taken: dict[Call, tuple[Call, PathRule]] = {}
    for call, (target, rule) in calls.items():
        if target[0] not in reference:
            raise NameMapError(
                f"name rule {rule.text}: it leads to {target[0]!r}, which is no module of the reference"
                f"{nearest(target[0], reference)}"
            )
        other, other_rule = taken.setdefault(target, (call, rule))
        if other != call:
            raise NameMapError(
                f"calls {_shown(other)} and {_shown(call)} of the candidate both land on {_shown(target)} "
                f"(name rules {other_rule.text} and {rule.text})"
            )


def _yield_root(paths: dict[str, str], found: Mapping[str, Sequence[tuple[Rule, Target]]]) -> None:
    """Where a rule says that a part of the candidate is the whole reference, the candidate's root is no counterpart."""
    taken = any(target == ROOT for name, target in paths.items() if name != ROOT)
    if taken and not found.get(ROOT) and paths.get(ROOT) == ROOT:
        paths[ROOT] = ROOT + UNMAPPED


def _follow_aliases(
    paths: dict[str, str], reference: Names, aliases: Mapping[str, str], rearranged: Iterable[str]
) -> None:
    """What lands on an alias of a tied tensor is that tensor, unless another name lands on the tensor itself."""
    taken = {*paths.values(), *rearranged}
    for name, target in paths.items():
        tensor = aliases.get(target, target)
        if tensor != target and tensor in reference and tensor not in taken:
            paths[name] = tensor
            taken.add(tensor)


def _check_collisions(paths: Mapping[str, str], calls: RuledCalls, rules: Mapping[str, str]) -> None:
    """Two names on one; modules whose calls rules tell apart are no collision."""
    split = {name for name, _ in calls}
    landed: defaultdict[str, list[str]] = defaultdict(list)
    for name, target in paths.items():
        landed[target].append(name)
    for target, names in landed.items():
        if len(names) == 1 or split.issuperset(names):
            continue
        how = "; ".join(f"{name!r} by {'the rule ' + rules[name] if name in rules else 'its name'}" for name in names)
        ruled = next((name for name in names if name in rules), names[-1])
        raise NameMapError(
            f"{len(names)} names of the candidate land on {target!r} of the reference: {how}. "
            f"A key that ends in a wildcard, {ruled + '.{name}'!r}, maps only what is inside; "
            f"{ruled + '#0'!r} maps a single call"
        )


def _check_taken(paths: Mapping[str, str], layouts: Iterable[Layout]) -> None:
    """A tensor of the candidate that lands on one of which others are made."""
    back = {target: name for name, target in paths.items()}
    for layout in layouts:
        for target in layout.reference:
            if target in back:
                raise NameMapError(
                    f"{back[target]!r} of the candidate lands on {target!r} of the reference, of which the name rule "
                    f"{' and '.join(layout.rules)} makes {', '.join(_own_names(layout))}"
                )


def _own_names(layout: Layout) -> list[str]:
    return [name.removesuffix(REARRANGED) for name in layout.candidate]


def _shown(call: Call) -> str:
    return f"{call[0]!r}#{call[1]}"
