"""Spool: the candidate's tensors that are still needed later in a step, in memory up to a budget, else on disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from io import BufferedRandom

import torch

from pytest_parity.site import Site

__all__ = ["Spool"]


@dataclass(frozen=True, slots=True)
class _OnDisk:
    offset: int
    count: int
    dtype: torch.dtype
    shape: torch.Size


class Spool:
    """Copies of tensors by site, on the CPU. ``budget`` bytes stay in memory; what is above goes to a temporary file."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._used = 0
        self._end = 0
        self._kept: dict[Site, torch.Tensor | _OnDisk] = {}
        self._file: BufferedRandom | None = None

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
        self._file.seek(self._end)
        if size:
            self._file.write(flat.view(torch.uint8).numpy().data)
        self._kept[site] = _OnDisk(self._end, size, tensor.dtype, tensor.shape)
        self._end += size

    def get(self, site: Site) -> torch.Tensor | None:
        """The copy kept for a site."""
        kept = self._kept.get(site)
        if not isinstance(kept, _OnDisk):
            return kept
        assert self._file is not None
        data = torch.empty(kept.shape, dtype=kept.dtype)
        if kept.count:
            self._file.seek(kept.offset)
            self._file.readinto(data.view(-1).view(torch.uint8).numpy().data)
        return data

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._used = self._end = 0
        if self._file is not None:
            self._file.close()
            self._file = None
