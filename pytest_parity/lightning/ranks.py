"""Ranks: of what the ranks of a distributed training find, all of them raise the first."""

from __future__ import annotations

from torch import distributed

from pytest_parity.errors import ParityError, ParityFailure, UsageError

__all__ = ["first_of_all", "named"]

_Told = tuple[int, bool, str]
"""The step that first differs, whether it is a failure, and what is said of it."""


def named(rank: int) -> str:
    """What stands before the lines of a rank; nothing before those of rank 0."""
    return f"rank {rank}: " if rank else ""


def first_of_all(own: ParityError | None) -> ParityError | None:
    """What differs in the earliest step on any rank, or what is wrong there; every rank of a training has to call it."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return own
    told: list[_Told | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(told, None if own is None else _told(own))
    found = [(one[0], rank, one) for rank, one in enumerate(told) if one is not None]
    if not found:
        return None
    _, rank, (_, failed, text) = min(found)
    if rank == distributed.get_rank() and not rank:
        return own
    comparison = own.comparison if rank == distributed.get_rank() and isinstance(own, ParityFailure) else None
    text = f"{named(rank)}{text}"
    return ParityFailure(text, comparison) if failed else UsageError(text)


def _told(error: ParityError) -> _Told:
    if not isinstance(error, ParityFailure):
        return -1, False, str(error)
    deltas = () if error.comparison is None else error.comparison.failures
    return min((delta.step for delta in deltas), default=0), True, str(error)
