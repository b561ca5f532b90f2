"""Hints of an optimizer's step: which rule reproduces the reference's update, and which one the candidate's.

Both begin with the golden's weight, gradient and state, so that a rule in closed form proves itself on the data: the
reference's has to come out of its recorded settings, and the hint is the one change that makes the candidate's of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from math import inf
from typing import Any

import torch

from pytest_parity.diagnose.hints.changes import SETTINGS, Change, Known, worst
from pytest_parity.diagnose.hints.evidence import FLOORS, Pair, many, multiple, times, within
from pytest_parity.diagnose.hints.mistakes import MISTAKES
from pytest_parity.diagnose.hints.rules import KNOWN, WEIGHT, Begin, Rule, rules_of
from pytest_parity.diagnose.hints.solving import UNKNOWNS, solved
from pytest_parity.report.words import amount, listed, number
from pytest_parity.result import Cause, Hint
from pytest_parity.site import Kind, Site

__all__ = ["Optimizer", "Stepped", "update_hints"]

_ENOUGH = 1 << 16
"""Elements on which causes are looked for; what is found is tested on all."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer of each side: class, and settings by parameter group."""

    golden: str
    own: str
    golden_groups: Sequence[Mapping[str, Any]]
    own_groups: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Stepped:
    """One parameter's step: what it begins with, and what it left on both sides; read when asked, in float64."""

    name: str
    """The candidate's own."""
    group: int
    """Which of the candidate's parameter groups holds it; -1 where that is not known."""
    fails: bool
    elements: int
    begin: Callable[[], Begin]
    ends: Callable[[], Mapping[str, tuple[torch.Tensor, torch.Tensor, float]]] = field(default=dict)
    """By what it left: the candidate's, the reference's, and the floor of the norm of their difference."""


def update_hints(steps: Sequence[Stepped], optimizer: Optimizer) -> tuple[Hint, ...]:
    """Why an optimizer's step differs: what its settings prove, else the first cause that fits."""
    failing = [one for one in steps if one.fails]
    if not failing:
        return ()
    search = _Search(steps, optimizer)
    sample = search.sample()
    if sample is None:
        return tuple(_direct(failing))
    if worst([one for one in sample if one.fails], lambda one: one.reference) <= FLOORS:
        return ()  # what differs is none of what was looked at
    found = tuple(search.visible(sample)) or search.hidden(sample)
    return tuple(_direct(failing)) if found is None else found


@dataclass(frozen=True, slots=True)
class _Search:
    steps: Sequence[Stepped]
    optimizer: Optimizer

    def sample(self) -> list[Known] | None:
        """Some of the steps with the rules of both sides, those that fail first; ``None`` where the reference has none."""
        chosen: list[Known] = []
        elements = 0
        for one in sorted(self.steps, key=lambda step: (not step.fails, step.elements)):
            if elements and elements + one.elements > _ENOUGH:
                continue
            known = self.known(one)
            if known is None:
                return None
            chosen.append(known.thinned(_ENOUGH))
            elements += one.elements
        return chosen

    def known(self, one: Stepped) -> Known | None:
        """A step with the rule that reproduces the reference's, by its settings."""
        begin, ends = one.begin(), one.ends()
        groups = self.optimizer.golden_groups
        same = len(groups) == len(self.optimizer.own_groups)
        order = [groups[one.group]] if same and 0 <= one.group < len(groups) else []
        order += [group for group in groups if group not in order]
        known = Known(one.name, one.group, one.fails, begin, ends, None, None)
        theirs = zip_longest(*(rules_of(self.optimizer.golden, group) for group in order))
        likeliest = (rule for alike in theirs for rule in alike if rule is not None)  # of each group, then the next
        reference = next((rule for rule in likeliest if known.off(rule, golden=True) <= FLOORS), None)
        if reference is None:
            return None
        known = replace(known, reference=reference)
        return replace(known, own=self._own(known))

    def _own(self, known: Known) -> Rule | None:
        """The rule of the candidate's settings; where the group is not known, of those of one that gives its step."""
        groups, at = self.optimizer.own_groups, known.group
        rules = [self._rule(group, known.reference) for group in (groups[at : at + 1] if at >= 0 else groups)]
        found = [rule for rule in rules if rule is not None]
        return next((rule for rule in found if known.off(rule) <= FLOORS), next(iter(found), None))

    def _rule(self, settings: Mapping[str, Any], reference: Rule | None) -> Rule | None:
        """What settings say; what they do not, because nobody knows the class, is taken to be as the reference's."""
        rule = next(rules_of(self.optimizer.own, settings), None)
        if rule is None or reference is None or self.optimizer.own in KNOWN:
            return rule
        return replace(rule, decoupled=reference.decoupled, corrected=reference.corrected)

    def visible(self, sample: Sequence[Known]) -> Iterator[Hint]:
        """What the settings themselves say, and the closed form proves."""
        if any(one.own is None for one in sample) or all(one.own == one.reference for one in sample):
            return
        if self._off(sample, lambda one: one.own) > FLOORS:
            return
        differing = (one for one in SETTINGS if any(one.differs(known.reference, known.own) for known in sample))
        needed = [one for one in differing if worst(sample, one.back) > FLOORS]
        off = self._off(None, lambda one: one.own)
        if off > FLOORS:
            return
        needed = needed[:1] if needed and needed[0].fields == ("family",) else needed
        for setting in needed:
            others = [one.name for one in needed if one is not setting]
            what = f"with {' and '.join(others)}, explains" if others else "alone explains"
            yield Hint(setting.cause, f"{setting.name}: that {what} {self._what(sample)}, {within(off, 0.0)}")

    def hidden(self, sample: Sequence[Known]) -> tuple[Hint, ...] | None:
        """One change of the reference's rule that the settings do not show; ``None`` where none fits."""
        for where, scope, narrow in self._scopes(sample):
            found = [*self._discrete(sample, scope, narrow=narrow), *self._solved(sample, scope, narrow=narrow)]
            if found:
                return tuple(self._proved(sample, _likeliest(found), where, scope))
        return None

    def _scopes(self, sample: Sequence[Known]) -> Iterator[tuple[str, Callable[[Known], bool], bool]]:
        """Where a change is made: everywhere, in the groups that fail, of what fails alone (a decay, nothing else)."""
        yield "", lambda _: True, False
        groups = {one.group for one in self.steps}
        failing = sorted({one.group for one in self.steps if one.fails})
        if len(failing) < len(groups):
            groups_words = " and ".join(f"param_groups[{group}]" for group in failing)
            yield f"in {groups_words}, ", lambda one: one.group in failing, False
        names = [one.name for one in self.steps if one.fails]
        if len(names) < len(self.steps) and sample:
            yield f"for {listed(names, _SHOWN)}, ", lambda one: one.fails, True

    def _discrete(self, sample: Sequence[Known], scope: Callable[[Known], bool], *, narrow: bool) -> list[Change]:
        changes = (change for change in MISTAKES if not narrow or change.cause is Cause.WEIGHT_DECAY)
        return [replace(one, off=off) for one in changes if (off := one.tried(sample, scope)) <= FLOORS]

    def _solved(self, sample: Sequence[Known], scope: Callable[[Known], bool], *, narrow: bool) -> list[Change]:
        fields = (one for one in UNKNOWNS if not narrow or one.cause is Cause.WEIGHT_DECAY)
        return [found for one in fields if (found := solved(one, sample, scope)) is not None]

    def _proved(
        self, sample: Sequence[Known], found: Sequence[Change], where: str, scope: Callable[[Known], bool]
    ) -> Iterator[Hint]:
        """The hint, once the change fits all parameters."""
        held = [(one, off) for one in found if (off := self._off(None, one.within(scope))) <= FLOORS]
        if not held:
            return
        texts = list(dict.fromkeys(one.words(sample, scope) for one, _ in held))
        off = min(off for _, off in held)
        words = ", or ".join(texts)
        yield Hint(held[0][0].cause, f"{where}{words}: that explains {self._what(sample)}, {within(off, 0.0)}")

    def _what(self, sample: Sequence[Known]) -> str:
        failing = sum(one.fails for one in self.steps)
        apart = max((one.apart for one in sample if one.fails), default=0.0)
        state = any(len(one.ends) > 1 or WEIGHT not in one.ends for one in sample)
        return f"the {'state' if state else 'update'} of {amount(failing, 'parameter')}, {many(apart)} floors off"

    def _off(self, sample: Sequence[Known] | None, rule: Callable[[Known], Rule | None]) -> float:
        """How far the candidate's steps are from a rule: of a sample, or of all of them, one at a time."""
        if sample is not None:
            return worst(sample, rule)
        largest = 0.0
        for one in self.steps:
            known = self.known(one)
            largest = max(largest, inf if known is None else worst([known], rule))
            if largest > FLOORS:
                break
        return largest


