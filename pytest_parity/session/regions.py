"""Regions as a golden keeps them: lengths in the manifest, a mask as an observation beside the batch.

A mask that the batch holds anyway is an alias there, and takes no bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import torch

from pytest_parity.compare.region import LengthRegion, MaskRegion, Region, holding, mask_site, match
from pytest_parity.errors import GoldenError
from pytest_parity.golden.entry import Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.site import Site

__all__ = ["Declared", "masks", "plain_regions", "recorded_regions"]


class Declared:
    """The regions that a test declares, and which of their patterns have met a tensor."""

    def __init__(self) -> None:
        self._now: Mapping[str, Region] = {}
        self._patterns: dict[str, None] = {}
        self._met: set[str] = set()
        self._paths: dict[str, None] = {}
        self.others = False
        """Whether the golden's, by which a check goes, are not these."""

    def begin(self, regions: Mapping[str, Region]) -> None:
        """Take a batch's."""
        self._now = regions
        self._patterns.update(dict.fromkeys(regions))

    def beside(self, recorded: Mapping[str, Region], regions: Mapping[str, Region]) -> None:
        """Take a batch's, of which the golden has its own."""
        alike = plain_regions(recorded) == plain_regions(regions) and all(
            torch.equal(one, other) for (_, one), (_, other) in zip(masks(recorded), masks(regions), strict=True)
        )
        if regions and not alike:
            self.others = True

    def see(self, site: Site, value: torch.Tensor | None) -> None:
        """Note what an observation meets; raises ``UsageError`` where its region does not fit it."""
        if self._now and value is not None:
            self._paths.setdefault(site.path)
            self._met.update(holding(self._now, site, value.dim()))
            match(self._now, site, value.shape)

    def problems(self) -> Iterator[str]:
        """A sentence for each pattern that has met nothing."""
        for pattern in self._patterns:
            if pattern not in self._met:
                near = get_close_matches(pattern, self._paths, n=1)
                hint = f"did you mean {near[0]!r}?" if near else "modules are named as the reference's are"
                yield f"valid={pattern!r} matches no tensor that has the dimensions it is about; {hint}"


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
