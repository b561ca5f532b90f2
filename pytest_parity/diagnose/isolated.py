"""Isolated: from sites that are off although everything that feeds them is the reference's, to what is faulty by itself.

An output names its module, or, where that has children, its own code behind the last of them; an input names the caller's
code, between the child called before and the one that gets it. A gradient of a parameter names the module that owns it;
where gradients of outputs were recorded and put in place, that of an output names who took the output in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from pytest_parity.compare.alone import BLAME, Apart
from pytest_parity.compare.floor import default_factor
from pytest_parity.diagnose.backward import Backward
from pytest_parity.diagnose.step import Call, Seen, Step, above
from pytest_parity.golden.entry import Entry
from pytest_parity.names import BoundNames
from pytest_parity.result import CallError, Delta, Diagnosis, Fault, Faulty, Isolation, Part, Verdict
from pytest_parity.site import INPUTS, ROOT, Kind

__all__ = ["ISOLATED", "Isolated", "blamed"]

_FORWARD = frozenset({Part.OUTPUT, Part.HANDED, Part.VALUE})
_FAULTS = {
    Part.OUTPUT: Fault.MODULE,
    Part.HANDED: Fault.BETWEEN,
    Part.VALUE: Fault.VALUE,
    Part.BUFFER: Fault.MODULE,
    Part.GRADIENT: Fault.BACKWARD,
}
ISOLATED = frozenset({Fault.MODULE, Fault.BETWEEN, Fault.VALUE, Fault.BACKWARD, Fault.NO_GRADIENT})
"""What isolation may tell more exactly."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Calls whose backward may be wrong; the call whose own code is left if none of them is; all who took a value in."""

    calls: tuple[Call, ...]
    around: Call | None
    takers: tuple[Call, ...] = ()


