"""Regions as a golden keeps them: lengths in the manifest, a mask as an observation beside the batch.

A mask that the batch holds anyway is an alias there, and takes no bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from pytest_parity.compare.region import LengthRegion, MaskRegion, Region, mask_site
from pytest_parity.errors import GoldenError
from pytest_parity.golden.entry import Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.site import Site

__all__ = ["masks", "plain_regions", "recorded_regions"]


def plain_regions(regions: Mapping[str, Region]) -> list[Any]:
    """Regions as the manifest holds them; their order matters."""
    return [[pattern, *_plain(region)] for pattern, region in regions.items()]


def masks(regions: Mapping[str, Region]) -> Iterator[tuple[Site, torch.Tensor]]:
    """What is to be kept besides: each mask, with its site."""
    for pattern, region in regions.items():
        if isinstance(region, MaskRegion):
            yield mask_site(pattern), region.inside


def recorded_regions(golden: Golden, step: int) -> dict[str, Region] | None:
    """The regions of a step; ``None`` where it was recorded without. Raises ``GoldenError`` where a mask is damaged."""
    recorded = golden.manifest["steps"].get(str(step), {}).get("valid")
    if recorded is None:
        return None
    return {
        pattern: MaskRegion(tuple(dim), _mask(golden, step, pattern))
        if lengths is None
        else LengthRegion(dim, tuple(lengths))
        for pattern, dim, lengths in recorded
    }


def _plain(region: Region) -> list[Any]:
    if isinstance(region, MaskRegion):
        return [list(region.dims), None]
    assert isinstance(region, LengthRegion)
    return [region.dim, list(region.lengths)]


def _mask(golden: Golden, step: int, pattern: str) -> torch.Tensor:
    entry: Entry | None = golden.entry(step, mask_site(pattern))
    if entry is None:
        raise GoldenError(
            f"the golden of {golden.case} names a mask for {pattern!r} in step {step}, and has none. "
            "Record it again: pytest --parity-record"
        )
    return golden.tensor(entry)
