"""Subject: which module, or which optimizer, is to be reproduced, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from pytest_parity.errors import UsageError
from pytest_parity.report.words import amount
from pytest_parity.result import Diagnosis, Fault, Faulty, Part
from pytest_parity.session.reproducing.told import Told
from pytest_parity.site import INPUTS, ROOT, Kind, Site

__all__ = ["Subject", "subject_of"]

_ANY = "any module can be written all the same: --module NAME"


@dataclass(frozen=True, slots=True)
class Subject:
    """A module of the candidate's, by its key among those described, at a call of the reference's; or an optimizer."""

    key: str
    reference: str
    call: int = 0
    optimizer: bool = False
    why: tuple[str, ...] = ()
    """What is to be said of the choice."""
    norms: dict[str, float] = field(default_factory=dict)
    """By site: what isolation allows of ``||a-r||``, as a share of ``||r||``."""
    site: str = ""
    backward: bool = False
    """Whether it is a gradient that is wrong."""


def subject_of(told: Told, name: str = "") -> Subject:
    """What ``name`` says, else what isolation found first, else the first divergence; raises ``UsageError``."""
    if name:
        return _named(told, name)
    isolation = told.isolation
    if isolation is not None and isolation.faulty and isolation.step == told.step:
        return _isolated(told, isolation.faulty[0])
    return _CHOICES[told.diagnosis.fault](told, told.diagnosis)


def _named(told: Told, name: str) -> Subject:
    path, _, call = name.partition("#")
    if call and not call.isdecimal():
        raise UsageError(f"--module {name}: behind # stands the number of a call, as in {path}#0")
    for key, one in told.modules.items():
        if path in {key, *one["paths"], *one["reference"]}:
            reference = path if path in one["reference"] else one["reference"][0]
            return _at(told, reference, int(call or 0))
    known = [one["paths"][0] for one in told.modules.values()]
    near = get_close_matches(path, known, n=3)
    said = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(known[:8])}"
    raise UsageError(f"--module {name}: the model of {told.case} has no such module; {said}")


_PROBED = "it shows with the inputs of a probe; here are the recorded ones, with which it may agree"


def _isolated(told: Told, first: Faulty) -> Subject:
    if first.part is Part.UPDATE:
        return Subject("", first.reference, optimizer=True, site=first.site)
    if first.part is Part.VALUE:
        return _value(told, told.diagnosis)
    allowed = 3 * first.relative / first.floors if 0 < first.floors < float("inf") else 0.0
    norms = {first.site: allowed} if allowed else {}
    why: tuple[str, ...] = ()
    if first.part is Part.HANDED:
        why = (f"{first.module} hands something else to {first.to}: here is {first.module}, with all that is in it",)
    if first.part is Part.PROBE:
        why = (_PROBED,)
    found = _at(told, first.reference, first.call, why, backward=first.part is Part.GRADIENT)
    return replace(found, norms=norms, site=first.site)


def _at(told: Told, reference: str, call: int, why: tuple[str, ...] = (), *, backward: bool = False) -> Subject:
    key = told.own_module(reference, call)
    if not key:
        raise UsageError(f"the candidate of {told.case} has no counterpart of {reference}; {_ANY}")
    if not told.at(Kind.ACTIVATION, reference, call):
        calls = sum(path == reference for path, _ in told.calls())
        times = f"is called {amount(calls, 'time')} there" if calls else "has none, or is never called there"
        raise UsageError(
            f"the golden of {told.case} has no output of {reference}#{call} in step {told.step}: the module {times}, "
            "counted from #0, and outputs are recorded with the kind 'activation'"
        )
    recorded = told.golden.manifest["settings"].get("kinds", ())
    if Kind.INPUT.value not in recorded:
        raise UsageError(
            f"the golden of {told.case} holds no inputs of modules (kinds= leaves them out), so {reference} cannot be run "
            f"alone; record it with them: pytest --parity-record --parity-case '{told.case}'"
        )
    return Subject(key, reference, call, why=why, backward=backward)


def _probe(told: Told, found: Diagnosis) -> Subject:
    return replace(_at(told, found.reference, Site.parse(found.site).call or 0, (_PROBED,)), site=found.site)


def _module(told: Told, found: Diagnosis) -> Subject:
    return replace(_at(told, found.reference, Site.parse(found.site).call or 0), site=found.site)


def _around(told: Told, found: Diagnosis) -> Subject:
    """The innermost call of the reference's around the site: its own code is what differs."""
    site = Site.parse(found.site)
    if site.path == ROOT:
        raise UsageError(
            f"what the test hands to the model is what differs ({found.site}): no module can be written that shows it; {_ANY}"
        )
    order = min(one.order for one in told.entries if one.site.path == site.path and one.site.call == site.call)
    around = [
        (path, call)
        for path, call in told.calls()
        if (path == found.reference or found.fault is Fault.NOT_CALLED)
        and path != site.path
        and told.span(path, call)[0] < order <= told.span(path, call)[1]
    ]
    if not around:
        raise UsageError(
            f"{found.module} is where it differs, between the calls of its children, and the golden has no input of "
            f"{found.reference}, so it cannot be run alone; {_ANY}"
        )
    path, call = max(around, key=lambda one: told.span(*one)[0])
    name = found.module if found.fault is Fault.BETWEEN else path
    what = "does not call" if found.fault is Fault.NOT_CALLED else "hands something else to"
    return _at(told, path, call, (f"{name} {what} {site.path}: here is {name}, with all that is in it",))