class Isolated:
    """One step of an isolated run. ``entries`` are the golden's of it, ``apart`` what is not equal, by order."""

    def __init__(
        self,
        entries: Sequence[Entry],
        apart: Iterable[Apart],
        names: BoundNames,
        *,
        buffers: Iterable[str] = (),
        gradients: bool = False,
    ) -> None:
        self.apart: Mapping[int, Apart] = {one.entry.order: one for one in apart}
        self._entries = {entry.order: entry for entry in entries}
        self._buffers = frozenset(buffers)
        self._gradients = gradients
        """Whether gradients of outputs were put in place: then each gradient is a module's own."""
        self.suspects: dict[int, Suspects] = {}
        """By the order of a gradient that is off: who may have made it so."""
        self.step = Step((self._delta(entry) for entry in entries), names)

    def _delta(self, entry: Entry) -> Delta:
        apart = self.apart.get(entry.order)
        off = apart is not None and apart.floors > BLAME
        verdict = Verdict.DIFFERS if off else Verdict.EQUAL if apart is None else Verdict.CLOSE
        return Delta(str(entry.site), entry.step, entry.order, verdict, elements=0 if entry.dtype == "none" else 1)

    def faulty(self) -> tuple[Faulty, ...]:
        """Each thing that is faulty by itself, in causal order."""
        return (*once(self._forward()), *self._backward(), *once(self._left()))

    # forward

    def _forward(self) -> Iterator[Faulty]:
        for seen in self.step.kind(Kind.INPUT, Kind.ACTIVATION, Kind.OUTPUT, Kind.LOSS):
            if not seen.fails:
                continue
            if seen.site.kind in {Kind.OUTPUT, Kind.LOSS}:
                yield self._named(seen, Part.VALUE, seen.site.path, seen.site.path)
                continue
            call = self.step.calls[seen.site.path, seen.site.call or 0]
            yield self._handed(seen, call) if seen.site.kind is Kind.INPUT else self._returned(seen, call)

    def _returned(self, seen: Seen, call: Call) -> Faulty:
        last = self._last_child(call, seen.order)
        after = self.step.own_module(last.path, last.index) if last else ""
        return replace(self._of_call(seen, Part.OUTPUT, call), after=after)

    def _handed(self, seen: Seen, call: Call) -> Faulty:
        caller = self.step.caller(call)
        last = self._last_child(caller, seen.order)
        path, index = (caller.path, caller.index) if caller else (ROOT, 0)
        return replace(
            self._named(seen, Part.HANDED, self.step.own_module(path, index), path, index),
            after=self.step.own_module(last.path, last.index) if last else "",
            to=self.step.own_module(call.path, call.index),
        )

    def _last_child(self, call: Call | None, before: int) -> Call | None:
        """The direct child of a call that ended last before a point; of the test's own code the outermost call."""
        return max((one for one in self._children(call) if one.end < before), key=lambda one: one.end, default=None)

    # backward

    def _backward(self) -> Iterator[Faulty]:
        backward = Backward(self.step)
        failing = [seen for seen in backward.sites if seen.fails]
        for seen in failing if self._gradients else failing[:1]:
            if seen.site.kind is Kind.ACTIVATION_GRADIENT:
                yield self._of_output(seen)
            else:
                yield self._of_parameter(backward, seen)

    def _of_output(self, seen: Seen) -> Faulty:
        """Who took in the output whose gradient is off: the innermost call that was given it, else the code around."""
        call = self.step.calls[seen.site.path, seen.site.call or 0]
        takers = [other for other in self.step.calls.values() if other.start > call.end and self._takes(other, call)]
        innermost = [one for one in takers if not self._children(one)]
        within = [one for one in takers if self._children(one)]
        frames = [self.step.caller(call), *within]
        reached = dict.fromkeys((*takers, *(one for frame in frames for one in self._reached(frame, call))))
        around = min(within, key=lambda one: one.end - one.start, default=self.step.caller(call))
        self.suspects[seen.order] = Suspects(tuple(reached), around, tuple(takers))
        return self._of_call(seen, Part.GRADIENT, innermost[0]) if len(innermost) == 1 else self._of_code(seen, around)

    def _takes(self, other: Call, call: Call) -> bool:
        """Whether a call was given what another has returned, as it was."""
        digests = {self._entries[one.order].digest for one in call.sites if one.site.kind is Kind.ACTIVATION}
        return any(self._entries[s.order].digest in digests for s in other.sites if s.site.kind is Kind.INPUT)

    def _reached(self, frame: Call | None, call: Call) -> Iterator[Call]:
        """The calls that a frame's own code makes behind ``call``, and that get what nobody has returned as it is."""
        for child in self._children(frame):
            if child.start <= call.end:
                continue
            given = [self._entries[s.order].digest for s in child.sites if s.site.kind is Kind.INPUT]
            if any(digest not in self._returned_digests for digest in given):
                yield child
                yield from self._reached(child, call)

    @cached_property
    def _returned_digests(self) -> frozenset[str]:
        return frozenset(entry.digest for entry in self._entries.values() if entry.site.kind is Kind.ACTIVATION)

    @cached_property
    def _by_caller(self) -> dict[tuple[str, int] | None, list[Call]]:
        found: dict[tuple[str, int] | None, list[Call]] = {}
        for one in self.step.calls.values():
            caller = self.step.caller(one)
            found.setdefault(None if caller is None else (caller.path, caller.index), []).append(one)
        return found

    def _children(self, call: Call | None) -> list[Call]:
        return self._by_caller.get(None if call is None else (call.path, call.index), [])

    def _of_parameter(self, backward: Backward, seen: Seen) -> Faulty:
        """Its owner; where gradients of outputs are not the reference's, it may be a call behind that one."""
        owner = backward.owner(seen)
        name = INPUTS if owner == INPUTS else self.step.own_module(owner)
        if not self._gradients:
            at = backward.sites.index(seen)
            calls = self.step.calls.values()
            own = min((call.end for call in calls if call.path == owner), default=-inf)
            before = [
                min((call.end for call in calls if call.path == backward.owner(other)), default=inf)
                for other in backward.sites[:at]
            ]
            later = min((end for end in before if end > own), default=inf)
            self.suspects[seen.order] = Suspects(tuple(call for call in calls if own <= call.end <= later), None)
        return self._named(seen, Part.GRADIENT, name, owner)

    def _of_code(self, seen: Seen, caller: Call | None) -> Faulty:
        path, index = (caller.path, caller.index) if caller else (ROOT, 0)
        return self._named(seen, Part.GRADIENT, self.step.own_module(path, index), path, index)

    def resolved(self, one: Faulty, wrong: Callable[[Call], bool | None]) -> Faulty:
        """A gradient's fault where it belongs: ``wrong`` says of a call whether its backward is not its own derivative.

        Of calls that are right the code around them is left; where nothing can be told it stays as it was.
        """
        suspects = self.suspects.get(one.order)
        if one.part is not Part.GRADIENT or suspects is None:
            return one
        seen = next(seen for seen in self.step.seen if seen.order == one.order)
        told = {call: wrong(call) for call in suspects.calls}
        guilty = [call for call in suspects.calls if told[call]]
        if guilty:
            return self._of_call(seen, Part.GRADIENT, min(guilty, key=lambda call: call.end - call.start))
        if suspects.around is not None and all(found is False for found in told.values()):
            return self._of_code(seen, suspects.around)
        return one

    def own(self, faulty: Sequence[Faulty]) -> tuple[Faulty, ...]:
        """Each once, without the gradients that are others because a forward is: of a module, or code around it, that is faulty.

        Where gradients of outputs were not put in place that is all of them.
        """
        forward = {(one.reference, one.call) for one in faulty if one.part in _FORWARD}
        return once(
            one for one in faulty if not forward or one.part is not Part.GRADIENT or not self._follows(one, forward)
        )

    def _follows(self, one: Faulty, forward: set[tuple[str, int]]) -> bool:
        if not self._gradients or (one.reference, one.call) in forward:
            return True
        suspects = self.suspects.get(one.order)
        around = () if suspects is None else (*suspects.takers, *filter(None, (suspects.around,)))
        return any((call.path, call.index) in forward for call in around)

    # what a forward leaves

    def _left(self) -> Iterator[Faulty]:
        for seen in self.step.kind(Kind.UPDATED_WEIGHT):
            if seen.fails and seen.site.path in self._buffers:
                path = above(seen.site.path)
                yield self._named(seen, Part.BUFFER, self.step.own_module(path), path)

    def _of_call(self, seen: Seen, part: Part, call: Call) -> Faulty:
        return self._named(seen, part, self.step.own_module(call.path, call.index), call.path, call.index)

    def _named(self, seen: Seen, part: Part, module: str, reference: str, call: int = 0) -> Faulty:
        apart = self.apart[seen.order]
        return Faulty(
            part=part,
            module=module,
            reference=reference,
            call=call,
            step=seen.delta.step,
            site=seen.delta.site,
            order=seen.order,
            floors=apart.floors,
            relative=apart.relative,
            factor=default_factor(apart.entry.dtype),
            candidate=self.step.own_site(seen.site),
        )

    # every call

    def errors(self, observed: Iterable[Delta]) -> tuple[CallError, ...]:
        """Each call's error, in execution order; ``observed`` are the check's own deltas of the step."""
        accumulated = {delta.order: _floors(delta) for delta in observed if delta.order >= 0}
        own: dict[tuple[str, int], float] = {}
        for one in (one for one in self.apart.values() if one.entry.site.kind in {Kind.INPUT, Kind.ACTIVATION}):
            call = self.step.calls[one.entry.site.path, one.entry.site.call or 0]
            adding = self.step.caller(call) if one.entry.site.kind is Kind.INPUT else call
            if adding is not None:
                key = adding.path, adding.index
                own[key] = max(own.get(key, 0.0), one.floors)
        calls = sorted(self.step.calls.values(), key=lambda call: (call.start, -call.end))
        return tuple(
            CallError(
                module=self.step.own_module(call.path, call.index),
                reference=call.path,
                call=call.index,
                order=min(seen.order for seen in call.sites),
                inherited=_largest(call, Kind.INPUT, accumulated),
                introduced=own.get((call.path, call.index), 0.0),
                outgoing=_largest(call, Kind.ACTIVATION, accumulated),
            )
            for call in calls
        )


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