def _likeliest(found: Sequence[Change]) -> list[Change]:
    """Those of one cause, where one can be told: what has a number that nobody types makes way for what has none.

    Of two that have none, or are as round, nothing tells: an optimizer's first step may look the same under both.
    """
    plain = [one for one in found if one.digits <= 1]
    fewest = min((one.digits for one in found if one.digits), default=0)
    kept = plain or [one for one in found if one.digits == fewest]
    if len({one.cause for one in kept}) > 1:
        return []
    return [one for one in kept if not one.digits] or kept


def _direct(failing: Sequence[Stepped]) -> Iterator[Hint]:
    """What can be told of updates where no rule gives the reference's: a factor, or a part that the weights have."""
    if any(one.ends().keys() != {WEIGHT} for one in failing):
        return
    found = multiple([_moved(one) for one in failing])
    if found is None:
        yield from _of_weights(failing)
        return
    cause, words = Cause.SIGN, "the golden's with the other sign"
    if found.factor != -1:
        cause, words = Cause.LEARNING_RATE, f"{times(found.factor)} the golden's, as another learning rate makes it"
    yield Hint(cause, f"the update is {words}, of {amount(found.tensors, 'parameter')} ({found.support})")


def _moved(one: Stepped) -> Pair:
    """Its update on both sides."""

    def read() -> tuple[torch.Tensor, torch.Tensor]:
        (actual, expected, _), weight = one.ends()[WEIGHT], one.begin().weight
        return actual - weight, expected - weight

    return Pair(Site(Kind.UPDATED_WEIGHT, one.name), read, noise=one.ends()[WEIGHT][2], name=one.name)


def _of_weights(failing: Sequence[Stepped]) -> Iterator[Hint]:
    """Whether the updates differ by one number times the weight: a decay that one side has."""
    square = product = 0.0
    for one in failing:
        (actual, expected, _), weight = one.ends()[WEIGHT], one.begin().weight
        square += float(weight.square().sum())
        product += float(((actual - expected) * weight).sum())
    if not square:
        return
    share, off = product / square, 0.0
    for one in failing:
        (actual, expected, floor), weight = one.ends()[WEIGHT], one.begin().weight
        off = max(off, float((actual - expected - share * weight).norm()) / floor if floor else inf)
    if share and off <= FLOORS and sum(one.elements for one in failing) > 1:
        words = "less decay than" if share > 0 else "more decay than"
        yield Hint(
            Cause.WEIGHT_DECAY,
            f"{words} the golden's, by {number(abs(share))} of the weight (lr * weight_decay), "
            f"of {amount(len(failing), 'parameter')} ({within(off, 0.0)})",
        )
