"""How many parameters two models have, and below which modules the difference lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from pytest_parity.contract.agreement import Names
from pytest_parity.contract.tensors import Structure
from pytest_parity.site import ROOT

__all__ = ["count_difference", "counted", "subtrees"]

_SHOWN = 8


def count_difference(reference: Structure, candidate: Structure, names: Names) -> tuple[str, ...]:
    """Lines: the two totals, then the innermost modules that hold the difference; empty where the counts agree.

    Modules go by the reference's names. What differs in sum alone is found: two sizes swapped within a module are not.
    """
    theirs = subtrees({path: info.elements for path, info in reference.parameters.items()})
    ours = subtrees(counted(candidate, names))
    places = [path for path in _places(theirs, ours) if path != ROOT]
    totals = f"{reference.describe_counts()} in the reference; {candidate.describe_counts()} here"
    if reference.count == candidate.count and reference.trainable_count == candidate.trainable_count and not places:
        return ()
    lines = [
        f"{path}: {theirs[path]:,} parameters in the reference, {ours[path]:,} here ({ours[path] - theirs[path]:+,})"
        for path in places[:_SHOWN]
    ]
    if len(places) > _SHOWN:
        lines.append(f"... and {len(places) - _SHOWN} more modules")
    return (totals, *lines)


def counted(candidate: Structure, names: Names) -> dict[str, int]:
    """Elements of parameters by the reference's names; what is rearranged counts where the reference has it."""
    elements: dict[str, int] = {}
    for path, info in candidate.parameters.items():
        parts = names.parts(path)
        elements.update({names.path(path): info.elements} if parts is None else {n: prod(s) for n, s in parts.items()})
    return elements


def subtrees(elements: dict[str, int]) -> Counter[str]:
    """Elements below every module, parameters themselves left out."""
    totals: Counter[str] = Counter()
    for path, count in elements.items():
        parts = path.split(".")[:-1]
        for depth in range(len(parts) + 1):
            totals[".".join(parts[:depth]) or ROOT] += count
    return totals


def _places(theirs: Counter[str], ours: Counter[str]) -> Iterator[str]:
    """Modules whose counts differ while those below them agree, in the reference's order.

    Where a module is on one side only, it stands for everything below it.
    """
    differing = [path for path in dict.fromkeys([*theirs, *ours]) if theirs[path] != ours[path]]
    one_sided = {path for path in differing if not (theirs[path] and ours[path])}
    for path in differing:
        above = path.rpartition(".")[0] or ROOT
        inside = any(_above(other) == path for other in differing)
        if above in one_sided and path != ROOT:
            continue
        if path in one_sided or not inside:
            yield path


def _above(path: str) -> str:
    return "" if path == ROOT else path.rpartition(".")[0] or ROOT
