"""Propose: a name map from what two models' tensors hold, and where that says nothing, from shape and order.

Equal content is a proof, unless several tensors hold the same, or one value alone: then they are paired where nothing
else is left in modules that are certain. Content is compared as it is, transposed, joined and cut; what is left is
paired by name, and by shape in order, as a guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

import torch
import xxhash

from pytest_parity.names.expression import transposed
from pytest_parity.names.joins import Join, find_join, holds, same_content, sibling
from pytest_parity.names.neighbours import Pair, below, by_module, module_pairs, named
from pytest_parity.names.proposal import Match, Proposal, Tie
from pytest_parity.names.rule import Target

__all__ = ["propose"]

Tensors = Mapping[str, torch.Tensor]
_Content = tuple[object, ...]
"""Shape, dtype, and a digest of the bytes."""

_EQUAL = "equal content"
_NEIGHBOURS = "equal content, told apart by what is around it"
_JOINED = "equal content, joined"


def propose(candidate: Tensors, reference: Tensors, advance: Callable[[int], None] = lambda _pairs: None) -> Proposal:
    """Pair the tensors of two models, tied ones once each, in the models' order; nothing is changed.

    ``advance`` is told of each of the candidate's tensors that found its counterpart.
    """
    return _Search(candidate, reference, advance).proposal()


class _Search:
    """What is paired so far, and what is left of either side."""

    def __init__(self, candidate: Tensors, reference: Tensors, advance: Callable[[int], None]) -> None:
        self._advance = advance
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
        self._guess_named_alike()
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

    def _modules(self) -> list[Pair]:
        return module_pairs((match.candidate, leaf) for match in self.matches if match.proved for leaf in match.leaves)

    def _take(self, match: Match) -> None:
        self.matches.append(match)
        self.ours.pop(match.candidate)
        self._advance(1)
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
        for ours, theirs in self._buckets(view):
            if len(ours) == len(theirs) == 1 and not _constant(self.ours[ours[0]]):
                self._take(Match(ours[0], express(theirs[0]), why))
        for own, other in list(self._left_alone(view)):
            self._take(Match(own, express(other), why.replace(_EQUAL, _NEIGHBOURS)))

    def _left_alone(self, view: Callable[[torch.Tensor], torch.Tensor | None]) -> Iterator[Pair]:
        """Tensors alone with their content in certain modules, where what is left of their shape is the same on both sides.

        A model as a whole is certain where all that it has is in the other, but for what is one value alone.
        """
        seen = {name: turned for name, tensor in self.theirs.items() if (turned := view(tensor)) is not None}
        sides = (
            {name: _content(tensor) for name, tensor in self.ours.items()},
            {name: _content(tensor) for name, tensor in seen.items()},
        )
        groups = by_module(*sides, self._modules())
        whole: tuple[list[str], list[str]] = groups.pop(("", ""), ([], []))
        for modules, names in [*groups.items(), (("", ""), whole)]:  # the last gets what others leave
            if any(self._further(side) for side, module in enumerate(modules) if not module):
                continue
            ours, theirs = ({name: side[name] for name in its} for side, its in zip(sides, names, strict=True))
            uneven = _uneven(ours, theirs)
            yield from _alone(ours, theirs, uneven)
            if "" in modules and any(modules):
                for left, its in zip(whole, (ours, theirs), strict=True):
                    left += [name for name, content in its.items() if content[:2] in uneven]

    def _further(self, side: int) -> bool:
        """Whether a side holds what the other has not, apart from what is one value alone."""
        counts = [
            Counter(_content(tensor) for tensor in tensors.values() if not _constant(tensor))
            for tensors in (self.ours, self.theirs)
        ]
        return bool(counts[side] - counts[1 - side])

    def _join(self) -> None:
        for here, wholes, parts in ((True, self.ours, self.theirs), (False, self.theirs, self.ours)):
            for name, whole in list(wholes.items()):
                known = (sibling(join, name) for join, its in self.joins if its is here)
                join = next((one for one in known if one is not None and holds(one, whole, parts)), None)
                join = join or _telling(find_join(name, whole, parts), parts)
                if join is not None:
                    self._take_join(join, dict(parts), here=here)

    def _take_join(self, join: Join, parts: Tensors, *, here: bool) -> None:
        self.joins.append((join, here))
        if here:
            self._take(Match(join.whole, join.of_parts(), _JOINED))
            return
        for name, piece in join.of_whole(parts):
            self._take(Match(name, piece, f"{_EQUAL}, a part"))

    def _guess_named_alike(self) -> None:
        """Of what holds the same, pair those of one name within modules that are certain."""
        modules = self._modules()
        for ours, theirs in self._buckets(lambda tensor: tensor):
            for own, other in named(ours, theirs, modules):
                self._take(Match(own, other, "equal content and name", proved=False))

    def _ties(self) -> Iterable[Tie]:
        """What holds the same, as few at a time as modules that are certain allow; one on each side is a guess."""
        modules = self._modules()
        for ours, theirs in self._buckets(lambda tensor: tensor):
            what = _described(self.ours[ours[0]])
            for module, beyond in modules:
                inside, beside = below(module, ours), below(beyond, theirs)
                if inside and beside and (len(inside) == len(beside) or not (module or beyond)):
                    ours[:] = [name for name in ours if name not in inside]
                    theirs[:] = [name for name in theirs if name not in beside]
                    if len(inside) == len(beside) == 1:
                        self._take(Match(inside[0], beside[0], _EQUAL, proved=False))
                    else:
                        yield Tie(tuple(inside), tuple(beside), what)

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
            for own, other in list(named(ours, theirs, modules)):
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
    """The transposed matrix, where that is another one."""
    if tensor.dim() != 2 or min(tensor.shape) < 2:  # noqa: PLR2004 -- a matrix
        return None
    return None if same_content(tensor, tensor.mT) else tensor.mT


def _content(tensor: torch.Tensor) -> _Content:
    flat = tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else torch.empty(0, dtype=torch.uint8)
    return tuple(tensor.shape), tensor.dtype, xxhash.xxh3_128_digest(flat.numpy().data)


def _constant(tensor: torch.Tensor) -> bool:
    """Whether all its elements are one value, as zero biases are, so that another with the same content means little."""
    flat = tensor.reshape(-1)
    return flat.numel() == 0 or bool((flat == flat[0]).all())


def _telling(join: Join | None, parts: Tensors) -> Join | None:
    """A join of which some part is more than one value."""
    return None if join is None or all(_constant(parts[name]) for name in join.parts) else join


def _uneven(ours: Mapping[str, _Content], theirs: Mapping[str, _Content]) -> set[_Content]:
    """The shapes, with their dtypes, of which the two sides do not hold the same."""
    one, other = Counter(ours.values()), Counter(theirs.values())
    return {content[:2] for content in one.keys() | other.keys() if one[content] != other[content]}


def _alone(ours: Mapping[str, _Content], theirs: Mapping[str, _Content], uneven: Container[_Content]) -> Iterator[Pair]:
    """Names alone with their content, but for those of uneven shapes."""
    counts = Counter(ours.values())
    other = {content: name for name, content in theirs.items()}
    for name, content in ours.items():
        if counts[content] == 1 and content[:2] not in uneven:
            yield name, other[content]


def _described(tensor: torch.Tensor) -> str:
    flat = tensor.reshape(-1)
    what = f"all {flat[0].item()}" if flat.numel() and _constant(tensor) else "the same values"
    return f"{what}, {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
