"""Neighbours: what pairs of tensors that are certain say about the modules that they are in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pytest_parity.names.rule import split
from pytest_parity.site import ROOT

__all__ = ["below", "by_module", "module_pairs", "named"]

Pair = tuple[str, str]
"""A tensor or a module of the candidate's, and the reference's."""


def module_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    """Modules that hold the same of these tensors, and no smaller module does; the innermost first.

    A module of one side leads to the innermost module of the other that holds all its tensors' counterparts; where that
    leads back to the same, the two are a pair. The root is always the root's.
    """
    pairs = list(pairs)
    there, back = _innermost(pairs), _innermost((other, own) for own, other in pairs)
    found = [(own, other) for own, other in there.items() if back.get(other) == own]
    return [*sorted(found, key=lambda pair: -len(split(pair[0] or ROOT))), ("", "")]


def _innermost(pairs: Iterable[Pair]) -> dict[str, str]:
    """For every module above a first name, the innermost module above all of the second names."""
    shared: dict[str, tuple[str, ...]] = {}
    for own, other in pairs:
        parts, theirs = split(own)[:-1], split(other)[:-1]
        for depth in range(len(parts) + 1):
            module = ".".join(parts[:depth])
            shared[module] = _common(shared.get(module, theirs), theirs)
    return {module: ".".join(parts) for module, parts in shared.items()}


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    same = []
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        same.append(first)
    return tuple(same)


def below(module: str, names: Iterable[str]) -> list[str]:
    """The names inside a module."""
    return [name for name in names if not module or name.startswith(f"{module}.")]


def named(candidate: Sequence[str], reference: Sequence[str], modules: Iterable[Pair]) -> Iterator[Pair]:
    """Pairs of one name within a pair of modules."""
    ours, theirs = list(candidate), list(reference)
    for module, other in modules:
        others = {_within(name, other): name for name in below(other, theirs)}
        for name in below(module, ours):
            pair = others.get(_within(name, module))
            if pair is not None:
                ours.remove(name)
                theirs.remove(pair)
                yield name, pair


def by_module(
    candidate: Iterable[str], reference: Iterable[str], modules: Sequence[Pair]
) -> dict[Pair, tuple[list[str], list[str]]]:
    """Names by the innermost pair of modules that they are in, which are of ``module_pairs``; the candidate's first."""
    ours = {own: (own, other) for own, other in reversed(modules)}
    theirs = {other: (own, other) for own, other in reversed(modules)}
    found: dict[Pair, tuple[list[str], list[str]]] = {}
    for name in candidate:
        found.setdefault(_innermost_of(name, ours), ([], []))[0].append(name)
    for name in reference:
        found.setdefault(_innermost_of(name, theirs), ([], []))[1].append(name)
    return found


def _within(name: str, module: str) -> str:
    return name[len(module) + 1 if module else 0 :]


def _innermost_of(name: str, pairs: Mapping[str, Pair]) -> Pair:
    while name:
        name = name.rpartition(".")[0]
        if name in pairs:
            break
    return pairs[name]
