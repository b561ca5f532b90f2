"""Neighbours: what pairs of tensors that are certain say about the modules that they are in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_parity.names.rule import join, split

__all__ = ["below", "module_pairs", "told_apart"]

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
    return [*sorted(found, key=lambda pair: -len(split(pair[0]))), ("", "")]


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


def told_apart(candidate: Sequence[str], reference: Sequence[str], modules: Iterable[Pair]) -> Iterator[Pair]:
    """Pairs among tensors of equal content: alone in a pair of modules, or of one name within it."""
    ours, theirs = list(candidate), list(reference)
    for module, other in modules:
        own, others = below(module, ours), below(other, theirs)
        named = {join(split(name)[len(split(other)) if other else 0 :]): name for name in others}
        found = [(name, named[rest]) for name in own if (rest := name[len(module) + 1 if module else 0 :]) in named]
        if module and not found and len(own) == len(others) == 1:
            found = [(own[0], others[0])]
        for one, two in found:
            ours.remove(one)
            theirs.remove(two)
            yield one, two
