"""Causes: why a check's first failing step fails, tested while the tensors of that step are still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Protocol

import torch

from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.dtypes import EXACT, rounding
from pytest_parity.compare.region import match
from pytest_parity.compare.tally import Found
from pytest_parity.diagnose.hints.evidence import Pair
from pytest_parity.diagnose.hints.gradients import detached_hints, gradient_hints
from pytest_parity.diagnose.hints.loss import value_hints
from pytest_parity.diagnose.hints.rules import WEIGHT
from pytest_parity.diagnose.hints.update import Optimizer, Stepped, update_hints
from pytest_parity.errors import ParityError
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden, torch_dtype
from pytest_parity.result import Diagnosis, Fault, Hint, Verdict
from pytest_parity.session.begun import Begun
from pytest_parity.session.counting import counts_of
from pytest_parity.site import Kind, Site

__all__ = ["Causes", "Stepping"]

_COMPARED = frozenset({Verdict.EQUAL, Verdict.CLOSE, Verdict.DIFFERS, Verdict.BELOW_NOISE, Verdict.VACUOUS})
"""Verdicts after which there are two tensors of one shape and dtype."""
_CONVENIENT = (ParityError, RuntimeError, ArithmeticError, ValueError, MemoryError, OSError)
"""What may go wrong with a hint, which decides nothing: then there is none."""
_ALLOWED = 4.0
"""Three of these are more than the floors by which an update that passes may be off."""


class Stepping(Protocol):
    """What is known of the optimizers that stepped."""

    def groups(self, place: int) -> Mapping[str, int]:
        """By the reference's name of a parameter, which of the optimizer's groups holds it."""

    def optimizer(self, step: int, place: int) -> Optimizer | None:
        """Its class and settings on both sides in a step; ``None`` where they are not known."""


class Causes:
    """Tests causes on the step that a comparator has open.

    ``read`` gives the candidate's tensor at a site that is not equal, if it is kept.
    """

    def __init__(
        self,
        golden: Golden,
        comparator: Comparator,
        stepping: Stepping,
        read: Callable[[Site], torch.Tensor | None] | None = None,
    ) -> None:
        self._golden = golden
        self._comparator = comparator
        self._stepping = stepping
        self._read = comparator.judged if read is None else read
        self._known: dict[tuple[int, str], tuple[int, tuple[Hint, ...]]] = {}

    def of(self, diagnosis: Diagnosis, place: int = 0) -> tuple[Hint, ...]:
        """Why; what was found while the step was open, once it is closed. ``place`` is the optimizer's."""
        key = diagnosis.step, diagnosis.site
        seen, found = self._known.get(key, (-1, ()))
        now = len(self._comparator.found)
        if diagnosis.step == self._comparator.step and seen != now:
            found = self._tested(diagnosis, place)
            self._known[key] = now, found
        return found

    def _tested(self, diagnosis: Diagnosis, place: int) -> tuple[Hint, ...]:
        try:
            with torch.no_grad():
                return self._look(diagnosis, place)
        except _CONVENIENT:
            return ()

    def _look(self, diagnosis: Diagnosis, place: int) -> tuple[Hint, ...]:
        site = Site.parse(diagnosis.site)
        if diagnosis.fault is Fault.NO_GRADIENT:
            return detached_hints(diagnosis.reference, diagnosis.module, *self._flows(diagnosis.step))
        if diagnosis.fault is Fault.VALUE:
            return self._value(site)
        if diagnosis.fault is Fault.BACKWARD:
            return self._backward(diagnosis)
        if diagnosis.fault is Fault.UPDATE:
            found = self._update(diagnosis.step, site.kind, place)
            return found or (
                self._update(diagnosis.step, Kind.UPDATED_WEIGHT, place) if site.kind is Kind.OPTIMIZER else ()
            )
        return ()

    # values and gradients

    def _value(self, site: Site) -> tuple[Hint, ...]:
        value = self._pair(site)
        if value is None:
            return ()
        if site.kind is not Kind.LOSS:
            return value_hints(value, (), loss=False)
        gradients = self._gradients()
        return (
            () if gradients is None else value_hints(value, gradients, counts_of(self._golden, self._comparator.step))
        )

    def _backward(self, diagnosis: Diagnosis) -> tuple[Hint, ...]:
        gradients = self._gradients()
        if not gradients:
            return ()
        of_module = [one for one in gradients if one.site.path.rpartition(".")[0] == diagnosis.reference]
        step = diagnosis.step
        return gradient_hints(gradients, of_module, before=lambda one: self._gradient(step - 1, one.site), step=step)

    def _gradients(self) -> list[Pair] | None:
        """Those of the step; ``None`` where a tensor of one that is not equal is gone, or has another shape."""
        found: list[Pair] = []
        for site, one in self._comparator.found.items():
            if site.kind is not Kind.GRADIENT or (isinstance(one, Found) and one.entry.dtype == NONE):
                continue
            pair = self._pair(site)
            if pair is None:
                return None
            found.append(pair)
        return found

    def _gradient(self, step: int, site: Site) -> torch.Tensor | None:
        entry = self._golden.entry(step, site) if step in self._golden.steps else None
        return None if entry is None or entry.dtype == NONE else self._golden.tensor(entry).double()

    def _pair(self, site: Site) -> Pair | None:
        """Both tensors at a site; ``None`` where there are not two of them to be compared."""
        one = self._comparator.found.get(site)
        if not isinstance(one, Found) or one.outcome.verdict not in _COMPARED or not _real(one.entry):
            return None
        equal, entry = one.outcome.verdict is Verdict.EQUAL, one.entry
        if not equal and self._read(site) is None:
            return None
        region = match(self._comparator.regions, site, entry.shape)

        def read() -> tuple[torch.Tensor, torch.Tensor]:
            theirs = self._golden.tensor(entry).double()
            kept = None if equal else self._read(site)
            ours = theirs if kept is None else _wide(kept)
            if region is None:
                return ours, theirs
            mask = region.mask(entry.shape)
            return ours[mask], theirs[mask]

        own = Site.parse(self._comparator.own_name(site) or str(site)).path
        return Pair(site, read, one.verdict.fails, self._floor(entry), rounding(torch_dtype(entry)), own)

    def _floor(self, entry: Entry, *, own: bool = False) -> float | None:
        noise = self._golden.noise
        floor = None if noise is None else noise.of(entry.step, entry.order, own=own)
        return None if floor is None or not floor.norm else floor.norm

    def _flows(self, step: int) -> tuple[list[str], list[str], dict[str, int]]:
        """Parameters without a gradient that the golden has one for; those with one; the order of module calls' ends."""
        missing, present = [], []
        for site, one in self._comparator.found.items():
            if site.kind is Kind.GRADIENT:
                entry = self._golden.entry(step, site)
                told = entry is not None and entry.dtype != NONE and bool(self._golden.tensor(entry).any())
                if told and one.verdict is Verdict.MISSING:
                    missing.append(site.path)
                elif told:
                    present.append(site.path)
        ends = {
            entry.site.path: entry.order
            for entry in self._golden.entries(step)
            if entry.site.kind is Kind.ACTIVATION and not entry.site.call
        }
        return missing, present, ends

    # updates

    def _update(self, step: int, kind: Kind, place: int) -> tuple[Hint, ...]:
        """Of the step's own update, or of the state that the step before has left."""
        begun = step - 1 if kind is Kind.OPTIMIZER else step
        groups = self._stepping.groups(place)
        optimizer = self._stepping.optimizer(begun, place) if begun in self._golden.steps else None
        if optimizer is None:
            return ()
        start = Begun(self._golden, begun, place, frozenset(groups))
        found: dict[str, list[Found]] = {}
        for at, one in self._comparator.found.items():
            if at.kind is kind and at.path in groups and at.optimizer in {0, place} and isinstance(one, Found):
                found.setdefault(at.path, []).append(one)
        made = [self._stepped(start, path, group, found[path]) for path, group in groups.items() if path in found]
        stepped = [one for one in made if one is not None]
        return update_hints(stepped, optimizer) if len(stepped) == len(made) else ()

    def _stepped(self, start: Begun, path: str, group: int, found: Sequence[Found]) -> Stepped | None:
        if not start.knows(path) or not all(self._there(one) for one in found):
            return None
        return Stepped(
            name=self._comparator.names.back(path),
            group=group,
            fails=any(one.verdict.fails for one in found),
            elements=sum(prod(one.entry.shape) for one in found),
            begin=lambda: start.begin(path),
            ends=lambda: dict(self._ends(start, path, found)),
        )

    def _there(self, one: Found) -> bool:
        if one.outcome.verdict not in _COMPARED:
            return False
        return one.outcome.verdict is Verdict.EQUAL or self._read(one.entry.site) is not None

    def _ends(
        self, start: Begun, path: str, found: Sequence[Found]
    ) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor, float]]]:
        for one in found:
            site, entry = one.entry.site, one.entry
            theirs = self._golden.tensor(entry).double()
            kept = None if one.outcome.verdict is Verdict.EQUAL else self._read(site)
            ours = theirs if kept is None else _wide(kept)
            if site.kind is Kind.OPTIMIZER:
                yield site.leaf, (ours, theirs, self._of_state(entry, ours, theirs))
                continue
            begun = start.weight(path)
            own = None if one.isolated else self._read(Site(Kind.WEIGHT, path))
            ours = ours if own is None else ours - _wide(own) + begun
            noise = self._floor(entry, own=not one.isolated) or 0.0
            yield WEIGHT, (ours, theirs, max(noise, _of_update(entry, begun, ours, theirs)))
        if found[0].entry.site.kind is Kind.OPTIMIZER:
            yield from self._passed(start, path)

    def _of_state(self, entry: Entry, ours: torch.Tensor, theirs: torch.Tensor) -> float:
        """The floor of a state: where the candidate's is larger, what it is computed from has rounding as much larger."""
        size, own_size = float(theirs.norm()), float(ours.norm())
        noise = (self._floor(entry) or 0.0) * max(1.0, own_size / size if size else 1.0)
        return max(noise, 4 * rounding(torch_dtype(entry)) * max(size, own_size))

    def _passed(self, start: Begun, path: str) -> Iterator[tuple[str, tuple[torch.Tensor, torch.Tensor, float]]]:
        """The update of the step before, which was judged: the candidate's is the golden's, as far as that allows."""
        entry = self._golden.entry(start.step, Site(Kind.UPDATED_WEIGHT, path))
        if entry is None or entry.dtype == NONE or Kind.UPDATED_WEIGHT not in self._comparator.kinds:
            return
        begun, theirs = start.weight(path), self._golden.tensor(entry).double()
        floor = max(self._floor(entry) or 0.0, _of_update(entry, begun, theirs, theirs))
        yield WEIGHT, (theirs, theirs, _ALLOWED * floor)


def _of_update(entry: Entry, begun: torch.Tensor, ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """What rounding does to a new weight, and to the update in it."""
    largest = max(float(one.norm()) for one in (ours, theirs, begun))
    moved = max(float((ours - begun).norm()), float((theirs - begun).norm()))
    return rounding(torch_dtype(entry)) * (largest + 4 * moved)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """A copy: what is read may lie in a buffer."""
    return tensor.detach().to("cpu", torch.float64, copy=True)


def _real(entry: Entry) -> bool:
    if entry.dtype == NONE:
        return False
    dtype = torch_dtype(entry)
    return dtype not in EXACT and not dtype.is_complex
