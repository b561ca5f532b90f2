"""Drawn: the batches that a loop draws itself, beside those of the golden."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch

from pytest_parity.capture import pack
from pytest_parity.compare.coverage import Ignore
from pytest_parity.compare.data import Leaves, batch_digest, counterparts, data_difference, pair_leaves
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.report import data_agreement
from pytest_parity.result import DataDifference, DataFault
from pytest_parity.session.run import LOADER
from pytest_parity.site import Kind

__all__ = ["Drawn", "batch_leaves", "digest_of"]

_DRAWN = "batches"
"""The manifest's table of the digests of all batches that the reference drew, by step."""


def batch_leaves(step: int, batch: Any) -> Leaves:
    """A batch's tensors with their paths."""
    return [] if batch is None else pack(batch, f"the batch of step {step}")[1]


class Drawn:
    """One check's own batches; ``difference`` is that of the first that is another."""

    def __init__(self, golden: Golden) -> None:
        self._golden = golden
        self._digests = {int(step): digest for step, digest in golden.manifest.get(_DRAWN, {}).items()}
        self._batches = self._tensors = 0
        self._further: dict[str, None] = {}
        self.difference: DataDifference | None = None

    def pass_by(self, step: int, batch: Any, ignore: Ignore) -> None:
        """See a batch whose step is not kept, where the golden has its digest, and nothing of it is ``ignore``d."""
        if self.difference is not None or step not in self._digests or batch is None:
            return
        if not any(ignore.pattern(entry.site) for entry in self._entries(self._golden.steps[0])):
            own = counterparts(self._first, batch_leaves(step, batch))
            self._found(data_difference(step, None, own, self._digests), len(own))

    def see(self, step: int, batch: Any) -> Iterator[tuple[str, torch.Tensor]]:
        """See the batch of a step that is kept; gives its tensors by the golden's paths."""
        own, recorded = batch_leaves(step, batch), self._recorded(step)
        if self.difference is None and recorded:
            found = data_difference(step, recorded, own, self._digests)
            if found is not None and found.leaves and all(one.fault is DataFault.EXTRA for one in found.leaves):
                self._further.update((one.here.path, None) for one in found.leaves if one.here is not None)
                found = None  # what is the candidate's alone is said, and fails nothing
            self._found(found, len(recorded))
        for theirs, ours in pair_leaves(recorded, own):
            if theirs is not None and ours is not None:
                yield recorded[theirs][0], own[ours][1]

    @cached_property
    def _first(self) -> Leaves:
        """The batch of the first step that is kept, which says what batches are made of."""
        return self._recorded(self._golden.steps[0])

    def _found(self, difference: DataDifference | None, tensors: int) -> None:
        self.difference = difference
        if difference is None:
            self._batches += 1
            self._tensors += tensors

    def _recorded(self, step: int) -> Leaves:
        return [(entry.site.leaf, self._golden.tensor(entry)) for entry in self._entries(step)]

    def _entries(self, step: int) -> list[Entry]:
        """The golden's tensors of a step's batch."""
        return [
            entry
            for entry in self._golden.entries(step)
            if entry.site.kind is Kind.BATCH and entry.site.path == LOADER and entry.dtype != NONE
        ]

    def notes(self) -> Iterator[str]:
        """What agrees, and what the golden's batches have not."""
        if self.difference is None:
            yield data_agreement(self._batches, self._tensors)
        if self._further:
            yield f"in the batch here alone: {', '.join(self._further)}"


def digest_of(step: int, batch: Any) -> str:
    """The digest of a batch as a recording keeps it."""
    return batch_digest(batch_leaves(step, batch))
