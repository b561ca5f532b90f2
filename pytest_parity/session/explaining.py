"""Explaining: a last isolated run, in which the hints are tested at each place that is faulty by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import torch

from pytest_parity.compare.alone import Apart
from pytest_parity.compare.region import Region
from pytest_parity.diagnose.derivative import WRONG, derivative_error
from pytest_parity.diagnose.hints import forward_hints
from pytest_parity.diagnose.isolated import Isolated
from pytest_parity.diagnose.specimen import Specimen
from pytest_parity.diagnose.step import Call
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Faulty, Hint, Part
from pytest_parity.session.anew import Anew
from pytest_parity.site import ROOT, Kind, Site

if TYPE_CHECKING:
    from pytest_parity.session.isolating import Isolating

__all__ = ["Explaining"]

_EXPLAINED = (Part.OUTPUT, Part.HANDED, Part.BUFFER)
_LIMIT = 20
"""Faulty places whose cause is looked for."""
_SECONDS = 30.0
"""That derivatives may take, all together."""


class Explaining:
    """Looks at each faulty place as it is computed again, with its module at hand."""

    def __init__(
        self,
        golden: Golden,
        faulty: Sequence[Faulty],
        isolated: Mapping[int, Isolated],
        found: Sequence[Apart],
    ) -> None:
        self._golden = golden
        self._faulty = list(faulty)
        self._isolated = isolated
        self._places = {
            (one.step, one.order): place for place, one in enumerate(self._faulty[:_LIMIT]) if one.part in _EXPLAINED
        }
        self._floors = {(one.entry.step, one.entry.order): one for one in found}
        self._hints: dict[int, tuple[Hint, ...]] = {}
        self._suspects = {
            (one.step, call.path, call.index)
            for one in self._faulty
            if one.part is Part.GRADIENT and one.order in isolated[one.step].backward.suspects
            for call in isolated[one.step].backward.suspects[one.order].calls
        }
        self._errors: dict[tuple[int, str, int], float | None] = {}
        self._seconds = _SECONDS
        self._torchs: set[tuple[int, str, int]] = set()
        """The suspects whose class is torch's own."""

    def explained(self) -> list[Faulty]:
        """The same, with their hints, and gradients where they belong; not those that are no module's."""
        told = [replace(one, hints=self._hints.get(place, one.hints)) for place, one in enumerate(self._faulty)]
        resolved = (
            self._isolated[one.step].backward.resolved(
                one, partial(self._wrong, one.step), partial(self._is_torchs, one.step)
            )
            for one in told
        )
        return [one for one in resolved if one is not None]

    def _wrong(self, step: int, call: Call) -> bool | None:
        error = self._errors.get((step, call.path, call.index))
        return None if error is None else error > WRONG

    def _is_torchs(self, step: int, call: Call) -> bool:
        return (step, call.path, call.index) in self._torchs

    def see(self, run: Isolating, entry: Entry, value: torch.Tensor | None, region: Region | None) -> None:
        """Test the hints, where this site is one of those, and the derivative of a call that is a suspect."""
        self._differentiate(run, entry)
        place = self._places.get((entry.step, entry.order))
        apart = self._floors.get((entry.step, entry.order))
        if place is None or value is None or apart is None or apart.noise is None or run.capture is None:
            return
        faulty = self._faulty[place]
        modules = run.capture.modules
        with modules.at_rest(), torch.no_grad():
            leaving = modules.leaving  # children's outputs are replaced as they are called, and not when called anew
            alone = leaving is not None and next(leaving.module.children(), None) is None
            anew = Anew.of(modules, run.streams, entry.site) if alone and faulty.part is Part.OUTPUT else None
            specimen = Specimen(
                part=faulty.part,
                module=modules.named(faulty.reference),
                path=faulty.module,
                actual=_inside(value.detach(), region),
                expected=_inside(self._golden.tensor(entry).to(value.device), region),
                floor=apart.noise.norm_floor,
                inputs=self._inputs(faulty, value.device),
                context=self._context(faulty, entry, value.device),
                constants=run.constants(faulty.reference),
                again=None if anew is None else partial(_anew_inside, anew, region),
            )
            self._hints[place] = forward_hints(specimen)

    def _differentiate(self, run: Isolating, entry: Entry) -> None:
        key = entry.step, entry.site.path, entry.site.call or 0
        if key not in self._suspects or key in self._errors or run.capture is None:
            return
        modules = run.capture.modules
        anew = Anew.of(modules, run.streams, entry.site)
        if anew is not None:
            if type(anew.leaving.module).__module__.startswith("torch.nn."):
                self._torchs.add(key)
            with modules.at_rest():
                began = monotonic()
                self._errors[key] = derivative_error(
                    anew.leaving.module, anew.leaving.args, anew.leaving.kwargs, anew.called, seconds=self._seconds
                )
                self._seconds -= monotonic() - began

    def _inputs(self, faulty: Faulty, device: torch.device) -> dict[str, torch.Tensor]:
        entries = (
            entry
            for entry in self._golden.entries(faulty.step)
            if entry.site.kind is Kind.INPUT
            and (entry.site.path, entry.site.call or 0) == (faulty.reference, faulty.call)
            and entry.dtype != NONE
        )
        return {entry.site.leaf: self._golden.tensor(entry).to(device) for entry in entries}

    def _context(self, faulty: Faulty, at: Entry, device: torch.device) -> dict[str, torch.Tensor]:
        """What the module's own code had at hand besides: what its children returned before; of a buffer what it was."""
        if faulty.part is Part.BUFFER:
            start = self._golden.entry(faulty.step, Site(Kind.WEIGHT, at.site.path))
            return {} if start is None else {"start": self._golden.tensor(start).to(device)}
        step = self._isolated[faulty.step].step
        parent = step.calls.get((faulty.reference, faulty.call))
        if parent is None and faulty.reference != ROOT:
            return {}
        entries = {entry.order: entry for entry in self._golden.entries(faulty.step)}
        found: dict[str, torch.Tensor] = {}
        for call in step.calls.values():
            if call is parent or call.end >= at.order or step.caller(call) is not parent:
                continue
            for seen in call.sites:
                entry = entries[seen.order]
                if seen.site.kind is Kind.ACTIVATION and entry.dtype != NONE:
                    name = step.own_module(call.path, call.index)
                    found[f"{name}/{seen.site.leaf}" if seen.site.leaf else name] = self._golden.tensor(entry).to(
                        device
                    )
        return found


def _anew_inside(anew: Anew, region: Region | None) -> torch.Tensor | None:
    value = anew()
    return None if value is None else _inside(value, region)


def _inside(value: torch.Tensor, region: Region | None) -> torch.Tensor:
    """What is outside of a valid region says nothing, on either side."""
    if region is None:
        return value
    return torch.where(region.mask(value.shape).to(value.device), value, torch.zeros_like(value))
