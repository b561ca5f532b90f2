"""What explains that two models have another number of parameters: the tensors behind it, those alike taken together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pytest_parity.contract.agreement import Names, counterparts
from pytest_parity.contract.tensors import Structure, TensorInfo

__all__ = ["Share", "explained"]


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the difference between two counts of parameters.

    ``pattern`` is the reference's name of a tensor, or of the module that all of them are below (``.*`` behind it), with
    ``*`` for what varies; ``places`` are the numbers that the first ``*`` stands for.
    """

    pattern: str
    places: tuple[int, ...]
    tensors: int
    change: int
    """Elements of the candidate less those of the reference."""
    reason: str


def explained(reference: Structure, candidate: Structure, names: Names) -> tuple[Share, ...]:
    """The shares, the largest first; their changes add up to the difference of the two counts."""
    groups: dict[tuple[str, str], list[tuple[str, int, int | None]]] = {}
    for name, whole, change, reason in _changes(reference, candidate, names):
        pattern, place = _pattern(whole)
        groups.setdefault((pattern, reason), []).append((name, change, place))
    joined = _joined(groups)
    shares = [
        Share(
            pattern,
            tuple(sorted({place for _, _, place in found if place is not None})),
            len(found),
            sum(change for _, change, _ in found),
            reason,
        )
        for (pattern, reason), found in joined.items()
    ]
    return tuple(sorted(shares, key=lambda share: -abs(share.change)))


_Groups = dict[tuple[str, str], list[tuple[str, int, "int | None"]]]


def _changes(reference: Structure, candidate: Structure, names: Names) -> Iterator[tuple[str, str, int, str]]:
    """Of each tensor that changes the count: its name, what it goes by, the change, and why."""
    ours = counterparts(candidate, names)
    tied = {names.path(alias): path for alias, path in candidate.tensor_aliases.items()}
    there = _modules(path for path in reference.tensors if path in ours or path in tied)
    for path, info in reference.tensors.items():
        before = info.elements if path in reference.parameters else 0
        if path in ours:
            after = max((one.elements for name, one in ours[path].items() if name in candidate.parameters), default=0)
            if after != before:
                yield path, path, after - before, _reshaped(info, ours[path], before, after)
        elif path in tied and before:
            yield path, path, -before, f"tied to {tied[path]} in the candidate"
        elif before:
            yield path, _whole(path, reference, there), -before, "not in the candidate"
    yield from _extras(reference, candidate, names)


def _extras(reference: Structure, candidate: Structure, names: Names) -> Iterator[tuple[str, str, int, str]]:
    targets = {path: names.path(path) for path in candidate.tensors}
    known = {*reference.tensors, *reference.tensor_aliases}
    matched = {path for path, target in targets.items() if target in known or names.parts(path) is not None}
    there = _modules(matched)
    for path, info in candidate.parameters.items():
        if targets[path] in reference.tensor_aliases:
            kept = reference.tensor_aliases[targets[path]]
            yield path, targets[path], info.elements, f"tied to {kept} in the reference"
        elif path not in matched:
            yield path, _whole(path, candidate, there), info.elements, "in the candidate alone"


def _reshaped(info: TensorInfo, ours: Mapping[str, TensorInfo], before: int, after: int) -> str:
    if not after:
        return "no parameter in the candidate"
    if not before:
        return "no parameter in the reference"
    return f"{next(iter(ours.values())).shape} in the candidate, {info.shape} in the reference"


def _modules(names: Iterable[str]) -> set[str]:
    """Every module that one of the tensors is below."""
    return {name[:place] for name in names for place, letter in enumerate(name) if letter == "."}


def _whole(path: str, structure: Structure, there: set[str]) -> str:
    """The outermost module above a tensor of which nothing has a counterpart, ``.*`` behind it; else the tensor."""
    parts = path.split(".")
    for depth in range(1, len(parts)):
        prefix = ".".join(parts[:depth])
        if prefix not in there:
            alone = sum(name.startswith(f"{prefix}.") for name in structure.parameters) == 1
            return path if alone else f"{prefix}.*"
    return path


def _pattern(name: str) -> tuple[str, int | None]:
    """The name with ``*`` in the place of numbers, and the first of these."""
    parts = name.split(".")
    numbers = [int(part) for part in parts if part.isdigit()]
    return ".".join("*" if part.isdigit() else part for part in parts), numbers[0] if numbers else None


def _joined(groups: _Groups) -> _Groups:
    """Tensors of one last name below one numbered list are one share: ``encoder.layers.*.bias``."""
    families: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for pattern, reason in groups:
        head, star, tail = pattern.partition(".*.")
        family = (
            (head, tail.rpartition(".")[2], reason) if star and not pattern.endswith(".*") else (pattern, "", reason)
        )
        families.setdefault(family, []).append((pattern, reason))
    found: _Groups = {}
    for (head, last, reason), keys in families.items():
        if len(keys) == 1:
            found[keys[0]] = groups[keys[0]]
        else:
            found[f"{head}.*.{last}", reason] = [one for key in keys for one in groups[key]]
    return found
