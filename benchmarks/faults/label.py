"""Labels: what a right report names, written by the injector together with the fault, before any check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from benchmarks.faults.workloads import Trained
from pytest_parity.result import Cause

__all__ = ["LOSS", "OPTIMIZER", "Family", "Injection", "Label"]

LOSS = "loss"
"""What the test's own code calls its loss."""
OPTIMIZER = "optimizer"
"""The path of a fault in an optimizer's step."""


class Family(str, Enum):
    """Where a fault is."""

    FORWARD = "forward"
    FUNCTIONAL = "functional"
    BACKWARD = "backward"
    LOSS = "loss"
    OPTIMIZER = "optimizer"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Label:
    """What a right report names.

    ``modules``: each of them is a right name: one, but for what two share. Of a functional fault it is the parent,
    and ``after`` and ``to`` are the children that it stands between (empty: before the first, the parent's output).
    """

    modules: tuple[str, ...]
    cause: Cause | None
    """What a right hint names; ``None``: no closed form is known, and no hint is asked for."""
    equivalent: frozenset[Cause] = frozenset()
    """Causes that are as true of it."""
    after: str = ""
    to: str = ""
    functional: bool = False
    sources: frozenset[str] = frozenset()
    """The modules that made what the parent hands on: at their outputs a wrong gradient of it shows."""

    @property
    def causes(self) -> frozenset[Cause]:
        """All that are right."""
        return self.equivalent | ({self.cause} if self.cause is not None else set())


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault at one place, of one size."""

    name: str
    family: Family
    path: str
    label: Label
    make: Callable[[Trained], None] = field(compare=False)
    size: float = 1.0
    evident: bool = False
    """Something is missing, or of another kind: no rule is asked."""

    def put(self, candidate: Trained) -> None:
        """Put it into a candidate that was built for it."""
        self.make(candidate)

    def __str__(self) -> str:
        size = f" {self.size:g}" if self.size != 1 else ""
        between = f" ({self.label.after or '-'} > {self.label.to or '-'})" if self.label.functional else ""
        return f"{self.name}{size} {self.path}{between}"
