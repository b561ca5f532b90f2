"""Data: whether a batch is the golden's, and if not, how it differs, before any tensor of the model is looked at.

A batch is its tensors, as ``capture.pack`` gives them with their paths (numpy's arrays are tensors). Plain values
(numbers, strings, ``None``) are no part of it: they hold sample ids and file paths, which differ on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from pytest_parity.compare.dtypes import EXACT, dtype_name
from pytest_parity.compare.unlike import described, difference, same
from pytest_parity.errors import GoldenError
from pytest_parity.golden.digest import digest
from pytest_parity.golden.memory import dense, tensor_digest
from pytest_parity.result import DataDifference, DataFault, LeafDifference

__all__ = ["Leaves", "batch_digest", "counterparts", "data_difference", "pair_leaves"]

Leaves = Sequence[tuple[str, torch.Tensor]]
"""A batch's tensors with their paths, in the batch's own order."""

Pair = tuple[int | None, int | None]
"""A recorded and an own leaf, by their places; ``None`` where one has no counterpart."""


def batch_digest(leaves: Iterable[tuple[str, torch.Tensor]]) -> str:
    """The digest of a batch: of its tensors' dtypes, shapes and bytes, of any device and strides.

    Neither what the tensors are called nor in which order they stand counts, since two implementations of one loader
    agree on neither. A batch without tensors has the empty string, which says nothing of what is in it.
    """
    lines = sorted(_content_key(tensor) for _, tensor in leaves)
    return digest("\n".join(lines).encode()) if lines else ""


def _content_key(tensor: torch.Tensor) -> str:
    return f"{dtype_name(tensor.dtype)} {list(tensor.shape)} {tensor_digest(tensor)}"


def pair_leaves(recorded: Leaves, own: Leaves) -> tuple[Pair, ...]:
    """Which recorded tensor goes with which own one: ``(place in recorded, place in own)``, ``None`` for none.

    By path; the others by content, then by shape and dtype, by shape, and by dtype and rank, each in order. Pairs stand
    in the recorded order, then what is the own batch's alone.
    """
    found: dict[int, int] = {}
    for key in _STAGES:
        free: dict[Hashable, list[int]] = {}
        for place, (path, tensor) in enumerate(own):
            if place not in found.values():
                free.setdefault(key(path, tensor), []).append(place)
        for place, (path, tensor) in enumerate(recorded):
            if place not in found and free and (counterparts := free.get(key(path, tensor))):
                found[place] = counterparts.pop(0)
    taken = set(found.values())
    extra: list[Pair] = [(None, place) for place in range(len(own)) if place not in taken]
    return (*((place, found.get(place)) for place in range(len(recorded))), *extra)


def counterparts(recorded: Leaves, own: Leaves) -> Leaves:
    """The own tensors that go with a recorded one: what is to be digested where the own batch has further ones."""
    return [own[place] for left, place in pair_leaves(recorded, own) if left is not None and place is not None]


_STAGES: tuple[Callable[[str, torch.Tensor], Hashable], ...] = (
    lambda path, _: path,
    lambda _, tensor: _content_key(tensor),
    lambda _, tensor: (tensor.shape, tensor.dtype),
    lambda _, tensor: tensor.shape,
    lambda _, tensor: (tensor.dtype, tensor.dim()),
)


def data_difference(
    step: int, recorded: Leaves | None, own: Leaves | None, digests: Mapping[int, str]
) -> DataDifference | None:
    """How the batch of a step differs from the golden's; ``None`` where each tensor of both is the same bit for bit.

    ``recorded`` is the golden's batch, ``None`` where only its digest was kept. ``own`` is the batch here, ``None``
    where the loader has ended. ``digests`` are those of all the batches that the reference drew, by step. A NaN is equal
    to one of the same bits. Of two batches without a tensor nothing is compared, and nothing differs: count the tensors
    of what agreed. Tensors that the own batch has besides do not hide that it is the batch of another step. Raises ``GoldenError`` where the golden keeps nothing of the step's batch.
    """
    beyond = recorded is None and bool(digests) and step > max(digests)
    if recorded is None and step not in digests and not beyond:
        raise GoldenError(
            f"the golden keeps neither the batch of step {step} nor a digest of it, so that the data cannot be compared; "
            "record it again"
        )
    if own is None:
        return None if beyond else DataDifference(step, DataFault.MISSING, batches=len(digests))
    if recorded is None:
        return _by_digest(step, batch_digest(own), digests)
    pairs = _compared(recorded, own)
    differing = [pair for pair in pairs if not pair.same]
    if not differing:
        return None
    batch = _batch(step, batch_digest(pair.here for pair in pairs if pair.whole and pair.here), digests)
    compared = sum(pair.whole for pair in pairs)
    if batch is not None:
        return DataDifference(step, DataFault.ORDER, compared=compared, batch=batch, batches=len(digests))
    moved = _reordered(pairs, differing)
    if moved is not None:
        rows, unmoved = moved
        return DataDifference(
            step, DataFault.ORDER, compared=compared, rows=rows, unmoved=unmoved, batches=len(digests)
        )
    leaves = tuple(_differences(pairs, differing))
    return DataDifference(step, leaves[0].fault, leaves, compared, batches=len(digests))


def _by_digest(step: int, own: str, digests: Mapping[int, str]) -> DataDifference | None:
    if own == digests.get(step):
        return None
    batch = _batch(step, own, digests)
    if batch is not None:
        return DataDifference(step, DataFault.ORDER, batch=batch, batches=len(digests))
    fault = DataFault.UNKNOWN if step in digests else DataFault.EXTRA
    return DataDifference(step, fault, batches=len(digests))


def _batch(step: int, own: str, digests: Mapping[int, str]) -> int | None:
    """The step nearest to this one whose batch in the golden is the own one; ``None`` where this step's is too."""
    if not own or own == digests.get(step):
        return None
    others = [number for number, recorded in digests.items() if recorded == own]
    return min(others, key=lambda number: (abs(number - step), number), default=None)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A recorded and an own tensor that go together, contiguous on the CPU."""

    golden: tuple[str, torch.Tensor] | None
    here: tuple[str, torch.Tensor] | None
    same: bool

    @property
    def whole(self) -> bool:
        return self.golden is not None and self.here is not None

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Here, and in the golden."""
        assert self.here is not None
        assert self.golden is not None
        return self.here[1], self.golden[1]


