"""Propose: a name map from what two models' tensors hold, and where that says nothing, from shape and order.

Equal content is a proof, unless several tensors hold the same: then the modules that are certain decide, or nothing
does. Content is compared as it is, transposed, joined and cut; what is left is paired by shape in order, as a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
import xxhash

from pytest_parity.names.expression import transposed
from pytest_parity.names.joins import Join, find_join, holds, sibling
from pytest_parity.names.neighbours import below, module_pairs, told_apart
from pytest_parity.names.proposal import Match, Proposal, Tie
from pytest_parity.names.rule import Target

__all__ = ["propose"]

Tensors = Mapping[str, torch.Tensor]

_EQUAL = "equal content"
_NEIGHBOURS = "equal content, told apart by their neighbours"
_JOINED = "equal content, joined"


def propose(candidate: Tensors, reference: Tensors) -> Proposal:
    """Pair the tensors of two models, tied ones once each, in the models' order; nothing is changed."""
    return _Search(candidate, reference).proposal()


class _Search:
    """What is paired so far, and what is left of either side."""

    def __init__(self, candidate: Tensors, reference: Tensors) -> None:
        self._all = (tuple(candidate), tuple(reference))
        self.ours = {name: tensor.detach().cpu() for name, tensor in candidate.items()}
        self.theirs = {name: tensor.detach().cpu() for name, tensor in reference.items()}
        self.matches: list[Match] = []
        self.joins: list[tuple[Join, bool]] = []
        """With whether the whole is the candidate's."""

    def proposal(self) -> Proposal:
        while True:  # what is certain tells more apart, until nothing does
            before = len(self.matches)
            self._equal(lambda tensor: tensor, str, _EQUAL)
            self._equal(_turned, transposed, f"{_EQUAL}, transposed")
            self._join()
            if len(self.matches) == before:
                break
        ties = tuple(self._ties())
        self._guess(ties)
        order = {name: place for place, name in enumerate(self._all[0])}
        tied = {name for tie in ties for name in (*tie.candidate, *tie.reference)}
        return Proposal(
            matches=tuple(sorted(self.matches, key=lambda match: order[match.candidate])),
            ties=ties,
            candidate=tuple(name for name in self.ours if name not in tied),
            reference=tuple(name for name in self.theirs if name not in tied),
        )

    def _modules(self) -> list[tuple[str, str]]:
        return module_pairs((match.candidate, leaf) for match in self.matches if match.proved for leaf in match.leaves)

    def _take(self, match: Match) -> None:
        self.matches.append(match)
        self.ours.pop(match.candidate)
        for leaf in match.leaves:
            self.theirs.pop(leaf, None)  # of one that is cut, each part takes the whole

    def _buckets(self, view: Callable[[torch.Tensor], torch.Tensor | None]) -> list[tuple[list[str], list[str]]]:
        """Names of equal content on both sides, the reference's seen through ``view``."""
        found: dict[object, tuple[list[str], list[str]]] = {}
        for name, tensor in self.ours.items():
            found.setdefault(_content(tensor), ([], []))[0].append(name)
        for name, tensor in self.theirs.items():
            seen = view(tensor)
            if seen is not None and (key := _content(seen)) in found:
                found[key][1].append(name)
        return [bucket for bucket in found.values() if bucket[1]]

    def _equal(
        self, view: Callable[[torch.Tensor], torch.Tensor | None], express: Callable[[str], Target], why: str
    ) -> None:
        buckets = self._buckets(view)
        for ours, theirs in [bucket for bucket in buckets if len(bucket[0]) == len(bucket[1]) == 1]:
            self._take(Match(ours[0], express(theirs[0]), why))
        modules = self._modules()
        for ours, theirs in [bucket for bucket in buckets if len(bucket[0]) > 1 or len(bucket[1]) > 1]:
            for own, other in told_apart(ours, theirs, modules):
                self._take(Match(own, express(other), why.replace(_EQUAL, _NEIGHBOURS)))

    def _join(self) -> None:
        for here, wholes, parts in ((True, self.ours, self.theirs), (False, self.theirs, self.ours)):
            for name, whole in list(wholes.items()):
                known = (sibling(join, name) for join, its in self.joins if its is here)
                join = next((one for one in known if one is not None and holds(one, whole, parts)), None)
                join = join or find_join(name, whole, parts)
                if join is not None:
                    self._take_join(join, dict(parts), here=here)

    def _take_join(self, join: Join, parts: Tensors, *, here: bool) -> None:
        self.joins.append((join, here))
        if here:
            self._take(Match(join.whole, join.of_parts(), _JOINED))
            return
        for name, piece in join.of_whole(parts):
            self._take(Match(name, piece, f"{_EQUAL}, a part"))

    def _ties(self) -> Iterable[Tie]:
        """What holds the same, as few at a time as modules that are certain allow."""
        modules = self._modules()
        for ours, theirs in self._buckets(lambda tensor: tensor):
            what = _described(self.ours[ours[0]])
            for module, beyond in modules:
                inside, beside = below(module, ours), below(beyond, theirs)
                if inside and len(inside) == len(beside):
                    yield Tie(tuple(inside), tuple(beside), what)
                    ours[:] = [name for name in ours if name not in inside]
                    theirs[:] = [name for name in theirs if name not in beside]
            if ours:
                yield Tie(tuple(ours), tuple(theirs), what)

    def _guess(self, ties: Iterable[Tie]) -> None:
        """Pair what is left: of one name within modules that are certain, else by shape, in order, if as many are left."""
        tied = {name for tie in ties for name in (*tie.candidate, *tie.reference)}
        groups: dict[object, tuple[list[str], list[str]]] = {}
        for side, tensors in enumerate((self.ours, self.theirs)):
            for name, tensor in tensors.items():
                if name not in tied:
                    groups.setdefault((tensor.shape, tensor.dtype), ([], []))[side].append(name)
        modules = self._modules()
        for ours, theirs in groups.values():
            for own, other in list(told_apart(ours, theirs, modules)):
                self._take(Match(own, other, "name and shape", proved=False))
                ours.remove(own)
                theirs.remove(other)
            for module, beyond in modules:
                inside, beside = below(module, ours), below(beyond, theirs)
                if len(inside) == len(beside):
                    for own, other in zip(inside, beside, strict=True):
                        self._take(Match(own, other, "shape and order", proved=False))
                        ours.remove(own)
                        theirs.remove(other)


def _turned(tensor: torch.Tensor) -> torch.Tensor | None:
    return tensor.mT if tensor.dim() == 2 and min(tensor.shape) > 1 else None  # noqa: PLR2004 -- a matrix


def _content(tensor: torch.Tensor) -> tuple[object, ...]:
    flat = tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else torch.empty(0, dtype=torch.uint8)
    return tuple(tensor.shape), tensor.dtype, xxhash.xxh3_128_digest(flat.numpy().data)


def _described(tensor: torch.Tensor) -> str:
    flat = tensor.reshape(-1)
    what = f"all {flat[0].item()}" if flat.numel() and bool((flat == flat[0]).all()) else "the same values"
    return f"{what}, {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
