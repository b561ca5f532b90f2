"""Volatile: a golden in memory, for two models in one process: written and read like one on disk, gone with its owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_parity.errors import GoldenError
from pytest_parity.golden.canonical import decode, plain
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.curves import KeptCurve
from pytest_parity.golden.digest import digest
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.memory import buffer_of, dense, is_plain
from pytest_parity.golden.noise import NoiseFloors
from pytest_parity.golden.reader import Golden, torch_dtype
from pytest_parity.site import Site

__all__ = ["Volatile", "VolatileGolden", "VolatileWriter"]

_FILE = "(memory)"

_Key = tuple[torch.dtype, torch.Size, str]


class VolatileGolden(Golden):
    """What a ``VolatileWriter`` was given; an entry's ``offset`` is its place among ``tensors``."""

    def __init__(
        self,
        manifest: dict[str, Any],
        tables: Mapping[int, Mapping[Site, Entry]],
        tensors: Sequence[torch.Tensor],
        floors: NoiseFloors | None,
        curves: Mapping[str, KeptCurve],
    ) -> None:
        super().__init__(Path(_FILE), manifest)
        self.noise = floors
        self.curves = curves
        self._held = tensors
        self._whole = {step: dict(table) for step, table in tables.items()}

    def chunks(self, entry: Entry, buffer: torch.Tensor) -> Iterator[torch.Tensor]:
        """The tensor's elements, in order, as flat views of successive pieces in ``buffer``; see ``Golden.chunks``."""
        if not entry.nbytes:
            return
        dtype = torch_dtype(entry)
        flat = self._held[entry.offset].view(-1)
        size = buffer.numel() // dtype.itemsize
        for start in range(0, flat.numel(), size):
            piece = flat[start : start + size]
            yield buffer[: piece.nbytes].view(dtype).copy_(piece)

    def tensor(self, entry: Entry) -> torch.Tensor:
        """The whole tensor, in memory of its own, on the CPU."""
        torch_dtype(entry)
        return self._held[entry.offset].clone()

    def verify(self) -> None:
        """Nothing in memory is read from a file."""

    def close(self) -> None:
        """There is no file to close; it can be read again."""

    def _table(self, step: int) -> dict[Site, Entry]:
        if step not in self._whole:
            kept = ", ".join(map(str, self.steps)) or "none"
            raise GoldenError(f"{self.case} has no step {step}; it keeps {kept}")
        return self._whole[step]


class VolatileWriter:
    """Takes what a ``GoldenWriter`` takes; tensors are copied, one that was seen already is not copied again."""

    def __init__(self, owner: Volatile, case: str) -> None:
        self.sites = 0
        self.bytes_written = 0
        self._owner = owner
        self._case = case
        self._tables: dict[int, dict[Site, Entry]] = {}
        self._tensors: list[torch.Tensor] = []
        self._places: dict[_Key, int] = {}
        self._steps: dict[str, Any] = {}
        self._floors: NoiseFloors | None = None
        self._curves: Mapping[str, KeptCurve] = {}

    def write(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        """Keep one observation; the tensor may change as soon as this returns."""
        table = self._tables.setdefault(step, {})
        if site in table:
            raise GoldenError(f"{site} of step {step} was recorded twice; give the second value a name of its own")
        table[site] = self._none(step, order, site) if value is None else self._entry(step, order, site, value)
        self.sites += 1

    def finish_step(self, step: int, info: Mapping[str, Any]) -> None:
        """Close the step; ``info``, plain values, becomes the manifest's record of it."""
        self._tables.setdefault(step, {})
        self._steps[str(step)] = decode(plain(info, f"the record of step {step}"))

    def put_batch(self, step: int, digest: str) -> None:
        """What is drawn again is given the recorded batches: nobody asks for their digests."""

    def put_noise(self, floors: NoiseFloors) -> None:
        """Keep the noise floors of the steps."""
        self._floors = floors

    def put_curves(self, curves: Mapping[str, KeptCurve]) -> None:
        """Keep the training curves."""
        self._curves = dict(curves)

    def seal(
        self,
        *,
        provenance: Mapping[str, Any],
        settings: Mapping[str, Any],
        structure: Mapping[str, Any],
        history: Sequence[Any],
    ) -> VolatileGolden:
        """What was written so far, for reading. May be done again."""
        given = {"provenance": provenance, "settings": settings, "structure": structure, "history": list(history)}
        manifest = {**decode(plain(given, MANIFEST)), "case": self._case, "steps": self._steps, "files": {}}
        return VolatileGolden(manifest, self._tables, self._tensors, self._floors, self._curves)

    def commit(
        self,
        *,
        provenance: Mapping[str, Any],
        settings: Mapping[str, Any],
        structure: Mapping[str, Any],
        history: Sequence[Any],
    ) -> Path:
        """Seal, and hand the golden to its owner."""
        sealed = self.seal(provenance=provenance, settings=settings, structure=structure, history=history)
        self._owner.committed = sealed
        return sealed.path

    def discard(self) -> None:
        """Let go of what was written."""
        self._tables, self._tensors, self._places = {}, [], {}

    def _none(self, step: int, order: int, site: Site) -> Entry:
        return Entry(site, step, order, NONE, (), "", _FILE, 0, 0)

    def _entry(self, step: int, order: int, site: Site, value: torch.Tensor) -> Entry:
        value = value.detach() if is_plain(value) else dense(value)
        digits = digest(buffer_of(value))
        key = (value.dtype, value.shape, digits)
        place = self._places.setdefault(key, len(self._tensors))
        if place == len(self._tensors):
            with torch.inference_mode(mode=False), torch.no_grad():
                self._tensors.append(torch.empty_like(value).copy_(value))
            self.bytes_written += value.nbytes
        dtype = str(value.dtype).removeprefix("torch.")
        return Entry(site, step, order, dtype, tuple(value.shape), digits, _FILE, place, value.nbytes)


class Volatile:
    """The place of one case's golden, in memory; ``committed`` is there once a recording has ended well."""

    def __init__(self) -> None:
        self.committed: VolatileGolden | None = None

    def writer(self, case: str) -> VolatileWriter:
        """A recording's writer."""
        return VolatileWriter(self, case)

    def golden(self) -> VolatileGolden:
        """The golden; raises ``GoldenError`` before one was committed."""
        if self.committed is None:
            raise GoldenError("nothing was recorded in memory yet")
        return self.committed
