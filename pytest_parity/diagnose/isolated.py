"""Isolated: from sites that are off although everything that feeds them is the reference's, to what is faulty by itself.

An output names its module, or, where that has children, its own code behind the last of them; an input names the caller's
code, between the child called before and the one that gets it. A gradient of a parameter names the module that owns it;
where gradients of outputs were recorded and put in place, that of an output names who took the output in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf

from pytest_parity.compare.alone import BLAME, Apart
from pytest_parity.compare.floor import default_factor
from pytest_parity.diagnose.flow import Flow
from pytest_parity.diagnose.isolated_backward import BackwardAlone, once
from pytest_parity.diagnose.step import Call, Seen, Step, above
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.names import BoundNames
from pytest_parity.result import CallError, Cause, Delta, Diagnosis, Fault, Faulty, Isolation, Part, Verdict
from pytest_parity.site import ROOT, Kind

__all__ = ["ISOLATED", "Isolated", "blamed"]

_FORWARD = frozenset({Part.OUTPUT, Part.HANDED, Part.VALUE})
_FAULTS = {
    Part.OUTPUT: Fault.MODULE,
    Part.HANDED: Fault.BETWEEN,
    Part.VALUE: Fault.VALUE,
    Part.BUFFER: Fault.MODULE,
    Part.GRADIENT: Fault.BACKWARD,
}
_LOOPS = frozenset({Cause.ACCUMULATION, Cause.CLIPPING})
"""What is done to gradients behind the backward pass."""
_BACKWARD = frozenset({Fault.BACKWARD, Fault.NO_GRADIENT, Fault.CUT})
ISOLATED = frozenset({Fault.MODULE, Fault.BETWEEN, Fault.VALUE, Fault.BACKWARD, Fault.NO_GRADIENT})
"""What isolation may tell more exactly."""


class Isolated:
    """One step of an isolated run. ``entries`` are the golden's of it, ``apart`` what is not equal.

    ``attached`` are the orders of the sites at which the candidate's tensor carries a gradient, ``seen`` of all that came by.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        apart: Iterable[Apart],
        names: BoundNames,
        *,
        buffers: Iterable[str] = (),
        attached: frozenset[int] = frozenset(),
        seen: frozenset[int] = frozenset(),
    ) -> None:
        self.apart: Mapping[int, Apart] = {one.entry.order: one for one in apart}
        self.entries = {entry.order: entry for entry in entries}
        self._buffers = frozenset(buffers)
        self.attached, self.seen = attached, seen
        self._made = {
            (entry.site.path, entry.site.call)
            for entry in entries
            if entry.site.kind is Kind.ACTIVATION and entry.order in seen
        }
        self.step = Step((self._delta(entry) for entry in entries), names)
        self.flow = Flow(self.step, self.entries)
        self.backward = BackwardAlone(self)

    def _delta(self, entry: Entry) -> Delta:
        apart = self.apart.get(entry.order)
        off = apart is not None and apart.floors > BLAME
        verdict = Verdict.DIFFERS if off else Verdict.EQUAL if apart is None else Verdict.CLOSE
        if entry.site.kind is Kind.ACTIVATION_GRADIENT and self._lost(entry):
            verdict = Verdict.MISSING
        return Delta(str(entry.site), entry.step, entry.order, verdict, elements=0 if entry.dtype == NONE else 1)

    def _lost(self, entry: Entry) -> bool:
        """Whether a gradient of a call that the candidate has made never came."""
        made = (entry.site.path, entry.site.call) in self._made
        return made and entry.dtype != NONE and entry.order not in self.seen

    def faulty(self) -> tuple[Faulty, ...]:
        """Each thing that is faulty by itself, in causal order."""
        return (*once(self._forward()), *self.backward.faulty(), *once(self._left()))

    # forward

    def _forward(self) -> Iterator[Faulty]:
        for seen in self.step.kind(Kind.INPUT, Kind.ACTIVATION, Kind.OUTPUT, Kind.LOSS):
            if not seen.fails:
                continue
            if seen.site.kind in {Kind.OUTPUT, Kind.LOSS}:
                yield self.named(seen, Part.VALUE, seen.site.path, seen.site.path)
                continue
            call = self.step.calls[seen.site.path, seen.site.call or 0]
            yield self._handed(seen, call) if seen.site.kind is Kind.INPUT else self._returned(seen, call)

    def _returned(self, seen: Seen, call: Call) -> Faulty:
        last = self._last_child(call, seen.order)
        after = self.step.own_module(last.path, last.index) if last else ""
        return replace(self.of_call(seen, Part.OUTPUT, call), after=after)

    def _handed(self, seen: Seen, call: Call) -> Faulty:
        caller = self.step.caller(call)
        last = self._last_child(caller, seen.order)
        path, index = (caller.path, caller.index) if caller else (ROOT, 0)
        return replace(
            self.named(seen, Part.HANDED, self.step.own_module(path, index), path, index),
            after=self.step.own_module(last.path, last.index) if last else "",
            to=self.step.own_module(call.path, call.index),
        )

    def _last_child(self, call: Call | None, before: int) -> Call | None:
        """The direct child of a call that ended last before a point; of the test's own code the outermost call."""
        return max((one for one in self.flow.children(call) if one.end < before), key=lambda one: one.end, default=None)

    # what a forward leaves

    def _left(self) -> Iterator[Faulty]:
        for seen in self.step.kind(Kind.UPDATED_WEIGHT):
            if seen.fails and seen.site.path in self._buffers:
                path = above(seen.site.path)
                yield self.named(seen, Part.BUFFER, self.step.own_module(path), path)

    def of_call(self, seen: Seen, part: Part, call: Call) -> Faulty:
        """A call's fault, where it shows at a site."""
        return self.named(seen, part, self.step.own_module(call.path, call.index), call.path, call.index)

    def named(self, seen: Seen, part: Part, module: str, reference: str, call: int = 0) -> Faulty:
        """A fault, where it shows at a site; a gradient that never comes is as far off as can be."""
        apart = self.apart.get(seen.order) or Apart(self.entries[seen.order], None, inf)
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
    if diagnosis.fault not in ISOLATED:
        return diagnosis
    backward = diagnosis.fault in _BACKWARD
    able = [
        one
        for one in isolation.faulty
        if one.step == diagnosis.step and (one.sure or (one.part in _FORWARD and not backward))
    ]
    if not able:
        told = any(hint.cause in _LOOPS for hint in diagnosis.causes)
        loop = diagnosis.fault is Fault.BACKWARD and (isolation.loop or told) and not isolation.refused
        return replace(diagnosis, fault=Fault.LOOP, module=ROOT, reference=ROOT, after="") if loop else diagnosis
    found = _told(able[0], diagnosis.others)
    same = (found.fault in _BACKWARD) == backward and found.module == diagnosis.module
    if not same:
        return found
    after = found.after if found.fault is Fault.CUT else diagnosis.after or found.after
    return replace(found, after=after, hints=diagnosis.hints, causes=found.causes or diagnosis.causes)


def _told(first: Faulty, others: int) -> Diagnosis:
    detached = first.part is Part.GRADIENT and any(hint.cause is Cause.DETACHED for hint in first.hints)
    return Diagnosis(
        fault=Fault.CUT if detached else _FAULTS[first.part],
        site=first.site,
        step=first.step,
        module=first.module,
        reference=first.reference,
        candidate=first.candidate,
        after=first.after,
        to=first.to,
        others=others,
        causes=first.hints,
    )
