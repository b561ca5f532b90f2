"""The backward pass of an isolated run: whose own backward makes a gradient wrong, or cuts it off.

Gradients of parameters name the module that owns them. Of an output's gradient everyone who took it in may be the cause:
the calls that were given it, and the code around them. Which it is, its own derivative tells (``derivative.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from pytest_parity.diagnose.backward import Backward
from pytest_parity.diagnose.step import Call, Seen
from pytest_parity.result import Cause, Faulty, Hint, Part
from pytest_parity.site import INPUTS, ROOT, Kind

if TYPE_CHECKING:
    from pytest_parity.diagnose.isolated import Isolated

__all__ = ["BackwardAlone", "Suspects", "once"]

_FORWARD = frozenset({Part.OUTPUT, Part.HANDED, Part.VALUE})
_CUT = "no gradient comes back through it, and the golden has one: detach(), no_grad(), .data or .item()"


@dataclass(frozen=True, slots=True)
class Suspects:
    """Calls whose backward may be wrong; those whose own code is left if none of them is, innermost first."""

    calls: tuple[Call, ...]
    around: tuple[Call | None, ...] = ()
    takers: tuple[Call, ...] = ()
    sole: bool = False
    """Nobody but one call does anything with the value that shows."""
    last: bool = False
    """They are all that is behind a gradient; what else may have made it so is the test's own code."""


