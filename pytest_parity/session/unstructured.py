"""Recordings without a structure: what their tensors tell of the model's parameters."""

from __future__ import annotations

from collections.abc import Collection

from pytest_parity.compare.coverage import CALLS
from pytest_parity.contract.structure import Structure, TensorInfo
from pytest_parity.golden.entry import NONE
from pytest_parity.golden.reader import Golden
from pytest_parity.names import BoundNames
from pytest_parity.site import INPUTS, Kind, Site

__all__ = ["is_imported", "structures", "unsaid"]

_TENSORS = frozenset({Kind.WEIGHT, Kind.GRADIENT, Kind.UPDATED_WEIGHT})


def is_imported(golden: Golden) -> bool:
    """Whether ``parity import`` made it, of files that say nothing of the model."""
    return bool(golden.manifest["settings"].get("imported"))


def structures(reference: Golden, candidate: Golden) -> tuple[Structure | None, Structure | None, bool]:
    """The two structures, and whether they are derived from the recorded tensors, since one side was imported.

    ``None`` where nothing is known.
    """
    if is_imported(reference) or is_imported(candidate):
        return _derived(reference), _derived(candidate), True
    theirs, own = (golden.manifest["structure"] for golden in (reference, candidate))
    return Structure.from_plain(theirs) if theirs else None, Structure.from_plain(own) if own else None, False


def unsaid(reference: Golden, candidate: Golden, names: BoundNames) -> frozenset[Site]:
    """What an imported reference cannot agree in with a candidate's recording, by the reference's names.

    That is the ``None`` that it has for a gradient of what does not train, of which a recording has nothing, and what a
    recording has of buffers, where it has the parameters alone.
    """
    structure = candidate.manifest["structure"]
    if not (is_imported(reference) and structure):
        return frozenset()
    entries = [entry for step in reference.steps for entry in reference.entries(step)]
    frozen = {names.path(name) for name, info in structure["parameters"].items() if not info["trainable"]}
    empty = {one.site for one in entries if one.site.kind is Kind.GRADIENT and one.dtype == NONE}
    buffers = {Site(Kind.UPDATED_WEIGHT, names.path(name)) for name in structure["buffers"]}
    return frozenset({site for site in empty if site.path in frozen} | buffers - {one.site for one in entries})


def _derived(golden: Golden) -> Structure | None:
    """Parameters by their gradients and weights, all as if they trained; a recorded structure's buffers are none."""
    buffers = golden.manifest["structure"].get("buffers", ())
    parameters: dict[str, TensorInfo] = {}
    modules: dict[str, str] = {}
    for step in golden.steps[:1]:
        for entry in golden.entries(step):
            site = entry.site
            if site.kind in CALLS:
                modules.setdefault(site.path, "")
            elif site.kind in _TENSORS and entry.dtype != NONE and not _is_other(site.path, buffers):
                parameters.setdefault(site.path, TensorInfo(entry.shape, entry.dtype, trainable=True))
    return Structure(parameters, {}, modules) if parameters or modules else None


def _is_other(path: str, buffers: Collection[str]) -> bool:
    """Whether a tensor is a buffer, or an input's gradient."""
    return path in buffers or path.startswith(f"{INPUTS}.")