def _backward(told: Told, found: Diagnosis) -> Subject:
    if found.reference == INPUTS:
        return _value(told, found)
    calls = [call for path, call in told.calls() if path == found.reference]
    if not calls or not told.at(Kind.ACTIVATION_GRADIENT, found.reference, calls[0]):
        raise UsageError(
            f"the gradient of {found.module} is what differs, and the golden of {told.case} has no gradient of its output, "
            "from which backward could begin; record it with kinds=(..., 'activation_gradient'). "
            f"Its forward pass, which agrees, can be written: --module {found.module}"
        )
    return _at(told, found.reference, calls[0], backward=True)


def _value(told: Told, found: Diagnosis) -> Subject:
    site = Site.parse(found.site)
    what = "the loss" if site.kind is Kind.LOSS else f"{site.path.removeprefix(f'{INPUTS}.')}"
    raise UsageError(
        f"{what} is what differs, and the test's own code computes it of modules that agree, so there is no module to write; "
        f"the reference's is {site} in step {found.step} of {told.golden.path}; {_ANY}"
    )


def _loop(_told: Told, found: Diagnosis) -> Subject:
    raise UsageError(
        "the gradients of parameters are what differs, while alone each module's backward pass agrees, so there is no module "
        f"to write: look at what the loop does with them in step {found.step}, between backward and the optimizer's step; {_ANY}"
    )


def _update(_told: Told, found: Diagnosis) -> Subject:
    return Subject("", found.reference, optimizer=True, site=found.site)


def _before(told: Told, found: Diagnosis) -> Subject:
    words = {
        Fault.STRUCTURE: "the models are not built alike",
        Fault.DATA: "the batches differ",
        Fault.WEIGHT: "the weights differ before anything is computed",
        Fault.SKIPPED: "the step was never run",
    }
    raise UsageError(
        f"{words[found.fault]} ({found.module or found.site}), so that no module of {told.case} is to blame; {_ANY}"
    )


_CHOICES: dict[Fault, Callable[[Told, Diagnosis], Subject]] = {
    Fault.PROBE: _probe,
    Fault.MODULE: _module,
    Fault.BETWEEN: _around,
    Fault.NOT_CALLED: _around,
    Fault.BACKWARD: _backward,
    Fault.NO_GRADIENT: _backward,
    Fault.CUT: _backward,
    Fault.LOOP: _loop,
    Fault.VALUE: _value,
    Fault.UPDATE: _update,
    Fault.STRUCTURE: _before,
    Fault.DATA: _before,
    Fault.WEIGHT: _before,
    Fault.SKIPPED: _before,
}
