"""Selected: a golden of which only some steps and sites are looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Any

import torch

from pytest_parity.golden.entry import Entry
from pytest_parity.golden.noise import NoiseFloors
from pytest_parity.golden.reader import Golden
from pytest_parity.site import Site

__all__ = ["Selected"]


class Selected(Golden):
    """A view of an open golden: ``steps`` and ``entries`` are those chosen, ``entry`` still finds every site of a step.

    It reads through the golden that it was made of, and has no files of its own to close.
    """

    def __init__(self, golden: Golden, steps: Collection[int], chosen: Callable[[Site], bool]) -> None:
        super().__init__(golden.path, {**golden.manifest, "steps": _without_sizes(golden, steps)})
        self._golden = golden
        self._chosen = chosen

    def entries(self, step: int) -> tuple[Entry, ...]:
        """The chosen observations of a step."""
        return tuple(entry for entry in self._golden.entries(step) if self._chosen(entry.site))

    def entry(self, step: int, site: Site) -> Entry | None:
        """The observation at a site, chosen or not: an update is judged with its start."""
        return self._golden.entry(step, site)

    def chunks(self, entry: Entry, buffer: torch.Tensor) -> Iterator[torch.Tensor]:
        """See ``Golden.chunks``."""
        return self._golden.chunks(entry, buffer)

    def tensor(self, entry: Entry) -> torch.Tensor:
        """See ``Golden.tensor``."""
        return self._golden.tensor(entry)

    @cached_property
    def noise(self) -> NoiseFloors | None:
        """See ``Golden.noise``."""
        return self._golden.noise


def _without_sizes(golden: Golden, steps: Collection[int]) -> dict[str, Any]:
    """The manifest's records of the steps; how many sites they have is to be counted anew."""
    kept = {step: info for step, info in golden.manifest["steps"].items() if int(step) in steps}
    return {step: {key: value for key, value in info.items() if key != "sizes"} for step, info in kept.items()}
