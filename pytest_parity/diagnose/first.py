"""First divergence: the earliest site, in causal order, that diverges while what feeds it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_parity.contract.structure import Structure
from pytest_parity.diagnose.backward import diagnose_backward
from pytest_parity.diagnose.forward import diagnose_forward
from pytest_parity.diagnose.probes import diagnose_probes
from pytest_parity.diagnose.step import Seen, Step, above
from pytest_parity.names import BoundNames
from pytest_parity.result import Delta, Diagnosis, Fault, Verdict
from pytest_parity.site import Kind

__all__ = ["Change", "first_divergence"]

_TAKE_WEIGHTS = (
    "to start from the reference's weights: parity.load(model) in a test, weights=True around a loop or in a callback, "
    "--weights for a script"
)

Change = tuple[str, str, str]
"""A hyperparameter's name, its value in the golden's run, its value here."""


def first_divergence(
    observed: Iterable[Delta],
    *,
    names: BoundNames,
    structure: Structure | None = None,
    optimizers: Sequence[str] = (),
    own_optimizers: Sequence[str] = (),
    hyperparameters: Sequence[Change] = (),
    groups: Mapping[str, int] | None = None,
) -> Diagnosis | None:
    """Name what went wrong first; None where nothing fails.

    ``observed`` are all deltas of a step, whatever their verdict: their sites are the reference's, their order is the
    reference's execution order, -1 for what only the candidate has. Of several steps the first that fails is taken.
    ``structure`` is the reference's, ``optimizers`` the names of its optimizers' classes, ``own_optimizers`` those of the
    candidate's, where they are known; ``groups`` the parameter group that holds each parameter, by the reference's name.
    """
    deltas = [delta for delta in observed if delta.verdict is not Verdict.EMPTY]  # the two agree there
    failing = [delta.step for delta in deltas if delta.verdict.fails]
    if not failing:
        return None
    first = [delta for delta in deltas if delta.step == min(failing)]
    causes = _Causes(
        Step(first, names), structure, tuple(optimizers), tuple(own_optimizers), tuple(hyperparameters), groups or {}
    )
    for look in _IN_CAUSAL_ORDER:
        diagnosis = look(causes)
        if diagnosis is not None:
            return replace(diagnosis, others=sum(delta.verdict.fails for delta in first) - 1)
    return None


@dataclass(frozen=True, slots=True)
class _Causes:
    step: Step
    structure: Structure | None
    optimizers: tuple[str, ...]
    own_optimizers: tuple[str, ...]
    hyperparameters: tuple[Change, ...]
    groups: Mapping[str, int]

    def failing(self, *kinds: Kind) -> list[Seen]:
        return [seen for seen in self.step.kind(*kinds) if seen.fails]


def _structure(causes: _Causes) -> Diagnosis | None:
    """Weights that could not be compared as numbers."""
    found = [s for s in causes.failing(Kind.WEIGHT) if not s.delta.metrics and s.delta.verdict is not Verdict.NONFINITE]
    return _named(causes, Fault.STRUCTURE, found)


def _data(causes: _Causes) -> Diagnosis | None:
    return _named(causes, Fault.DATA, causes.failing(Kind.BATCH))


def _weight(causes: _Causes) -> Diagnosis | None:
    found = _named(causes, Fault.WEIGHT, causes.failing(Kind.WEIGHT))
    return found and replace(found, hints=(_TAKE_WEIGHTS,))


def _probe(causes: _Causes) -> Diagnosis | None:
    return diagnose_probes(causes.step, diagnose_forward(causes.step))


def _forward(causes: _Causes) -> Diagnosis | None:
    return diagnose_forward(causes.step)


def _value(causes: _Causes) -> Diagnosis | None:
    found = _named(causes, Fault.VALUE, causes.failing(Kind.OUTPUT) or causes.failing(Kind.LOSS))
    after = causes.step.last_agreeing(causes.step.kind(Kind.ACTIVATION))
    return found and replace(found, after=after)


def _backward(causes: _Causes) -> Diagnosis | None:
    return diagnose_backward(causes.step, causes.structure)


def _buffer(causes: _Causes) -> Diagnosis | None:
    """A buffer is updated by its module's forward, not by the optimizer."""
    buffers = causes.structure.buffers if causes.structure else {}
    found = [seen for seen in causes.failing(Kind.UPDATED_WEIGHT) if seen.site.path in buffers]
    if not found:
        return None
    ends = {call.path: call.end for call in causes.step.calls.values()}
    first = min(found, key=lambda seen: ends.get(above(seen.site.path), 0.0))
    path = above(first.site.path)
    return Diagnosis(
        fault=Fault.MODULE,
        site=first.delta.site,
        step=first.delta.step,
        module=causes.step.own_module(path),
        reference=path,
    )


def _update(causes: _Causes) -> Diagnosis | None:
    found = causes.failing(Kind.OPTIMIZER) or causes.failing(Kind.UPDATED_WEIGHT)
    if not found:
        return None
    first, place = found[0], found[0].site.optimizer
    optimizer = causes.optimizers[place] if place < len(causes.optimizers) else "the optimizer"
    own = causes.own_optimizers[place] if place < len(causes.own_optimizers) else optimizer
    group = _group(causes)
    return Diagnosis(
        fault=Fault.UPDATE,
        site=first.delta.site,
        step=first.delta.step,
        module=own + group,
        reference=optimizer + group if own == optimizer else optimizer,
        hints=tuple(
            f"{name} is {here}, the golden's run had {golden}" for name, golden, here in causes.hyperparameters
        ),
    )


def _group(causes: _Causes) -> str:
    """``.param_groups[1]`` where all that differs is of one group among several."""
    failing = {seen.site.path for seen in causes.failing(Kind.OPTIMIZER, Kind.UPDATED_WEIGHT)}
    held = {causes.groups.get(path) for path in failing}
    if len(held) != 1 or None in held or len(set(causes.groups.values())) == 1:
        return ""
    return f".param_groups[{held.pop()}]"


_IN_CAUSAL_ORDER: tuple[Callable[[_Causes], Diagnosis | None], ...] = (
    _structure,
    _data,
    _weight,
    _probe,
    _forward,
    _value,
    _backward,
    _buffer,
    _update,
)


def _named(causes: _Causes, fault: Fault, found: list[Seen]) -> Diagnosis | None:
    """The first of these sites, by its own name: a parameter, a field of the batch, a value."""
    if not found:
        return None
    first = found[0]
    leaf = f"/{first.site.leaf}" if first.site.leaf else ""
    name = first.site.path + leaf
    own = causes.step.names.back(first.site.path) if first.site.kind is Kind.WEIGHT else first.site.path
    return Diagnosis(fault, first.delta.site, first.delta.step, module=own + leaf, reference=name)