def _compared(recorded: Leaves, own: Leaves) -> list[_Pair]:
    theirs, ours = ([(path, dense(tensor)) for path, tensor in leaves] for leaves in (recorded, own))
    pairs = []
    for left, right in pair_leaves(theirs, ours):
        golden, here = None if left is None else theirs[left], None if right is None else ours[right]
        equal = golden is not None and here is not None and same(here[1], golden[1])
        pairs.append(_Pair(golden, here, equal))
    return pairs


def _reordered(pairs: list[_Pair], differing: list[_Pair]) -> tuple[tuple[int, ...], tuple[str, ...]] | None:
    """The permutation of rows that all that differs has in common, and the tensors that do not follow it.

    Proved first over every tensor that has as many rows, then over those that differ alone.
    """
    differing = [pair for pair in differing if pair.golden is not None]
    if not differing or not all(pair.whole and _has_rows(*pair.tensors) for pair in differing):
        return None
    count = len(differing[0].tensors[0])
    if any(len(pair.tensors[0]) != count for pair in differing):
        return None
    equal = [pair for pair in pairs if pair.same and _has_rows(*pair.tensors) and len(pair.tensors[0]) == count]
    for group in (differing + equal, differing):
        rows = _permutation([pair.tensors for pair in group], count)
        if rows is not None:
            order = torch.tensor(rows, device="cpu")
            kept = [pair for pair in equal if not same(pair.tensors[0], pair.tensors[1][order].contiguous())]
            return rows, tuple(pair.here[0] for pair in kept if pair.here is not None)
    return None


def _has_rows(here: torch.Tensor, golden: torch.Tensor) -> bool:
    return here.dim() > 0 and here.dtype == golden.dtype and here.shape == golden.shape


def _permutation(tensors: list[tuple[torch.Tensor, torch.Tensor]], count: int) -> tuple[int, ...] | None:
    """For each row here its place in the golden; rows that occur several times stay where they are if they can."""
    here = [tuple(tensor_digest(ours[row]) for ours, _ in tensors) for row in range(count)]
    golden = [tuple(tensor_digest(theirs[row]) for _, theirs in tensors) for row in range(count)]
    if sorted(here) != sorted(golden):
        return None
    free: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(golden):
        if key != here[row]:
            free.setdefault(key, []).append(row)
    return tuple(row if key == golden[row] else free[key].pop(0) for row, key in enumerate(here))


def _differences(pairs: list[_Pair], differing: list[_Pair]) -> Iterable[LeafDifference]:
    lengths = [pair.tensors[0] for pair in pairs if pair.same and _is_lengths(pair.tensors[0])]
    recorded = {_content_key(pair.golden[1]): pair.golden[0] for pair in reversed(pairs) if pair.golden is not None}
    for pair in differing:
        if pair.here is None or pair.golden is None:
            fault = DataFault.MISSING if pair.here is None else DataFault.EXTRA
            yield LeafDifference(fault, pair.here and described(*pair.here), pair.golden and described(*pair.golden))
            continue
        found = difference(pair.here, pair.golden, lengths)
        assert found is not None
        yield replace(found, swapped=recorded.get(_content_key(pair.here[1]), ""))


def _is_lengths(tensor: torch.Tensor) -> bool:
    return tensor.dim() == 1 and tensor.dtype in EXACT and tensor.dtype is not torch.bool and tensor.numel() > 0
