"""The non-finite watch of a run: asked only once something that came out of a step is not finite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.vacant import finite
from pytest_parity.diagnose.nonfinite import Seen, look, nonfinite_in
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.result import Appearance, Verdict
from pytest_parity.site import Kind, Site

__all__ = ["ends_nonfinite", "of_candidate", "of_golden"]

_ENDS = frozenset({Kind.OUTPUT, Kind.LOSS, Kind.GRADIENT, Kind.UPDATED_WEIGHT})
_OF_CALLS = frozenset({Kind.INPUT, Kind.ACTIVATION, Kind.ACTIVATION_GRADIENT})
_AGREE = frozenset({Verdict.EQUAL, Verdict.CLOSE, Verdict.BELOW_NOISE, Verdict.EMPTY, Verdict.VACUOUS})


def ends_nonfinite(site: Site, value: torch.Tensor | None) -> bool:
    """Whether something that comes out of a step is not finite: one pass over it, and over nothing else."""
    if value is None or site.kind not in _ENDS or not value.numel():
        return False
    value = value.detach()
    return (value.is_floating_point() or value.is_complex()) and not finite(value)


def of_golden(golden: Golden, step: int) -> Appearance | None:
    """Where it appears first in a recorded step."""

    def reading(entry: Entry) -> Seen:
        return Seen(entry.site, entry.order, lambda: None if entry.dtype == NONE else golden.tensor(entry))

    taken = golden.manifest["steps"][str(step)].get("optimizer_steps", ())
    return nonfinite_in(
        step,
        map(reading, golden.entries(step)),
        trainable=_trainable(golden),
        first=_first(golden, step),
        stepped=not taken or any(taken),
    )


def of_candidate(comparator: Comparator, golden: Golden, steps_taken: list[int]) -> Appearance | None:
    """Where it appears first in the candidate's step that is under way, where its tensors are kept."""
    if not comparator.keeps:
        return None
    step = comparator.step
    found = nonfinite_in(
        step,
        _candidates(comparator, golden),
        trainable=_trainable(golden),
        first=_first(golden, step),
        stepped=not steps_taken or any(steps_taken),
        own=lambda site: _own(comparator, site),
    )
    if found is None:
        return None
    entry = golden.entry(step, Site.parse(found.what.site))
    theirs = None if entry is None or entry.dtype == NONE else look(found.what.site, golden.tensor(entry))
    return replace(found, reference=theirs)


def _candidates(comparator: Comparator, golden: Golden) -> Iterator[Seen]:
    """What the candidate has at the golden's sites: its own tensor, or the golden's where the two agree."""
    for entry in golden.entries(comparator.step):
        if entry.dtype == NONE:
            continue
        found = comparator.found.get(entry.site)
        if entry.site.kind is Kind.BATCH or (found is not None and found.verdict in _AGREE):
            yield Seen(entry.site, entry.order, lambda entry=entry: golden.tensor(entry))  # type: ignore[misc]
        elif found is not None:
            yield Seen(entry.site, entry.order, lambda site=entry.site: comparator.observed(site))  # type: ignore[misc]


def _own(comparator: Comparator, site: Site) -> str:
    name = comparator.own_name(site)
    return Site.parse(name).path if name else site.path


def _trainable(golden: Golden) -> list[str]:
    parameters = golden.manifest["structure"].get("parameters", {})
    return list(parameters)


def _first(golden: Golden, step: int) -> dict[str, float]:
    """The norms of the parameters at the start of the first step that is kept, if this is a later one."""
    first = min(golden.steps, default=step)
    if first == step:
        return {}
    parameters = set(_trainable(golden))
    return {
        entry.site.path: float(golden.tensor(entry).double().norm())
        for entry in golden.entries(first)
        if entry.site.kind is Kind.WEIGHT and entry.site.path in parameters and entry.dtype != NONE
    }
