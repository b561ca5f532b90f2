"""Trial: a specimen as hypotheses see it: its values in float64, and what is left of its error with a change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from time import monotonic, thread_time
from typing import Any

import torch

from pytest_parity.capture.random import kept_generators
from pytest_parity.diagnose.specimen import Specimen, distance
from pytest_parity.report.words import number
from pytest_parity.result import Cause, Hint

__all__ = ["FLOORS", "Hypothesis", "Trial", "kept"]

FLOORS = 3.0
"""What may be left of an error that is explained."""
_BETTER = 4.0
"""An explanation leaves so small a part of the error at most: near the floor, chance alone takes some of it away."""
_FAITHFUL = 100.0
"""A module computed anew is off by so small a part of its error at most, if not by less than a floor."""
_TWICE = 2.0
_SECONDS = 1.5
"""Of computing, after which nothing further is tried."""
_WAITED = 6.0
"""The same where the machine is busy with something else."""
_LARGEST = 1 << 26
"""Elements above which nothing is."""
_BUFFERS = 1 << 24
"""Elements of buffers that are put aside at most while a module is tried."""
_SAMPLE = 1 << 14


@dataclass(slots=True, eq=False)
class Trial:
    """One specimen under trial."""

    specimen: Specimen
    actual: torch.Tensor
    """In float64, on the CPU, as are all the others here."""
    expected: torch.Tensor
    before: float
    """Its error in floors."""
    until: tuple[float, float]
    _cache: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, specimen: Specimen) -> Trial | None:
        """``None`` where there is nothing to explain, or no way to tell an explanation from chance."""
        if not 1 < max(specimen.expected.numel(), specimen.actual.numel()) <= _LARGEST or specimen.actual.is_complex():
            return None
        actual, expected = _plain(specimen.actual), _plain(specimen.expected)
        if actual.shape != expected.shape:
            before = torch.inf
        else:
            error = distance(actual, expected)
            before = error / specimen.floor if specimen.floor > 0 else torch.inf if error else 0.0
        if not before > FLOORS:
            return None
        return cls(specimen, actual, expected, before, (thread_time() + _SECONDS, monotonic() + _WAITED))

    @property
    def module(self) -> torch.nn.Module | None:
        """The candidate's own."""
        return self.specimen.module

    @property
    def floor(self) -> float:
        """Of the norm of a difference."""
        return self.specimen.floor

    @property
    def fits(self) -> bool:
        """Whether actual and expected are of one shape, floating and finite: what may be fitted."""
        return bool(self._once("fits", self._fits))

    @property
    def constant(self) -> bool:
        """Whether one number is expected everywhere: too much would explain that."""
        return bool((self.expected == self.expected.reshape(-1)[:1]).all())

    @property
    def sortable(self) -> bool:
        """Whether both sides hold the same values in some order: without that, no order explains anything."""
        return bool(self._once("sortable", self._sortable))

    def _sortable(self) -> bool:
        ours, theirs = (one.reshape(-1).sort().values for one in (self.actual, self.expected))
        return self.fits and self.left(ours, theirs) is not None

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return thread_time() > self.until[0] or monotonic() > self.until[1]

    def left(
        self, other: torch.Tensor | None, instead: torch.Tensor | None = None, *, slack: float = 0.0
    ) -> float | None:
        """How many floors are left with ``other`` in place of ``actual``; ``None`` where it explains nothing.

        ``instead`` takes the place of what is expected: where a rule is to give what is here. ``slack`` are floors by
        which ``other`` may be off besides.
        """
        goal = self.expected if instead is None else instead
        if other is None or other.shape != goal.shape:
            return None
        allowed = min(FLOORS + slack, self.before / _BETTER) * self.floor
        step = goal.numel() // _SAMPLE
        if step > 1 and not distance(other.reshape(-1)[::step], goal.reshape(-1)[::step]) <= allowed:
            return None  # a part is already more than the whole may be
        error = distance(other, goal)
        if not error <= allowed:
            return None
        return error / self.floor if self.floor > 0 else 0.0

    def told(self, cause: Cause, text: str, other: torch.Tensor | None, *, anew: bool = False) -> Iterator[Hint]:
        """The hint, where ``other`` in place of ``actual`` agrees; ``anew`` where it was computed by ``run``."""
        left = self.left(other, slack=self.slack if anew else 0.0)
        if left is not None:
            yield Hint(cause, f"{text} ({self.support(left)})")

    def support(self, left: float) -> str:
        """``0.8 floors, 412 as it is``."""
        return f"{number(left)} floors" + (f", {number(self.before)} as it is" if self.before < torch.inf else "")

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """The reference's inputs, those that are floating."""
        return self._tensors("inputs", lambda: _floating(self.specimen.inputs))

    @property
    def known(self) -> dict[str, torch.Tensor]:
        """All that the module's code had at hand, by a name for people."""
        return self._tensors("known", lambda: {**_floating(self.specimen.context), **self.inputs})

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """Of the module and of those inside of it."""
        named = dict(self.module.named_parameters()) if self.module is not None else {}
        return self._tensors("parameters", lambda: _floating(named))

    def run(self, change: AbstractContextManager[Any] | None = None) -> torch.Tensor | None:
        """What the module computes with a change; everything is as it was after it."""
        module, again = self.specimen.module, self.specimen.again
        if again is None or module is None or self.over or not self._movable(module):
            return None
        with kept_generators(), kept(module), change or nullcontext():
            found = again()
        return None if found is None else _plain(found)

    @property
    def faithful(self) -> bool:
        """Whether the module, computed anew and unchanged, gives what it gave.

        Modules inside of it compute for themselves then, where they were replaced by the reference's when it was called.
        """
        return self._unchanged <= max(1.0, self.before / _FAITHFUL)

    @property
    def slack(self) -> float:
        """What may be left, besides, of what is computed anew, in floors."""
        return _TWICE * self._unchanged

    @property
    def _unchanged(self) -> float:
        """How far the module, computed anew, is from what it gave, in floors."""
        return float(self._once("unchanged", self._of_unchanged))

    def _of_unchanged(self) -> float:
        found = self.run()
        if found is None or found.shape != self.actual.shape:
            return torch.inf
        error = distance(found, self.actual)
        return error / self.floor if self.floor > 0 else torch.inf if error else 0.0

    def _movable(self, module: torch.nn.Module) -> bool:
        return bool(self._once("movable", lambda: sum(one.numel() for one in module.buffers()) <= _BUFFERS))

    def _fits(self) -> bool:
        mine = self.specimen
        same = mine.actual.shape == mine.expected.shape and mine.actual.is_floating_point()
        return bool(same and self.actual.isfinite().all() and self.expected.isfinite().all())

    def _tensors(self, name: str, make: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = self._once(name, make)
        return found

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._cache:
            self._cache[name] = make()
        return self._cache[name]


Hypothesis = Callable[[Trial], Iterator[Hint]]
"""One kind of cause: yields its hint where the data bears it out."""


@contextmanager
def kept(module: torch.nn.Module) -> Iterator[None]:
    """Give a module and all inside of it what they held before, the same objects; buffers are copies meanwhile.

    A buffer that backward needs may not be written to, not even with the values that it had.
    """
    held = [(one, dict(vars(one)), dict(one._parameters), dict(one._buffers)) for one in module.modules()]  # noqa: SLF001
    for one, _, _, buffers in held:
        one._buffers.update({name: None if own is None else own.clone() for name, own in buffers.items()})  # noqa: SLF001
    try:
        yield
    finally:
        for one, attributes, parameters, buffers in held:
            for now, then in (
                (vars(one), attributes),
                (attributes["_parameters"], parameters),
                (attributes["_buffers"], buffers),
            ):
                now.clear()
                now.update(then)


def _plain(value: torch.Tensor) -> torch.Tensor:
    value = value.detach()
    return value.to_dense().cpu().double() if value.layout is not torch.strided else value.cpu().double()


def _floating(tensors: Any) -> dict[str, torch.Tensor]:
    return {
        name: _plain(one)
        for name, one in tensors.items()
        if isinstance(one, torch.Tensor) and one.is_floating_point() and one.numel() <= _LARGEST
    }
