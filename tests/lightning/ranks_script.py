"""Trainings of two processes: the package, then the scenarios to run one after another; prints a line of JSON for each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from tiny_fit import CASE, Tiny, loader
from torch import nn

from pytest_parity.lightning import ParityCheck, ParityRecord

TINY = Tiny(sys.argv[1] if len(sys.argv) > 1 else "pytorch_lightning")


class Model(TINY.module):
    """With buffers that are each rank's own; ``fault`` is the rank whose optimizer is another."""

    def __init__(self, *, fault: int | None = None, dropout: float = 0.0, **faults: float) -> None:
        super().__init__(dropout=dropout, **faults)
        self.normal = nn.BatchNorm1d(4)
        self.fault = fault

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(self.normal(x))

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        if self.trainer.global_rank == self.fault:
            for group in optimizer.param_groups:
                group["weight_decay"] = 0.5


def fit(callback: Any, model: Callable[[], Any] = Model, **options: Any) -> Any:
    return TINY.fit(callback, model, loader(4), **{"strategy": "ddp_fork", "devices": 2} | options)


def record(case: str = CASE, *, all_ranks: bool = False, rng: str = "off", **options: Any) -> Any:
    return fit(ParityRecord(case, all_ranks=all_ranks, rng=rng), **options)


def check(case: str = CASE, **options: Any) -> Any:
    own = {name: options.pop(name) for name in ("weights", "batches", "kinds", "out") if name in options}
    return fit(ParityCheck(case, **own), **options)


ONE = {"devices": 1, "use_distributed_sampler": False}
HALVES: dict[str, Any] = {"accumulate_grad_batches": 2}
SCENARIOS: dict[str, Callable[[], Any]] = {
    "record": record,
    "check": check,
    "check another start": partial(check, weights=True, seed=4),
    "check outputs alone": partial(check, kinds=["activation"]),
    "check a fault of rank 1": partial(check, model=partial(Model, fault=1)),
    "check a fault of rank 0": partial(check, model=partial(Model, fault=0)),
    "check a module": partial(check, model=partial(Model, eps=1e-3)),
    "check recorded batches": partial(check, batches="recorded"),
    "record accumulated": partial(record, "accumulated", **HALVES),
    "check accumulated": partial(check, "accumulated", weights=True, seed=4, **HALVES),
    "record keyed": partial(record, "keyed", rng="keyed", model=partial(Model, dropout=0.5)),
    "check keyed": partial(check, "keyed", model=partial(Model, dropout=0.5), weights=True, seed=7),
    "record every rank": partial(record, "all", all_ranks=True),
    "check every rank": partial(check, "all", batches="recorded"),
    "record one of every rank": partial(record, "all"),
    "record wrapped": partial(record, "one", **ONE),
    "check unwrapped": partial(check, "one", strategy="auto", **ONE),
    "record unwrapped": partial(record, "plain", strategy="auto", **ONE),
    "check wrapped": partial(check, "plain", **ONE),
}


def outcome(scenario: Callable[[], Any]) -> str:
    """What is raised here, which a launcher brings from a process as text."""
    try:
        scenario()
    except Exception as error:  # noqa: BLE001  whatever it is, a test looks at it
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    for name in sys.argv[2:]:
        raised = outcome(SCENARIOS[name])
        sys.stderr.flush()
        print(json.dumps([name, raised]), flush=True)  # noqa: T201
