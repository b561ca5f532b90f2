"""Ranks: what a rank of a data-parallel run compares where its own batches were not recorded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pytest_parity.golden.reader import Golden
from pytest_parity.site import Kind

__all__ = ["alike"]

_COMMON = frozenset({Kind.WEIGHT, Kind.GRADIENT, Kind.OPTIMIZER, Kind.UPDATED_WEIGHT})
_VALUES = ("output/*", "loss/*")


def alike(root: Path, case: str, kinds: Iterable[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kinds that every rank has alike, of ``kinds`` where they are chosen, and patterns of sites that are not.

    Weights, gradients, optimizer state and updates are, for gradients are averaged over the ranks before a step. Buffers
    are not (each rank normalises by its own batches), nor are gradients that are still accumulated: where the golden
    has a step without an update, none of its gradients are compared. Raises as opening the golden does.
    """
    with Golden.find(root, case) as golden:
        manifest = golden.manifest
    common = _COMMON & frozenset(map(Kind, manifest["settings"].get("kinds", ())))
    if kinds is not None:
        common &= frozenset(map(Kind, kinds))
    if not all(step.get("updated") for step in manifest["steps"].values()):
        common -= {Kind.GRADIENT}
    buffers = (manifest["structure"] or {}).get("buffers", ())
    own = [f"{kind}/{name}" for name in buffers for kind in ("weight", "updated_weight")]
    return tuple(sorted(kind.value for kind in common)), (*_VALUES, *own)
