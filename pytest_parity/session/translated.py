"""Translated: a recording's observations under the names of another one, in buffers that are used again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch

from pytest_parity.compare.coverage import CALLS
from pytest_parity.compare.spool import Spool
from pytest_parity.contract.tensors import Structure
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.names.moves import in_reference, states_in_reference, to_reference
from pytest_parity.site import INPUTS, Kind, Site

__all__ = ["Observed", "Starts", "Translated"]

_VALUES = frozenset({Kind.BATCH, Kind.OUTPUT, Kind.LOSS})
"""Kinds whose names are the test's own, and the same on both sides."""

_Wanted = Callable[[Site], bool]


@dataclass(frozen=True, slots=True)
class Observed:
    """A site by the reference's name; ``read`` gives its tensor, good until the next one is read.

    ``place`` is where that is stored, the same for what shares its bytes; ``None`` where it is made of several.
    """

    site: Site
    place: Hashable
    read: Callable[[], torch.Tensor | None]


def _given(value: torch.Tensor | None) -> torch.Tensor | None:
    return value


class Translated:
    """The observations of ``golden`` by the reference's names; ``known`` are the names of the reference's tensors."""

    def __init__(self, golden: Golden, names: BoundNames, own: Structure | None, known: frozenset[str]) -> None:
        self.golden = golden
        self._names = names
        self._known = known
        self._aliases = {} if own is None else {path: info.aliases for path, info in own.tensors.items()}
        self._value, self._start = _Buffer(golden), _Buffer(golden)
        self._sites: dict[Site, Site] = {}
        self._held: tuple[int, dict[str, Entry]] = (-1, {})
        """The weights of one step."""

    def site(self, own: Site) -> Site:
        """The reference's name of a site; what is rearranged keeps its own path, marked."""
        found = self._sites.get(own)
        if found is None:
            found = self._sites[own] = self._translated(own)
        return found

    def _translated(self, own: Site) -> Site:
        if own.kind in _VALUES or own.path.startswith(f"{INPUTS}."):
            return own
        if own.kind in CALLS and own.call is not None:
            path, call = self._names.call(own.path, own.call)
            return replace(own, path=path, call=call)
        paths = [self._names.path(name) for name in (own.path, *self._aliases.get(own.path, ()))]
        return replace(own, path=next((path for path in paths if path in self._known), paths[0]))

    def observations(self, step: int, wanted: _Wanted) -> Iterator[Observed]:
        """What a step has of the sites that are ``wanted``."""
        rearranged: list[Entry] = []
        for entry in self.golden.entries(step):
            site = self.site(entry.site)
            if site.path in self._names.layouts and site.kind not in CALLS | _VALUES:
                rearranged.append(entry)
            elif wanted(site):
                yield Observed(site, (entry.file, entry.offset, entry.dtype, entry.shape), partial(self._value, entry))
        for site, value in self._made(rearranged, wanted):
            if wanted(site):
                yield Observed(site, None, partial(_given, value))

    def start(self, step: int, path: str) -> torch.Tensor | None:
        """The weight that a step began with, good until the next one is asked for; ``None`` where none was recorded."""
        held = self._weights(step)
        layout = next((one for one in self._names.layouts.values() if path in one.reference), None)
        if layout is None:
            return self._start(held[path]) if path in held else None
        whole = held.keys() >= layout.candidate.keys()
        return to_reference(layout, path, lambda name: self.golden.tensor(held[name])) if whole else None

    def digest(self, step: int, path: str) -> str:
        """The digest of such a weight; empty where it is rearranged, or there is none."""
        entry = self._weights(step).get(path)
        return "" if entry is None else entry.digest

    def _weights(self, step: int) -> dict[str, Entry]:
        if self._held[0] != step:
            self._held = step, self._read_weights(step)
        return self._held[1]

    def _read_weights(self, step: int) -> dict[str, Entry]:
        found = (entry for entry in self.golden.entries(step) if entry.site.kind is Kind.WEIGHT)
        return {self.site(entry.site).path: entry for entry in found if entry.dtype != NONE}

    def _made(self, entries: list[Entry], wanted: _Wanted) -> Iterator[tuple[Site, torch.Tensor | None]]:
        """The reference's tensors out of those that the candidate has otherwise, layout by layout."""
        held: dict[tuple[Kind, int], dict[str, dict[str, Entry]]] = {}
        for entry in entries:
            site = self.site(entry.site)
            held.setdefault((site.kind, site.optimizer), {}).setdefault(site.path, {})[site.leaf] = entry
        for (kind, place), tensors in held.items():
            for layout in {id(one): one for one in self._names.layouts.values()}.values():
                targets = (Site(kind, name, optimizer=place) for name in layout.reference)
                own = {name: tensors[name] for name in layout.candidate if name in tensors}
                if kind is Kind.OPTIMIZER:
                    yield from self._states(own, place)
                elif any(map(wanted, targets)):
                    read = {name: self._whole(leaves[""]) for name, leaves in own.items()}
                    yield from ((Site(kind, name), value) for name, value in in_reference(self._names, read))

    def _states(
        self, tensors: Mapping[str, Mapping[str, Entry]], place: int
    ) -> Iterator[tuple[Site, torch.Tensor | None]]:
        states = {
            name: {leaf: self.golden.tensor(entry) for leaf, entry in leaves.items()}
            for name, leaves in tensors.items()
        }
        for name, leaf, value in states_in_reference(self._names, states):
            yield Site(Kind.OPTIMIZER, name, leaf=leaf, optimizer=place), value

    def _whole(self, entry: Entry) -> torch.Tensor | None:
        return None if entry.dtype == NONE else self.golden.tensor(entry)


class _Buffer:
    """Reads one tensor after the other into the same memory."""

    def __init__(self, golden: Golden) -> None:
        self._golden = golden
        self._bytes = torch.empty(1 << 20, dtype=torch.uint8, device="cpu")

    def __call__(self, entry: Entry) -> torch.Tensor | None:
        if entry.dtype == NONE:
            return None
        if not entry.nbytes:
            return self._golden.tensor(entry)
        if self._bytes.numel() < entry.nbytes:
            self._bytes = torch.empty(entry.nbytes, dtype=torch.uint8, device="cpu")
        (flat,) = self._golden.chunks(entry, self._bytes)
        return flat.view(entry.shape)


class Starts(Spool):
    """The weights that the candidate's steps began with, where a spool would copy them: they are recorded already."""

    def __init__(self, recording: Translated, reference: Golden) -> None:
        super().__init__(0)
        self._recording = recording
        self._reference = reference
        self.step = -1

    def put(self, site: Site, tensor: torch.Tensor) -> None:
        """Nothing needs to be kept."""

    def get(self, site: Site) -> torch.Tensor | None:
        """The weight at a site; ``None`` where it is the reference's, bit for bit, or none was recorded."""
        theirs = self._reference.entry(self.step, site)
        if theirs is not None and theirs.digest == self._recording.digest(self.step, site.path):
            return None
        return self._recording.start(self.step, site.path)