def _floors(delta: Delta) -> float | None:
    if delta.verdict is Verdict.EQUAL:
        return 0.0
    if delta.noise is not None:
        return delta.noise.ratio
    return inf if delta.verdict.fails and delta.metrics is None else None


def _largest(call: Call, kind: Kind, accumulated: Mapping[int, float | None]) -> float | None:
    known = [accumulated.get(seen.order) for seen in call.sites if seen.site.kind is kind]
    return max((one for one in known if one is not None), default=None)


def blamed(diagnosis: Diagnosis | None, isolation: Isolation) -> Diagnosis | None:
    """A diagnosis as isolation knows it: the first that is faulty by itself, where that can be what fails."""
    if diagnosis is None:
        return _told(isolation.faulty[0], len(isolation.faulty) - 1) if isolation.faulty else None
    if diagnosis.fault not in ISOLATED or diagnosis.fault is Fault.NO_GRADIENT:
        return diagnosis
    backward = diagnosis.fault is Fault.BACKWARD
    able = [
        one
        for one in isolation.faulty
        if one.step == diagnosis.step and (one.part not in _FORWARD or not backward or one.sure)
    ]
    if not able:
        return diagnosis
    found = _told(able[0], diagnosis.others)
    if (found.fault, found.module) != (diagnosis.fault, diagnosis.module):
        return found
    return replace(found, after=diagnosis.after, hints=diagnosis.hints, causes=found.causes or diagnosis.causes)


def _told(first: Faulty, others: int) -> Diagnosis:
    return Diagnosis(
        fault=_FAULTS[first.part],
        site=first.site,
        step=first.step,
        module=first.module,
        reference=first.reference,
        candidate=first.candidate,
        after=first.after,
        others=others,
        causes=first.hints,
    )
