"""Rules with expressions, applied to the tensors of two models: which belong together, and where modules are left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_parity.errors import NameMapError
from pytest_parity.names.bound import UNMAPPED
from pytest_parity.names.expression import Expression
from pytest_parity.names.layout import REARRANGED, Layout, Ruled, Shapes, prove
from pytest_parity.names.rule import Target

__all__ = ["rearrangements", "settled"]


def rearrangements(
    targets: Mapping[str, Target],
    rules: Mapping[str, str],
    candidate: Shapes,
    reference: Shapes,
    *,
    candidate_aliases: Mapping[str, str],
    reference_aliases: Mapping[str, str],
) -> list[Layout]:
    """The proven layouts of what expressions make; ``targets`` and ``rules`` are by the candidate's names.

    Raises ``NameMapError`` for a rule that rearranges no tensor, or makes one of something that is not there in part.
    """
    ruled: dict[str, Ruled] = {}
    idle: dict[str, str] = {}
    for name, target in targets.items():
        if not isinstance(target, Expression):
            continue
        text = rules.get(name) or f"{target!r} for {name!r}"
        idle.setdefault(text, name)
        own = candidate_aliases.get(name, name)
        expression = target.renamed(lambda leaf: reference_aliases.get(leaf, leaf))
        if own in candidate and _is_there(expression, reference, text):
            ruled.setdefault(own, Ruled(own, candidate[own], expression, text))
            idle[text] = ""
    for text, name in idle.items():
        if name:
            raise NameMapError(
                f"name rule {text}: it rearranges no tensor: {name!r} is no parameter or buffer of the candidate whose "
                "sources are tensors of the reference, and no module of such"
            )
    return [prove(group, reference) for group in _together(ruled.values())]


def _is_there(expression: Expression, reference: Shapes, text: str) -> bool:
    """Whether the tensors that one is made of are there: all or none (a bias that neither side has)."""
    leaves = list(expression.leaves())
    gone = [leaf for leaf in leaves if leaf not in reference]
    if gone and len(gone) < len(leaves):
        raise NameMapError(
            f"name rule {text}: it is made of {', '.join(leaves)}, and {gone[0]!r} is no tensor of the reference"
        )
    return not gone


def _together(tensors: Iterable[Ruled]) -> list[list[Ruled]]:
    """Those that share a tensor of the reference, directly or through others."""
    groups: list[tuple[set[str], list[Ruled]]] = []
    for tensor in tensors:
        leaves, members = set(tensor.expression.leaves()), [tensor]
        apart = []
        for other, theirs in groups:
            if leaves & other:
                leaves, members = leaves | other, [*theirs, *members]
            else:
                apart.append((other, theirs))
        groups = [*apart, (leaves, members)]
    return [members for _, members in groups]


def settled(
    targets: Mapping[str, Target], layouts: Iterable[Layout], reference: Mapping[str, object]
) -> dict[str, str]:
    """Every name's path: of a rearranged tensor its own, marked; of a module one that is no other's counterpart.

    A module all of whose tensors are one module's, rearranged, is that module's counterpart. One that has several
    modules' tensors or a part of one's has none.
    """
    rearranged = {name for layout in layouts for name in layout.candidate}
    paths = {}
    for name, target in targets.items():
        if name + REARRANGED in rearranged:
            paths[name] = name + REARRANGED
        elif not isinstance(target, Expression):
            paths[name] = target
        elif target.whole in reference:
            paths[name] = str(target.whole)
        else:
            paths[name] = name + UNMAPPED if name in reference else name
    return paths
