"""The backward pass, given that the forward agrees: the first gradient that goes wrong, in backward order.

A parameter's gradient is complete when backward has passed the first call of the module that owns it, so gradients
stand in the reverse order of those calls; an activation's gradient stands at the call whose output it belongs to.
"""

from __future__ import annotations

from functools import cached_property
from math import inf

from pytest_parity.contract.structure import Structure
from pytest_parity.diagnose.step import Seen, Step, above, prefixes
from pytest_parity.result import Diagnosis, Fault, Verdict
from pytest_parity.site import INPUTS, ROOT, Kind

__all__ = ["Backward", "diagnose_backward"]


def diagnose_backward(step: Step, structure: Structure | None) -> Diagnosis | None:
    """The first divergence among gradients; None where they agree."""
    backward = Backward(step)
    if not any(seen.fails for seen in backward.sites):
        return None
    first = next(seen for seen in backward.sites if seen.raised)  # what only the candidate has stands last
    return _no_gradient(backward, first) if first.absent else _differs(backward, first, structure)


class Backward:
    """The gradients of a step in backward order."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self._ends: dict[str, float] = {}
        for call in step.calls.values():
            self._ends[call.path] = min(call.end, self._ends.get(call.path, inf))

    @cached_property
    def sites(self) -> list[Seen]:
        """Gradients, what the golden has without a gradient left out."""
        kept = [
            seen
            for seen in self.step.kind(Kind.GRADIENT, Kind.ACTIVATION_GRADIENT)
            if not (seen.delta.verdict is Verdict.EQUAL and seen.delta.elements == 0)
        ]
        return sorted(kept, key=self._place)

    def owner(self, seen: Seen) -> str:
        """The module that a gradient belongs to: the innermost one that was called, else the one that it is in."""
        if seen.site.kind is Kind.ACTIVATION_GRADIENT:
            return seen.site.path
        if seen.site.path.startswith(f"{INPUTS}."):
            return INPUTS
        around = prefixes(above(seen.site.path))
        return next((path for path in around if path in self._ends), around[0])

    def _place(self, seen: Seen) -> tuple[bool, float, bool, float]:
        of_parameter = seen.site.kind is Kind.GRADIENT
        if of_parameter:
            end = self._ends.get(self.owner(seen), inf) if self.owner(seen) != INPUTS else -1.0  # backward ends there
        else:
            call = self.step.calls.get((seen.site.path, seen.site.call or 0))
            end = inf if call is None else call.end
        # what belongs to no call (the root's own parameters, say) comes first, the last one declared before the others
        return seen.surplus, -end, of_parameter, -seen.order if end == inf else seen.order


def _differs(backward: Backward, first: Seen, structure: Structure | None) -> Diagnosis:
    step, owner = backward.step, backward.owner(first)
    before = backward.sites[: backward.sites.index(first)]
    aliases = _aliases(structure, first)
    return Diagnosis(
        fault=Fault.BACKWARD,
        site=first.delta.site,
        step=first.delta.step,
        module=step.own_module(owner, first.site.call or 0),
        reference=owner,
        candidate=first.delta.candidate,
        after=step.last_agreeing(before),
        hints=(f"{first.site.path} is tied: it is {' and '.join(aliases)} too",) if aliases else (),
    )


def _aliases(structure: Structure | None, seen: Seen) -> tuple[str, ...]:
    if structure is None or seen.site.path not in structure.parameters:
        return ()
    return structure.parameters[seen.site.path].aliases


def _no_gradient(backward: Backward, first: Seen) -> Diagnosis:
    """The outermost module none of whose parameters has a gradient that the golden has one for."""
    recorded = [seen for seen in backward.sites if seen.site.kind is Kind.GRADIENT and not seen.surplus]
    present = {path for seen in recorded if not seen.absent for path in prefixes(seen.site.path)}
    cut = first.site.path
    for path in prefixes(first.site.path):
        if path in present:
            break
        cut = path
    hints = ("no parameter has a gradient: was backward run before the check?",) if cut == ROOT and recorded else ()
    return Diagnosis(
        fault=Fault.NO_GRADIENT,
        site=first.delta.site,
        step=first.delta.step,
        module=backward.step.names.back(cut),
        reference=cut,
        hints=hints,
    )
