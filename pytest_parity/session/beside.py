"""What stands beside the comparison of two recordings: what either was computed with, and whether that explains it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_parity.compare.coverage import is_mask
from pytest_parity.compare.data import Leaves, batch_digest, data_difference
from pytest_parity.contract.config import config_differences
from pytest_parity.contract.constants import constant_differences
from pytest_parity.contract.environment import differences
from pytest_parity.contract.tensors import Structure
from pytest_parity.diagnose import characterise
from pytest_parity.golden.entry import NONE
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.result import Comparison, DataDifference, Delta, Difference, Fault
from pytest_parity.session.run import LOADER
from pytest_parity.session.surroundings import explains
from pytest_parity.session.updates import setting_changes
from pytest_parity.site import Kind

__all__ = ["beside"]


def beside(
    found: Comparison,
    first: list[Delta],
    *,
    reference: Golden,
    candidate: Golden,
    structures: tuple[Structure | None, Structure | None] | None,
    names: BoundNames,
) -> Comparison:
    """A comparison with what differs between the two runs, where both tell; ``first`` is the first step that fails."""
    theirs, own = (golden.manifest["provenance"].get("environment") for golden in (reference, candidate))
    environment = differences(theirs, own) if theirs and own else {}
    diagnosis = found.diagnosis
    settings = [*_constants(structures, names), *_optimizers(reference, candidate), *_config(reference, candidate)]
    marked = [replace(one, likely=explains(one, diagnosis)) for one in settings]
    data_differ = diagnosis is not None and diagnosis.fault is Fault.DATA
    marked += (replace(one, likely=data_differ) for one in _streams(reference, candidate))
    character = None
    if diagnosis is not None and first:
        entries = reference.entries(diagnosis.step) if diagnosis.step in reference.steps else ()
        character = characterise(
            first,
            diagnosis,
            names=names,
            dtypes={str(entry.site): entry.dtype for entry in entries},
            environment=environment if theirs and own else None,
            explained=any(one.likely for one in marked),
        )
    ordered = tuple(sorted(marked, key=lambda one: not one.likely))
    data, both = None, {*reference.steps} & {*candidate.steps}
    if diagnosis is not None and data_differ and {diagnosis.step} <= both:
        data = _data(reference, candidate, diagnosis.step)
    return replace(found, environment=environment, differences=ordered, character=character, data=data)


def _data(reference: Golden, candidate: Golden, step: int) -> DataDifference | None:
    """How the batch of a step differs: whether it is another one of the reference's, or has other rows."""
    theirs, own = _batch(reference, step), _batch(candidate, step)
    if not (theirs and own):
        return None
    digests = {one: batch_digest(_batch(reference, one)) for one in reference.steps}
    return data_difference(step, theirs, own, digests)


def _batch(golden: Golden, step: int) -> Leaves:
    entries = (entry for entry in golden.entries(step) if entry.site.kind is Kind.BATCH and not is_mask(entry.site))
    return [
        (entry.site.leaf, golden.tensor(entry))
        for entry in entries
        if entry.site.path == LOADER and entry.dtype != NONE
    ]


def _constants(
    structures: tuple[Structure | None, Structure | None] | None, names: BoundNames
) -> tuple[Difference, ...]:
    theirs, own = structures or (None, None)
    return constant_differences(theirs, own, names) if theirs is not None and own is not None else ()


def _config(reference: Golden, candidate: Golden) -> tuple[Difference, ...]:
    theirs, own = (golden.manifest["settings"].get("config") for golden in (reference, candidate))
    return () if theirs is None or own is None else config_differences(theirs, own)


def _streams(reference: Golden, candidate: Golden) -> Iterator[Difference]:
    """Whether they drew from other random streams: by another policy, or as another case, which the streams go by."""
    theirs, own = (golden.manifest["settings"].get("rng") for golden in (reference, candidate))
    if theirs and own and theirs != own:
        yield Difference("streams", "rng", theirs, own)
    elif own in {"keyed", "global"} and reference.case != candidate.case:
        yield Difference(
            "streams", "case, by which random streams and batches are seeded", reference.case, candidate.case
        )


def _optimizers(reference: Golden, candidate: Golden) -> Iterator[Difference]:
    """Their classes, and what they were set to in the first step that both took."""
    theirs, own = (golden.manifest["settings"].get("optimizers", ()) for golden in (reference, candidate))
    for before, after in zip(theirs, own, strict=False):
        if before != after:
            yield Difference("optimizer", "optimizer", before, after)
    for step in (str(step) for step in reference.steps if step in candidate.steps):
        groups = [golden.manifest["steps"][step].get("hyperparameters", {}) for golden in (reference, candidate)]
        for place in (place for place in groups[0] if place in groups[1]):
            changes = setting_changes(groups[0][place], groups[1][place])
            name = own[int(place)] if int(place) < len(own) else ""
            yield from (Difference("optimizer", what, before, after, name) for what, before, after in changes)
        if all(groups):
            return
