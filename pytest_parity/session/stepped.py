"""Stepped: what two recordings tell of their optimizers and of the candidate's tensors, for the causes of a failure."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pytest_parity.diagnose.hints.update import Optimizer
from pytest_parity.golden.reader import Golden
from pytest_parity.session.translated import Translated
from pytest_parity.site import Kind, Site

__all__ = ["Stepped"]


class Stepped:
    """One optimizer's steps in two recordings; of several, nobody wrote down which holds what."""

    def __init__(self, reference: Golden, recording: Translated, wanted: Callable[[Site], bool]) -> None:
        self._reference = reference
        self._recording = recording
        self._wanted = wanted
        self._readers: dict[Site, Callable[[], torch.Tensor | None]] = {}
        self._step = -1

    def groups(self, place: int) -> dict[str, int]:
        """By name, every parameter that the reference updates; which group holds it is not recorded."""
        if place or len(self._reference.manifest["settings"].get("optimizers", ())) != 1 or self._step < 0:
            return {}
        entries = self._reference.entries(self._step)
        return {entry.site.path: -1 for entry in entries if entry.site.kind is Kind.GRADIENT and entry.dtype != "none"}

    def optimizer(self, step: int, place: int) -> Optimizer | None:
        """Its class and settings on both sides in a step; ``None`` where they are not known."""
        pair = self._reference, self._recording.golden
        if place or step not in pair[1].steps:
            return None
        theirs, own = (golden.manifest["settings"].get("optimizers", ()) for golden in pair)
        groups = [golden.manifest["steps"][str(step)].get("hyperparameters", {}).get("0", ()) for golden in pair]
        return Optimizer(theirs[0], own[0], *groups) if theirs and own and all(groups) else None

    def begin(self, step: int) -> None:
        """Read the candidate's tensors of this step from now on."""
        self._step = step
        self._readers = {one.site: one.read for one in self._recording.observations(step, self._wanted)}

    def read(self, site: Site) -> torch.Tensor | None:
        """The candidate's tensor, good until the next one is read."""
        reader = self._readers.get(site)
        return None if reader is None else reader()
