"""A proposed name map written as TOML that ``names=`` reads: what is proved as rules, everything else as comments."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pytest_parity.names.expression import Expression
from pytest_parity.names.namemap import NameMap
from pytest_parity.names.proposal import Match, Proposal
from pytest_parity.names.rule import Target, join, split

__all__ = ["rules_of", "to_toml"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def rules_of(matches: Sequence[Match], unsettled: Iterable[str] = ()) -> dict[str, Target]:
    """Rules that give exactly these pairs, as few as can be found: for whole modules, with wildcards for numbers.

    Names in ``unsettled`` are left alone by them, or go where they would without.
    """
    unsettled = tuple(unsettled)
    for shorten, generalize in ((True, True), (False, True), (False, False)):
        rules = _rules(matches, shorten=shorten, generalize=generalize)
        if _gives(rules, matches, unsettled):
            return rules
    raise AssertionError(rules)


def _rules(matches: Sequence[Match], *, shorten: bool, generalize: bool) -> dict[str, Target]:
    found: defaultdict[str, dict[Target, dict[str, Target]]] = defaultdict(dict)
    for match in matches:
        key, target = match.candidate, match.target
        if shorten:
            key, target = _shortened(key, target)
        if key == target:
            continue
        template, general = _generalized(key, target) if generalize else (key, target)
        found[template].setdefault(general, {})[key] = target
    rules: dict[str, Target] = {}
    for template, targets in found.items():
        often = max(targets.values(), key=len)
        for general, exact in targets.items():
            rules.update({template: general} if exact is often else exact)
    return rules


def _shortened(key: str, target: Target) -> tuple[str, Target]:
    """Without the components that both end in."""
    leaves = list(target.leaves()) if isinstance(target, Expression) else [target]
    paths = [split(key), *map(split, leaves)]
    least = min(map(len, paths)) - 1
    same = 0
    while same < least and len({path[-1 - same] for path in paths}) == 1:
        same += 1
    if key == target or not same:
        return key, target
    if isinstance(target, Expression) and same > 1:
        same = 1  # the tensor's own name; what is above differs on one of the sides
    cut = len(paths[0]) - same

    def cut_off(leaf: str) -> str:
        return join(split(leaf)[: len(split(leaf)) - same])

    return join(paths[0][:cut]), target.renamed(cut_off) if isinstance(target, Expression) else cut_off(target)


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
        isinstance(target := names.translate(name), str) and target not in taken for name in unsettled
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
    same = [match.candidate for match in proposal.guesses if match.candidate == match.target]
    if same:
        yield ""
        yield f"# GUESSES that need no rule, of one name and shape on both sides: {', '.join(same)}"
    other = [match for match in proposal.guesses if match.candidate != match.target]
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
