"""The forward pass: the earliest module call that goes wrong while everything before it agrees.

Inputs are observed when a call begins and outputs when it ends, so a module's children stand between them. The earliest
failing site then tells where the fault is: an output names its module, whose inputs and children agree; an input names
the code that made it, which is the caller's.
"""

from __future__ import annotations

from math import inf

from pytest_parity.diagnose.step import Call, Seen, Step
from pytest_parity.result import Diagnosis, Fault
from pytest_parity.site import ROOT, Kind

__all__ = ["diagnose_forward"]


def diagnose_forward(step: Step) -> Diagnosis | None:
    """The first divergence among inputs and activations; None where they agree.

    What is to blame is the first that rises above a few floors, though it may be within what alarms.
    """
    if not any(seen.fails for seen in step.kind(Kind.INPUT, Kind.ACTIVATION, Kind.OUTPUT, Kind.LOSS)):
        return None
    failing = [seen for seen in step.forward if seen.raised]
    first = next((seen for seen in failing if not seen.extra), None)
    if first is None:
        return _further(step, failing) if failing else None
    call = step.calls[first.site.path, first.site.call or 0]
    if call.uncalled:
        return _not_called(step, call)
    return _between(step, call, first) if first.site.kind is Kind.INPUT else _module(step, call, first)


def _module(step: Step, call: Call, first: Seen) -> Diagnosis:
    inside = [
        seen
        for seen in step.kind(Kind.ACTIVATION)
        if call.start < seen.order and call.holds(seen.order, seen.site.path)
    ]
    hints = _call_counts(step, call.path)
    if not step.kind(Kind.INPUT):
        hints += ("inputs were not recorded: the code that makes its input may be what differs",)
    return Diagnosis(
        fault=Fault.MODULE,
        site=first.delta.site,
        step=first.delta.step,
        module=step.own_module(call.path, call.index),
        reference=call.path,
        candidate=first.delta.candidate,
        after=step.last_agreeing(inside, first.order),
        hints=hints,
    )


def _between(step: Step, call: Call, first: Seen) -> Diagnosis:
    caller = step.caller(call)
    before = [seen for seen in step.forward if seen not in call.sites]
    return _in_caller(step, caller, first, after=step.last_agreeing(before, first.order))


def _in_caller(step: Step, caller: Call | None, first: Seen, *, after: str = "") -> Diagnosis:
    """What the caller's own code does between the calls of its children; the model's, where no caller was observed."""
    path, index = (caller.path, caller.index) if caller else (ROOT, 0)
    return Diagnosis(
        fault=Fault.BETWEEN,
        site=first.delta.site,
        step=first.delta.step,
        module=step.own_module(path, index),
        reference=path,
        candidate=first.delta.candidate,
        after=after,
        hints=_call_counts(step, first.site.path),
    )


def _not_called(step: Step, call: Call) -> Diagnosis:
    """The outermost call that was left out: without inputs, what it holds is missing before it is."""
    caller = step.caller(call)
    while caller is not None and caller.uncalled:
        call, caller = caller, step.caller(caller)
    first = min(call.sites, key=lambda seen: seen.order)
    start = min(seen.order for seen in step.forward if seen.absent)
    return Diagnosis(
        fault=Fault.NOT_CALLED,
        site=first.delta.site,
        step=first.delta.step,
        module=step.own_module(call.path, call.index),
        reference=call.path,
        after=step.last_agreeing(step.forward, start),
        hints=() if caller is None else (f"the reference calls it from {caller.path}",),
    )


def _further(step: Step, failing: list[Seen]) -> Diagnosis:
    """Only the candidate has something: a further call of a module, a further tensor in or out of a call."""
    first = next((seen for seen in failing if seen.site.kind is Kind.ACTIVATION), failing[0])
    call = step.calls.get((first.site.path, first.site.call or 0))
    same = [other for other in step.calls.values() if other.path == first.site.path]
    if call is not None and first.site.kind is Kind.ACTIVATION:
        return _module(step, call, first)
    caller = step.caller(call or same[-1]) if call or same else None
    return _in_caller(step, caller, first)


def _call_counts(step: Step, path: str) -> tuple[str, ...]:
    """How often a module is called on either side, where that is not the same."""
    theirs = [call for call in step.calls.values() if call.path == path]
    known = {call.index for call in theirs}
    further = {s.site.call for s in step.forward if s.extra and s.site.path == path and s.site.call not in known}
    ours = sum(not call.uncalled for call in theirs) + len(further)
    if ours == len(theirs):
        return ()
    name = step.own_module(path)
    return (f"{name} is called {_times(ours)} here, {_times(len(theirs))} in the reference",)


def _times(count: float) -> str:
    assert count < inf
    return "once" if count == 1 else f"{count} times"
