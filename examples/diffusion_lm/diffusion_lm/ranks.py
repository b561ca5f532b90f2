"""Ranks: the processes that torchrun has started, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

__all__ = ["Ranks", "RanksError", "joined"]


class RanksError(Exception):
    """The command line and the environment disagree about whether there are several processes."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's number among `count`, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def mean(self, value: torch.Tensor) -> float:
        """The mean of a scalar over all processes."""
        value = value.detach().clone()
        if distributed.is_initialized():
            distributed.all_reduce(value)
        return float(value) / self.count

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """Rank 0 before the others: what it downloads or prepares, they find."""
        if distributed.is_initialized() and not self.first:
            distributed.barrier()
        yield
        if distributed.is_initialized() and self.first:
            distributed.barrier()


@contextmanager
def joined(device: str, *, distribute: bool) -> Iterator[Ranks]:
    """Join the other processes, by gloo on the CPU and nccl on CUDA; leave them at the end.

    Raises:
        RanksError: without torchrun and `distribute`, or with several processes and not.

    """
    if not distribute:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise RanksError(
                f"torchrun has started {os.environ['WORLD_SIZE']} processes, and each would train alone and write the same "
                "files; add --distributed"
            )
        yield Ranks(0, 1, torch.device(device))
        return
    if "RANK" not in os.environ:
        raise RanksError("--distributed needs torchrun: torchrun --nproc_per_node=2 train.py --distributed ...")
    place = torch.device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), place)
    finally:
        distributed.destroy_process_group()
