"""Specimen: one thing that is faulty by itself, with everything that its cause can be tested on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from pytest_parity.result import Part

__all__ = ["Specimen", "distance"]


@dataclass(frozen=True, slots=True)
class Specimen:
    """What a module's forward computed of the reference's inputs, and what it should have computed.

    ``module`` is the candidate's own, as it is during the call (``None`` where the test's own code computed it); of
    ``Part.HANDED`` the parent whose code made what it hands to a child. Everything is detached; nothing here may be
    changed for good: a hypothesis that changes the module takes it back before it returns.
    """

    part: Part
    module: torch.nn.Module | None
    path: str
    """The candidate's own name of the module."""
    actual: torch.Tensor
    expected: torch.Tensor
    floor: float
    """Of the norm of ``actual - expected``: isolation's floor at this site, an absolute number."""
    inputs: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """The reference's inputs of the call, by ``in.0``, ``in.1``: tensors in the order of the forward's signature."""
    context: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """What the module's own code had at hand besides: the reference's outputs of the children called before, by name."""
    constants: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Settings of this module that the golden has otherwise: name to (golden's, here), as text."""
    again: Callable[[], torch.Tensor | None] | None = None
    """Computes ``actual`` anew, of the same inputs and random streams, with the module as it is at that moment; ``None``
    where it cannot be."""

    def explains(self, other: torch.Tensor | None, floors: float = 3.0) -> bool:
        """Whether ``other`` in place of ``actual`` would agree with ``expected`` to within ``floors`` floors."""
        if other is None or other.shape != self.expected.shape:
            return False
        return distance(other, self.expected) <= floors * self.floor


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """``||one - other||`` in float64, infinite where one of them is not finite and the other another value."""
    ours, theirs = one.detach().double().cpu(), other.detach().double().cpu()
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    return float(torch.where(same, torch.zeros_like(ours), ours - theirs).nan_to_num(nan=torch.inf).norm())
