"""Two structures side by side: what differs before any number is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from pytest_parity.contract.tensors import Structure, TensorInfo
from pytest_parity.result import Delta, Verdict
from pytest_parity.site import Kind, Site

__all__ = ["Names", "compare_structures", "counterparts", "unmatched_modules"]


class Names(Protocol):
    """The candidate's names in terms of the reference's (``names.BoundNames``)."""

    @property
    def call_targets(self) -> frozenset[str]:
        """The reference's modules that rules for single calls lead to."""
        ...

    def path(self, candidate: str, /) -> str:
        """The reference's path of one of the candidate's."""
        ...

    def parts(self, candidate: str, /) -> Mapping[str, tuple[int, ...]] | None:
        """Of a tensor that is rearranged: the tensors of the reference that it has a part in, with their shapes."""
        ...


def compare_structures(
    reference: Structure, candidate: Structure, names: Names, *, allow_dtype: bool = False
) -> tuple[Delta, ...]:
    """What differs, as deltas of kind ``weight``: in the reference's order, what only the candidate has at the end.

    A delta is ``missing``, ``extra``, ``shape``, ``dtype``, or ``differs`` with a detail: what trains in one of the two
    only, what is tied or a parameter in one of the two only.
    """
    ours = counterparts(candidate, names)
    tied = {names.path(alias): path for alias, path in candidate.tensor_aliases.items()}
    found = []
    for order, (path, expected) in enumerate(reference.tensors.items()):
        if path in ours:
            own = " + ".join(ours[path])
            problems: list[tuple[Verdict, str]] = []
            for name, actual in ours[path].items():
                problems += _problems(expected, actual, allow_dtype=allow_dtype)
                if (path in reference.buffers) != (name in candidate.buffers):
                    where = _where("a buffer", "a parameter", here=name in candidate.buffers)
                    problems.append((Verdict.DIFFERS, where))
            problems = list(dict.fromkeys(problems))
        elif path in tied:
            own = tied[path]
            problems = [(Verdict.DIFFERS, f"tied to {own} here, a tensor of its own in the reference")]
        else:
            own, problems = path, [(Verdict.MISSING, f"{_shown(expected)} in the reference")]
        if problems:
            found.append(_delta(path, own, order, problems, expected.elements))
    return (*found, *_extras(reference, candidate, names))


def counterparts(candidate: Structure, names: Names) -> dict[str, dict[str, TensorInfo]]:
    """The candidate's tensors by the reference's name: several where one of the reference's is cut into them.

    A rearranged one has the reference's shape: its layout was proven.
    """
    found: dict[str, dict[str, TensorInfo]] = {}
    for path, info in candidate.tensors.items():
        parts = names.parts(path)
        if parts is None:
            found[names.path(path)] = {path: info}
        else:
            for name, shape in parts.items():
                found.setdefault(name, {})[path] = replace(info, shape=shape)
    return found


def unmatched_modules(reference: Structure, candidate: Structure, names: Names) -> tuple[str, ...]:
    """The reference's modules without a counterpart in the candidate; whether that matters is the caller's to say."""
    reached = {names.path(path) for path in candidate.modules} | names.call_targets
    return tuple(path for path in reference.modules if path not in reached)


def _extras(reference: Structure, candidate: Structure, names: Names) -> Iterator[Delta]:
    tied = reference.tensor_aliases
    for path, info in candidate.tensors.items():
        target = names.path(path)
        if names.parts(path) is not None or target in reference.parameters or target in reference.buffers:
            continue
        detail = f"tied to {tied[target]} in the reference, a tensor of its own here" if target in tied else ""
        yield _delta(target, path, -1, [(Verdict.EXTRA, detail or f"{_shown(info)} here")], info.elements)


def _problems(expected: TensorInfo, actual: TensorInfo, *, allow_dtype: bool) -> Iterator[tuple[Verdict, str]]:
    """The gravest first."""
    if actual.shape != expected.shape:
        yield Verdict.SHAPE, f"{actual.shape} here, {expected.shape} in the reference"
    if actual.dtype != expected.dtype and not allow_dtype:
        yield Verdict.DTYPE, f"{actual.dtype} here, {expected.dtype} in the reference"
    if actual.trainable != expected.trainable:
        yield Verdict.DIFFERS, _where("trains", "frozen", here=actual.trainable)


def _where(true: str, false: str, *, here: bool) -> str:
    return f"{true if here else false} here, {false if here else true} in the reference"


def _shown(info: TensorInfo) -> str:
    return f"{info.dtype} {info.shape}"


def _delta(path: str, own: str, order: int, problems: list[tuple[Verdict, str]], elements: int) -> Delta:
    return Delta(
        site=str(Site(Kind.WEIGHT, path)),
        step=0,
        order=order,
        verdict=problems[0][0],
        elements=elements,
        candidate="" if own == path else str(Site(Kind.WEIGHT, own)),
        detail="; ".join(detail for _, detail in problems),
    )