class BackwardAlone:
    """The gradients of one step of an isolated run."""

    def __init__(self, isolated: Isolated) -> None:
        self._isolated = isolated
        self._step = isolated.step
        self.suspects: dict[int, Suspects] = {}
        """By the order of a gradient that is off: who may have made it so."""

    @property
    def recorded(self) -> bool:
        """Whether gradients of outputs were put in place: then each gradient is a module's own."""
        return bool(self._step.kind(Kind.ACTIVATION_GRADIENT))

    def faulty(self) -> Iterator[Faulty]:
        """What is off, in backward order; without gradients of outputs, the first."""
        backward = Backward(self._step)
        failing = [seen for seen in backward.sites if seen.fails]
        lost = [seen for seen in failing if self._lost(seen)]
        if lost:
            yield self._cut(backward, lost[0])  # what is in front of a cut has lost its gradient with it
        if lost and not self.recorded:
            return
        there = [seen for seen in failing if not self._lost(seen)]
        silent = {(seen.site.path, seen.site.call or 0) for seen in lost}
        for seen in there if self.recorded else there[:1]:
            if seen.site.kind is Kind.GRADIENT:
                yield self._of_parameter(backward, seen)
                continue
            one = self._of_output(seen)
            suspects = self.suspects.get(seen.order, Suspects(()))
            if silent.isdisjoint((call.path, call.index) for call in suspects.calls):
                yield one  # else it is one that a cut has left without a part

    def _lost(self, seen: Seen) -> bool:
        """Whether no gradient has come there."""
        if seen.absent:
            return True
        apart = self._isolated.apart.get(seen.order)
        return apart is not None and apart.absent

    # a gradient that is cut off

    def _cut(self, backward: Backward, seen: Seen) -> Faulty:
        """The call, or the code around, behind which nothing comes back."""
        owner = backward.owner(seen)
        calls = [call for call in self._step.calls.values() if call.path == owner]
        if seen.site.kind is Kind.ACTIVATION_GRADIENT:
            calls = [self._step.calls[seen.site.path, seen.site.call or 0]]
        elif not calls or self._comes_back(backward, owner):  # its module has others: it is this one that is not used
            return self._isolated.named(seen, Part.GRADIENT, self._step.own_module(owner), owner)
        call = max(calls, key=lambda one: one.end)
        return self._detached(self._behind(seen, call) if self._carries(call, seen) else self._within(seen, call))

    def _comes_back(self, backward: Backward, owner: str) -> bool:
        """Whether a gradient of a module's output, or of a parameter of its own, is there."""
        return any(backward.owner(one) == owner and not self._lost(one) for one in backward.sites)

    @staticmethod
    def _detached(one: Faulty) -> Faulty:
        return replace(one, hints=(Hint(Cause.DETACHED, _CUT),))

    def _carries(self, call: Call, lost: Seen | None = None, kind: Kind = Kind.ACTIVATION) -> bool:
        """Whether what a call returns, or is given, carries a gradient; of what was lost, that very leaf."""
        attached, sites = self._isolated.attached, [one for one in call.sites if one.site.kind is kind]
        if lost is not None and lost.site.kind is Kind.ACTIVATION_GRADIENT:
            sites = [one for one in sites if one.site.leaf == lost.site.leaf] or sites
        return any(one.order in attached for one in sites)

    def _within(self, seen: Seen, call: Call) -> Faulty:
        """What a call returns carries no gradient: it, or the last before it that was given one, has cut it off."""
        while True:
            call = self._isolated.flow.innermost(call)
            if self._carries(call, kind=Kind.INPUT) or self._has_gradient(call):
                return self._isolated.of_call(seen, Part.GRADIENT, call)
            before = self._isolated.flow.producer(call) or self._cutter(call)
            if before is None or self._carries(before):
                return self._between(seen, before, call)
            call = before

    def _cutter(self, call: Call) -> Call | None:
        """The last call beside this one, before it, that was given a gradient to carry and carries none on."""
        beside = self._isolated.flow.children(self._step.caller(call))
        lost = [
            one
            for one in beside
            if one.end < call.start
            and not self._carries(one)
            and (self._carries(one, kind=Kind.INPUT) or self._has_gradient(one))
            and any(s.site.kind is Kind.ACTIVATION_GRADIENT and self._lost(s) for s in self._sites(one))
        ]
        return max(lost, key=lambda one: one.end, default=None)

    def _sites(self, call: Call) -> list[Seen]:
        key = call.path, call.index
        return [s for s in self._step.kind(Kind.ACTIVATION_GRADIENT) if (s.site.path, s.site.call or 0) == key]

    def _has_gradient(self, call: Call) -> bool:
        """Whether it has parameters that the golden has a gradient of."""
        return any(
            one.site.kind is Kind.GRADIENT and one.site.path.startswith(f"{call.path}.") for one in self._step.seen
        )

    def _behind(self, seen: Seen, call: Call) -> Faulty:
        """What a call returns carries a gradient, and none comes back: who took it in has cut it off."""
        for taker in self._isolated.flow.takers(call):
            if not self._carries(taker, kind=Kind.INPUT):
                return self._between(seen, call, taker)
            if not self._carries(taker):
                return self._within(seen, taker)
            if not self._isolated.flow.children(taker):
                return self._isolated.of_call(seen, Part.GRADIENT, taker)
        return self._between(seen, call, None)

    def _between(self, seen: Seen, before: Call | None, to: Call | None) -> Faulty:
        """The code of the caller, between a child and the next."""
        inside = to or before
        caller = None if inside is None else self._step.caller(inside)
        return replace(
            self._of_code(seen, caller),
            after="" if before is None else self._step.own_module(before.path, before.index),
            to="" if to is None else self._step.own_module(to.path, to.index),
        )

    # a gradient that is another

    def _of_output(self, seen: Seen) -> Faulty:
        """Who took in the output whose gradient is off: the innermost call that was given it, else the code around."""
        flow, call = self._isolated.flow, self._step.calls[seen.site.path, seen.site.call or 0]
        takers = flow.takers(call)
        caller = self._step.caller(call)
        losses = self._step.kind(Kind.LOSS)
        if caller is None and not takers and losses:
            return self._isolated.named(seen, Part.GRADIENT, losses[0].site.path, losses[0].site.path)
        leaves = [one for one in takers if not flow.children(one)]
        within = sorted((one for one in takers if flow.children(one)), key=lambda one: one.end - one.start)
        reached = dict.fromkeys((*takers, *(one for frame in (caller, *within) for one in flow.reached(frame, call))))
        around: tuple[Call | None, ...] = (*within, caller)
        sole = len(leaves) == 1 and len(reached) == len(takers) and not any(map(flow.computes_behind, around))
        self.suspects[seen.order] = Suspects(tuple(reached), around, tuple(takers), sole)
        if len(leaves) == 1:
            return self._isolated.of_call(seen, Part.GRADIENT, leaves[0])
        return self._of_code(seen, around[0])

    def _of_parameter(self, backward: Backward, seen: Seen) -> Faulty:
        """Its owner; where gradients of outputs are not the reference's, it may be a call behind that one."""
        owner = backward.owner(seen)
        name = INPUTS if owner == INPUTS else self._step.own_module(owner)
        if not self.recorded:
            at = backward.sites.index(seen)
            calls = self._step.calls.values()
            own = min((call.end for call in calls if call.path == owner), default=-inf)
            before = [
                min((call.end for call in calls if call.path == backward.owner(other)), default=inf)
                for other in backward.sites[:at]
            ]
            later = min((end for end in before if end > own), default=inf)
            self.suspects[seen.order] = Suspects(
                tuple(call for call in calls if own <= call.end <= later), last=later == inf
            )
        return self._isolated.named(seen, Part.GRADIENT, name, owner)

    def _of_code(self, seen: Seen, caller: Call | None) -> Faulty:
        path, index = (caller.path, caller.index) if caller else (ROOT, 0)
        return self._isolated.named(seen, Part.GRADIENT, self._step.own_module(path, index), path, index)

    # who it is

    def resolved(
        self, one: Faulty, wrong: Callable[[Call], bool | None], is_torchs: Callable[[Call], bool] = lambda _: True
    ) -> Faulty | None:
        """A gradient's fault where it belongs, ``None`` if that is in no module: ``wrong`` says of a call whether its backward is not its own derivative.

        Of calls that are right the code around them is left; where nothing can be told it stays as it was. A call that alone
        takes a value in may mean another derivative than its own (a straight-through estimator), unless it is of torch's own
        modules (``is_torchs``).
        """
        suspects = self.suspects.get(one.order)
        if one.part is not Part.GRADIENT or suspects is None:
            return one
        seen = next(seen for seen in self._step.seen if seen.order == one.order)
        told = {call: wrong(call) for call in suspects.calls}
        guilty = [call for call in suspects.calls if told[call]]
        if guilty:
            return self._isolated.of_call(seen, Part.GRADIENT, min(guilty, key=lambda call: call.end - call.start))
        left = [call for call in suspects.around if call is None or told.get(call) is not False]
        meant = suspects.sole and not all(map(is_torchs, suspects.calls))
        if left and not meant and all(found is False for found in told.values()):
            return self._of_code(seen, left[0])
        leaves = [call for call in suspects.calls if not self._isolated.flow.children(call)]
        if suspects.last and leaves and all(map(is_torchs, leaves)) and all(found is False for found in told.values()):
            return None
        return one

    def own(self, faulty: Sequence[Faulty]) -> tuple[Faulty, ...]:
        """Each once, without the gradients that are others because a forward is: of a module, or code around it, that is faulty.

        Where gradients of outputs were not put in place that is all of them.
        """
        forward = {(one.reference, one.call) for one in faulty if one.part in _FORWARD}
        own = [one for one in faulty if not forward or one.part is not Part.GRADIENT or not self._follows(one, forward)]
        unfed = [one for one in own if not self._fed(one)]
        others = any(one.part in _FORWARD or one.part is Part.GRADIENT for one in own if one not in unfed)
        return once(one for one in own if not others or one not in unfed)

    def _fed(self, one: Faulty) -> bool:
        """Whether the gradient of a parameter is its module's own: not of one whose calls the candidate does not make."""
        if one.part is not Part.GRADIENT or not one.site.startswith(f"{Kind.GRADIENT}/"):
            return True
        sites = [seen for seen in self._step.kind(Kind.ACTIVATION_GRADIENT) if seen.site.path == one.reference]
        return not sites or any(seen.order in self._isolated.seen for seen in sites)

    def _follows(self, one: Faulty, forward: set[tuple[str, int]]) -> bool:
        if not self.recorded or (one.reference, one.call) in forward:
            return True
        suspects = self.suspects.get(one.order)
        if suspects is None:
            return False
        around = suspects.takers or tuple(
            filter(None, suspects.around)
        )  # what nobody takes in, code of the caller's does
        return any((call.path, call.index) in forward for call in around)


def once(faulty: Iterable[Faulty]) -> tuple[Faulty, ...]:
    """Each thing at the place where it shows first, with the largest error that it shows."""
    found: dict[tuple[Part, str, str], Faulty] = {}
    for one in faulty:
        key = one.part, one.module, one.to if one.part is Part.HANDED else ""
        if key not in found:
            found[key] = one
        elif found[key].floors < one.floors:
            found[key] = replace(found[key], floors=one.floors, relative=one.relative)
    return tuple(found.values())
