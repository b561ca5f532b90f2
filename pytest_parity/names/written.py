"""A proposed name map written as TOML that ``names=`` reads: what is proved as rules, everything else as comments."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytest_parity.names.expression import Expression
from pytest_parity.names.namemap import NameMap
from pytest_parity.names.neighbours import module_pairs
from pytest_parity.names.proposal import Match, Proposal
from pytest_parity.names.rule import Target, join, split
from pytest_parity.site import ROOT

__all__ = ["rules_of", "to_toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def rules_of(matches: Sequence[Match], unsettled: Iterable[str] = ()) -> dict[str, Target]:
    """Rules that give exactly these pairs, as few as can be found: for whole modules, with wildcards for numbers.

    No name in ``unsettled`` is led by them to a tensor of these pairs.
    """
    unsettled = tuple(unsettled)
    modules = _by_module(matches)
    tensors = {match.candidate: match.target for match in matches if match.candidate != match.target}
    for rules in (_general(modules), modules, tensors):
        if _gives(rules, matches, unsettled):
            return rules
    raise AssertionError(tensors)


def _by_module(matches: Sequence[Match]) -> dict[str, Target]:
    """A rule for each module that is another's counterpart, then for each tensor that these do not lead to its own."""
    rules: dict[str, Target] = {}
    pairs = module_pairs((match.candidate, leaf) for match in matches for leaf in match.leaves)
    for own, other in reversed(pairs):
        key, target = own or ROOT, other or ROOT
        if _led(rules, key) != target:
            rules[key] = target
    cut: defaultdict[str, set[Target]] = defaultdict(set)
    for match in matches:
        cut[_module(match.candidate)].add(_of_modules(match))
    for match in matches:
        key = _module(match.candidate)
        if (
            isinstance(match.target, Expression)
            and len(cut[key]) == 1
            and match.target != (whole := _of_modules(match))
        ):
            rules[key] = whole
        elif _led(rules, match.candidate) != match.target:
            rules[match.candidate] = match.target
    return rules


def _led(rules: dict[str, Target], name: str) -> Target:
    """Where the rule for the nearest module above leads a name."""
    parts = split(name)
    for depth in range(len(parts), -1, -1):
        target = rules.get(join(parts[:depth]))
        if isinstance(target, str):
            return join(split(target) + parts[depth:])
    return name


def _module(name: str) -> str:
    return join(split(name)[:-1])


def _of_modules(match: Match) -> Target:
    """What the tensor is made of, said of modules, where the tensors have the same name in all of them."""
    target = match.target
    last = {split(name)[-1] for name in (match.candidate, *match.leaves)}
    if not isinstance(target, Expression) or len(last) > 1 or any(len(split(n)) == 1 for n in match.leaves):
        return target
    return target.renamed(_module)


def _general(rules: dict[str, Target]) -> dict[str, Target]:
    """Rules that differ in numbers only as one, with wildcards; of several such with one key the most frequent."""
    found: defaultdict[str, dict[Target, dict[str, Target]]] = defaultdict(dict)
    for key, target in rules.items():
        template, general = _generalized(key, target)
        found[template].setdefault(general, {})[key] = target
    made: dict[str, Target] = {}
    for template, targets in found.items():
        often = max(targets.values(), key=len)
        for general, exact in targets.items():
            made.update({template: general} if exact is often else exact)
    return made


def _generalized(key: str, target: Target) -> tuple[str, Target]:
    """With a wildcard for each number of the key, and for the same numbers in the same order in the target."""
    numbers = [part for part in split(key) if part.isdigit()]
    names = [f"{{{'ijklmn'[place]}}}" if place < 6 else f"{{i{place}}}" for place in range(len(numbers))]  # noqa: PLR2004
    waiting = iter(names)
    template = join(tuple(next(waiting) if part.isdigit() else part for part in split(key)))

    def fill(leaf: str) -> str:
        left = list(zip(numbers, names, strict=True))
        parts = []
        for part in split(leaf):
            place = next((place for place, (number, _) in enumerate(left) if number == part), None)
            parts.append(part if place is None else left[place][1])
            left = left if place is None else left[place + 1 :]
        return join(tuple(parts))

    return template, target.renamed(fill) if isinstance(target, Expression) else fill(target)


def _gives(rules: dict[str, Target], matches: Sequence[Match], unsettled: Iterable[str]) -> bool:
    names = NameMap.build(rules)
    taken = {leaf for match in matches for leaf in match.leaves}
    return all(names.translate(match.candidate) == match.target for match in matches) and all(
        (target := names.translate(name)) == name or target not in taken for name in unsettled
    )


def to_toml(proposal: Proposal, about: Sequence[str]) -> str:
    """The file's text; ``about`` are lines for its head."""
    return "\n".join([*_head(proposal, about), "", "[names]", *_body(proposal)]) + "\n"


def _head(proposal: Proposal, about: Sequence[str]) -> Iterator[str]:
    for line in about:
        yield f"# {line}"
    total = len(proposal.matches) + sum(len(tie.candidate) for tie in proposal.ties) + len(proposal.candidate)
    yield f"# {len(proposal.proved)} of the candidate's {total} tensors are proved; what is not is a comment below."


def _body(proposal: Proposal) -> Iterator[str]:
    rules = rules_of(proposal.proved, proposal.unsettled())
    for key, target in rules.items():
        yield _line(key, target)
    yield from _guesses(proposal, rules)
    if proposal.ties:
        yield ""
        yield "# TIES. These hold the same, and nothing tells which is which; write the rules yourself."
    for tie in proposal.ties:
        yield f"# {tie.what}: {', '.join(tie.candidate)} (candidate), {', '.join(tie.reference)} (reference)"
    for side, names in (("candidate", proposal.candidate), ("reference", proposal.reference)):
        if names:
            yield ""
            yield f"# In the {side} alone: {', '.join(names)}"


def _guesses(proposal: Proposal, proved: dict[str, Target]) -> Iterator[str]:
    """What is not certain: as few rules as for the certain ones, where those stay what they are beside them."""
    names = NameMap.build(proved)
    same = [match.candidate for match in proposal.guesses if names.translate(match.candidate) == match.target]
    if same:
        yield ""
        yield f"# GUESSES that need no rule of their own; confirm them all the same: {', '.join(same)}"
    other = [match for match in proposal.guesses if match.candidate not in same]
    if not other:
        return
    left = [*(name for tie in proposal.ties for name in tie.candidate), *proposal.candidate]
    rules = rules_of(other, left)
    if rules.keys() & proved.keys() or not _gives({**proved, **rules}, proposal.matches, left):
        rules = {match.candidate: match.target for match in other}
    yield ""
    yield "# GUESSES. Only names, shapes and order speak for these: confirm each, then remove its '#?'."
    for key, target in rules.items():
        yield f"#? {_line(key, target)}"


def _line(key: str, target: Target) -> str:
    return f"{_text(key)} = {_value(target.to_plain() if isinstance(target, Expression) else target)}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inside = (f"{name if _BARE.fullmatch(name) else _text(name)} = {_value(one)}" for name, one in value.items())
        return f"{{ {', '.join(inside)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value)


def _text(text: Any) -> str:
    """Text, numbers and truth as TOML has them, which is as JSON has them."""
    return json.dumps(text, ensure_ascii=False)
