"""Probes: a module that agrees on the step's data, and not on the inputs that a probe made."""

from __future__ import annotations

from math import inf

from pytest_parity.diagnose.step import Seen, Step
from pytest_parity.report.words import listed
from pytest_parity.result import Diagnosis, Fault
from pytest_parity.site import Kind, Site

__all__ = ["diagnose_probes"]

_SHOWN = 8

_Call = tuple[str, int | None]


def diagnose_probes(step: Step, forward: Diagnosis | None) -> Diagnosis | None:
    """The first module that fails a probe; ``forward`` is what the step's data show, ``None`` where they show nothing.

    A module that fails on the step's data too is for these to tell, and so is what they show before it was called.
    """
    shown = {_call(seen.site) for seen in step.forward if seen.fails}
    failing = [seen for seen in step.kind(Kind.PROBE) if seen.fails and _call(seen.site) not in shown]
    first = min(failing, key=_place, default=None)
    if first is None or (forward is not None and _place_of(step, forward) < _place(first)):
        return None
    return Diagnosis(
        fault=Fault.PROBE,
        site=first.delta.site,
        step=first.delta.step,
        module=step.own_module(first.site.path, first.site.call or 0),
        reference=first.site.path,
        hints=tuple(_told(step, first, failing)),
    )


def _told(step: Step, first: Seen, failing: list[Seen]) -> list[str]:
    of_call = [seen for seen in step.kind(Kind.PROBE) if _call(seen.site) == _call(first.site)]
    differing = _names([seen for seen in of_call if seen.fails])
    agreeing = [name for name in _names(of_call) if name not in differing]
    told = [f"its probes that fail: {', '.join(differing)}" + (f"; that agree: {', '.join(agreeing)}" * bool(agreeing))]
    others = [seen.site.path for seen in failing if _call(seen.site) != _call(first.site)]
    if others:
        names = [step.own_module(path) for path in dict.fromkeys(others)]
        told.append(f"probes fail in other modules too: {listed(names, _SHOWN)}")
    return told


def _names(seen: list[Seen]) -> list[str]:
    return list(dict.fromkeys(one.site.leaf.partition(".")[0] for one in seen))


def _call(site: Site) -> _Call:
    return site.path, site.call


def _place(seen: Seen) -> float:
    """Its place in the execution order; what only the candidate has comes last."""
    return seen.order if seen.order >= 0 else inf


def _place_of(step: Step, diagnosis: Diagnosis) -> float:
    return next((_place(seen) for seen in step.forward if seen.delta.site == diagnosis.site), inf)
