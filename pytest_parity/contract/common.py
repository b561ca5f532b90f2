"""Common: how many parameters two models have in common, and how many of those are alike, before any number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_parity.contract.agreement import Names
from pytest_parity.contract.tensors import Structure, TensorInfo

__all__ = ["Common", "common_parameters"]


@dataclass(frozen=True, slots=True)
class Common:
    """Two models' parameters as tensors, each tied one once; ``elements`` are the numbers in them."""

    reference: int
    candidate: int
    reference_elements: int
    candidate_elements: int
    common: int
    """The reference's parameters that the candidate has too."""
    same_shape: int
    same_dtype: int
    derived: bool = False
    """Whether no structure was recorded, and the recorded tensors had to tell: modules and what trains are not known."""


def common_parameters(reference: Structure, candidate: Structure, names: Names, *, derived: bool = False) -> Common:
    """Count; a parameter that is rearranged counts as the reference has it."""
    theirs = reference.parameters
    pairs = [(theirs[name], own) for name, own in _counterparts(candidate, names) if name in theirs]
    return Common(
        reference=len(theirs),
        candidate=len(candidate.parameters),
        reference_elements=reference.count,
        candidate_elements=candidate.count,
        common=len(pairs),
        same_shape=sum(shape == info.shape for info, (shape, _) in pairs),
        same_dtype=sum(dtype == info.dtype for info, (_, dtype) in pairs),
        derived=derived,
    )


def _counterparts(candidate: Structure, names: Names) -> Iterator[tuple[str, tuple[tuple[int, ...], str]]]:
    """The reference's names with the shape and dtype that the candidate has there, each once."""
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for path, info in candidate.parameters.items():
        for name, shape in _targets(path, info, names):
            found.setdefault(name, (shape, info.dtype))
    return iter(found.items())


def _targets(path: str, info: TensorInfo, names: Names) -> Iterator[tuple[str, tuple[int, ...]]]:
    parts = names.parts(path)
    if parts is not None:
        yield from parts.items()
        return
    yield from ((names.path(name), info.shape) for name in (path, *info.aliases))
