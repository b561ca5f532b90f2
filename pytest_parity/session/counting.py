"""Counting: what a mean may be taken over, as a golden's batch and outputs tell."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch

from pytest_parity.diagnose.hints.loss import Count
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.session.run import LOADER
from pytest_parity.site import Kind

__all__ = ["counts_of"]

_LEFT_OUT = (-100, 0, -1)
"""Labels that a loss may leave out: torch's own, padding, and what others use."""
_SMALL = 1 << 24
"""Elements up to which a batch's tensor is read for this."""


def counts_of(golden: Golden, step: int) -> tuple[Count, ...]:
    """Sizes of the batch and the outputs, and how many of its labels and its masks count; what is told first is likelier."""
    entries = [
        entry for entry in golden.entries(step) if entry.site.kind in {Kind.BATCH, Kind.OUTPUT} and entry.dtype != NONE
    ]
    found = [one for entry in entries for one in _sizes(entry)]
    found += [one for entry in entries for one in _counted(golden, entry)]
    return tuple(found)


def _name(entry: Entry) -> str:
    """A tensor of a loader's batch by its place there, a value by its name."""
    site = entry.site
    if site.path == LOADER:
        return f"the batch's {site.leaf}" if site.leaf else "the batch"
    return site.path + (f".{site.leaf}" if site.leaf else "")


def _sizes(entry: Entry) -> Iterator[Count]:
    name, shape = _name(entry), entry.shape
    for dims in range(1, len(shape)):
        what = f"{shape[0]:,} rows" if dims == 1 else f"first {dims} dimensions ({' x '.join(map(str, shape[:dims]))})"
        yield Count(prod(shape[:dims]), f"the {what} of {name}")
    if shape:
        yield Count(prod(shape), f"the {prod(shape):,} elements of {name}")


def _counted(golden: Golden, entry: Entry) -> Iterator[Count]:
    whole = prod(entry.shape)
    if entry.dtype not in {"bool", "int64", "int32"} or not 0 < whole < _SMALL or entry.site.kind is not Kind.BATCH:
        return
    value, name = golden.tensor(entry), _name(entry)
    if len(entry.shape) == 2 and entry.dtype != "bool":  # noqa: PLR2004  rows of tokens
        following = entry.shape[0] * (entry.shape[1] - 1)
        yield Count(following, f"the {following:,} of {name} that have one before them", whole)
    if value.dtype is torch.bool:
        true = int(value.sum())
        yield Count(true, f"the {true:,} that are true in {name}", whole)
        yield Count(whole - true, f"the {whole - true:,} that are false in {name}", whole)
        return
    for left_out in _LEFT_OUT:
        count = int((value != left_out).sum())
        if count < whole:
            yield Count(count, f"the {count:,} of {name} that are not {left_out}", whole)
    if "len" in name.lower() and value.dim() == 1:
        total = int(value.sum())
        yield Count(total, f"the {total:,} that {name} add up to", whole * int(value.max()))
