"""A script's training in this process, seen as ``parity record|check -- SCRIPT`` sees it in one of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pytest_parity.cli.outside import _notice_optimizers, forget, loop
from pytest_parity.cli.outside.told import outcomes_of
from pytest_parity.golden import Golden
from pytest_parity.session.plan import Keeping, Outcome, Plan
from pytest_parity.session.script import ASIDE, DRIVERS
from pytest_parity.settings import Mode
from pytest_parity.site import Kind

Script = Callable[[], Any]


@dataclass
class Outside:
    """Where goldens go, and how scripts are run."""

    path: Path
    patch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self._places = (self.path / f"told{number}" for number in count())

    def record(self, script: Script, **plan: Any) -> Golden:
        outcome = self.run(script, Mode.RECORD, **plan)
        assert outcome.kind == "recorded", outcome.lines
        return self.golden()

    def check(self, script: Script, **plan: Any) -> Outcome:
        return self.run(script, Mode.CHECK, **plan)

    def run(self, script: Script, mode: Mode, **plan: Any) -> Outcome:
        told = next(self._places)
        told.mkdir()
        steps = {name: plan.pop(name) for name in ("steps", "every", "first") if name in plan}
        keeping = Keeping.of(steps.get("steps"), every=steps.get("every"), first=steps.get("first"))
        made = Plan(
            mode, "case", str(self.path / "golden"), out=str(self.path / "out"), outcomes=str(told), keeping=keeping
        )
        self.patch.setenv("PARITY_SCRIPT", replace(made, **plan).to_json())
        with as_a_process():
            with suppress(SystemExit):
                script()
            for one in loop._LOOPS:
                one._at_exit()
        return outcomes_of(told, "case", ["python"], 0)[0]

    def golden(self) -> Golden:
        return Golden.find(self.path / "golden", "case")

    def sites(self, kind: Kind, step: int) -> list[str]:
        return [str(entry.site) for entry in self.golden().entries(step) if entry.site.kind is kind]

    def losses(self) -> list[float]:
        """The loss of each step that was kept."""
        steps = self.golden().manifest["steps"]
        return [steps[str(step)]["loss"]["loss"] for step in self.golden().steps]


@contextmanager
def as_a_process() -> Iterator[None]:
    """A process begins without loops and drivers, and ends."""
    loop._LOOPS[:] = []
    DRIVERS.clear()
    ASIDE.clear()
    _notice_optimizers(sys.modules["torch.optim.optimizer"])
    try:
        yield
    finally:
        forget()
        for one in loop._LOOPS:
            one._wraps.undo()


def net(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), *more, nn.Linear(6, 2))


def data(count: int = 12, batch: int = 4, seed: int = 0, **options: Any) -> DataLoader[Any]:
    draw = torch.Generator().manual_seed(seed)
    return DataLoader(
        TensorDataset(torch.randn(count, 4, generator=draw), torch.randn(count, 2, generator=draw)),
        batch_size=batch,
        **options,
    )


def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
    x, y = batch
    return (model(x) - y).square().mean()
