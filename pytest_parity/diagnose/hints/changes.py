"""Changes: one thing that may be another in an optimizer's rule, and how far the candidate's steps are from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite

import torch

from pytest_parity.diagnose.hints.evidence import FLOORS
from pytest_parity.diagnose.hints.rules import MOMENTS, Begin, Rule
from pytest_parity.result import Cause

__all__ = ["SETTINGS", "Change", "Known", "Scope", "Setting", "adam", "worst"]

_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Known:
    """One parameter's step, and the rules of both sides."""

    name: str
    group: int
    fails: bool
    begin: Begin
    ends: Mapping[str, tuple[torch.Tensor, torch.Tensor, float]]
    reference: Rule | None
    own: Rule | None

    def off(self, rule: Rule, *, golden: bool = False) -> float:
        """How far what a step left is from what a rule leaves, in floors: the candidate's, or the golden's."""
        parts = self.residuals(rule, golden=golden)
        return max((float(part.norm()) if isfinite(float(part.sum())) else inf for part in parts), default=inf)

    def residuals(self, rule: Rule, *, golden: bool = False) -> Iterator[torch.Tensor]:
        """The differences, each divided by its floor; of what no rule leaves there are none, if the two sides agree."""
        left = rule(self.begin)
        for what, (actual, expected, floor) in self.ends.items():
            if what in left:
                yield (left[what] - (expected if golden else actual)).reshape(-1) / max(floor, _TINY)
            elif what in MOMENTS or (not golden and not torch.equal(actual, expected)):
                yield torch.full((1,), inf, dtype=torch.float64)

    def thinned(self, elements: int) -> Known:
        """Every n-th element, so that there are about so many: rules take each alone."""
        every = -(-self.begin.weight.numel() // elements)
        if every <= 1:
            return self
        share = (1 / every) ** 0.5

        def thin(value: torch.Tensor) -> torch.Tensor:
            return value.reshape(-1)[::every] if value.numel() > 1 else value

        begin = replace(
            self.begin,
            weight=thin(self.begin.weight),
            gradient=thin(self.begin.gradient),
            state={name: thin(value) for name, value in self.begin.state.items()},
        )
        ends = {what: (thin(ours), thin(theirs), floor * share) for what, (ours, theirs, floor) in self.ends.items()}
        return replace(self, begin=begin, ends=ends)

    @property
    def apart(self) -> float:
        """How far the two sides are apart, in floors."""
        return max(
            (float((actual - expected).norm()) / max(floor, _TINY) for actual, expected, floor in self.ends.values()),
            default=0.0,
        )


_Of = Callable[[Known], "Rule | None"]
Scope = Callable[[Known], bool]


def worst(sample: Sequence[Known], rule: _Of) -> float:
    """How far the candidate's steps are from a rule, in floors."""
    off = 0.0
    for one in sample:
        made = rule(one)
        off = max(off, inf if made is None else one.off(made))
        if off > FLOORS:
            break
    return off


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that both sides have, by the fields of a rule."""

    name: str
    cause: Cause
    fields: tuple[str, ...]

    def differs(self, one: Rule | None, other: Rule | None) -> bool:
        """Whether the two have it otherwise."""
        return any(getattr(one, name) != getattr(other, name) for name in self.fields)

    def back(self, known: Known) -> Rule:
        """The candidate's rule of a step with the reference's setting."""
        assert known.own is not None
        return replace(known.own, **{name: getattr(known.reference, name) for name in self.fields})


SETTINGS = (
    Setting("the optimizer's class", Cause.CONSTANT, ("family",)),
    Setting("lr", Cause.LEARNING_RATE, ("lr",)),
    Setting("weight_decay", Cause.WEIGHT_DECAY, ("weight_decay",)),
    Setting("decoupled_weight_decay", Cause.WEIGHT_DECAY, ("decoupled",)),
    Setting("betas", Cause.BETA, ("beta1", "beta2")),
    Setting("eps", Cause.OPTIMIZER_EPS, ("eps",)),
    Setting("amsgrad", Cause.CONSTANT, ("amsgrad",)),
    Setting("momentum", Cause.BETA, ("momentum",)),
    Setting("dampening", Cause.BETA, ("dampening",)),
    Setting("nesterov", Cause.CONSTANT, ("nesterov",)),
    Setting("maximize", Cause.SIGN, ("maximize",)),
    Setting("bias correction", Cause.BIAS_CORRECTION, ("corrected",)),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the reference's rule; ``make`` gives the new one, or ``None`` where that would be the same."""

    cause: Cause
    make: Callable[[Rule], Rule | None]
    text: Callable[[Rule, Rule], str]
    """Of the reference's rule and the candidate's."""
    digits: int = 0
    """Of the number that was found; 0 where there is none. People type few."""
    off: float = inf

    def within(self, scope: Scope) -> _Of:
        """The rule of a parameter with this change, where it is in the scope, else the reference's."""

        def rule(one: Known) -> Rule | None:
            assert one.reference is not None
            return (self.make(one.reference) or one.reference) if scope(one) else one.reference

        return rule

    def tried(self, sample: Sequence[Known], scope: Scope) -> float:
        """How far the candidate's steps are from it; infinite where it changes nothing that fails."""
        changes = [one for one in sample if one.fails and scope(one)]
        if not all(one.reference is not None and self.make(one.reference) for one in changes):
            return inf
        return worst(sample, self.within(scope))

    def words(self, sample: Sequence[Known], scope: Scope) -> str:
        """What it says of the first parameter that fails."""
        one = next(one for one in sample if one.fails and scope(one))
        assert one.reference is not None
        return self.text(one.reference, self.make(one.reference) or one.reference)


def adam(rule: Rule) -> bool:
    """Whether a rule has two moments."""
    return rule.family == "adam"
