"""Spool: the candidate's tensors that are still needed later in a step, in memory up to a budget, else on disk."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

import torch

from pytest_parity.errors import UsageError
from pytest_parity.golden.room import is_full, room_words
from pytest_parity.site import Kind, Site

__all__ = ["Spool"]


@dataclass(frozen=True, slots=True)
class _OnDisk:
    offset: int
    count: int
    dtype: torch.dtype
    shape: torch.Size


class Spool:
    """Copies of tensors by site, on the CPU. ``budget`` bytes stay in memory; what is above goes to a temporary file.

    The file and the buffer that it is read into are used again in every step: fresh pages cost more than the copy.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._used = 0
        self._end = 0
        self._kept: dict[Site, torch.Tensor | _OnDisk] = {}
        self._file: BufferedRandom | None = None
        self._buffer = torch.empty(0, dtype=torch.uint8)

    def put(self, site: Site, tensor: torch.Tensor) -> None:
        """Keep a copy."""
        size = tensor.numel() * tensor.element_size()
        if self._used + size <= self._budget:
            self._used += size
            self._kept[site] = tensor.detach().to("cpu", copy=True)
            return
        flat = tensor.detach().cpu().contiguous().view(-1)
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the step
        if size:
            self._write(self._file, flat.view(torch.uint8).numpy().data)
        self._kept[site] = _OnDisk(self._end, size, tensor.dtype, tensor.shape)
        self._end += size

    def _write(self, file: BufferedRandom, data: memoryview) -> None:
        try:
            file.seek(self._end)
            file.write(data)
            file.flush()
        except OSError as error:
            self._file = None
            with suppress(OSError):  # it tries to write once more
                file.close()
            if not is_full(error):
                raise
            place = Path(tempfile.gettempdir())
            raise UsageError(
                f"a check keeps what a step needs later in {place} where it is over parity_memory ({self._budget:,} bytes): "
                f"{error.strerror}; {room_words(error, place)}, and {len(data):,} were to be written. Raise the ini option "
                "parity_memory, set TMPDIR to a place with room, or watch fewer kinds: kinds="
            ) from error

    def get(self, site: Site) -> torch.Tensor | None:
        """The copy kept for a site; one from the file is good until the next call."""
        kept = self._kept.get(site)
        if not isinstance(kept, _OnDisk):
            return kept
        assert self._file is not None
        if self._buffer.numel() < kept.count:
            self._buffer = torch.empty(kept.count, dtype=torch.uint8)
        data = self._buffer[: kept.count]
        if kept.count:
            self._file.seek(kept.offset)
            self._file.readinto(data.numpy().data)
        return data.view(kept.dtype).view(kept.shape)

    def forget(self, kind: Kind) -> None:
        """Forget what was kept of a kind."""
        self._kept = {site: kept for site, kept in self._kept.items() if site.kind is not kind}

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._used = self._end = 0

    def close(self) -> None:
        """Forget everything, and give the file and the memory back."""
        self.clear()
        self._buffer = torch.empty(0, dtype=torch.uint8)
        if self._file is not None:
            self._file.close()
            self._file = None
