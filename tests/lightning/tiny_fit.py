"""A model, its data and a trainer, small enough to be fitted in each test, of either Lightning package."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pytest_parity import Golden, Site
from pytest_parity.lightning import ParityCheck, ParityRecord

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
BATCHES = 6
CASE = "nest/tiny"


@contextmanager
def lightnings_own_warnings_aside() -> Iterator[None]:
    """Few workers, short epochs, no GPU: it warns of what a test is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning\b")
        warnings.filterwarnings(
            "ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated", category=FutureWarning
        )
        yield


def loader(count: int = BATCHES, **options: Any) -> DataLoader[Any]:
    """Batches of two rows, the same each time."""
    drawn = torch.Generator().manual_seed(0)
    rows = torch.randn(2 * count, 4, generator=drawn), torch.randn(2 * count, 1, generator=drawn)
    return DataLoader(TensorDataset(*rows), batch_size=2, **options)


class Tiny:
    """One package: ``fit`` is a script's last lines."""

    def __init__(self, package: str) -> None:
        with lightnings_own_warnings_aside():
            self.pl = importlib.import_module(package)
        for name in (package, f"{package}.utilities.rank_zero"):
            logging.getLogger(name).setLevel(logging.ERROR)

    @cached_property
    def module(self) -> type:
        """A LightningModule of a few layers, whose faults are arguments."""

        class Module(self.pl.LightningModule):
            def __init__(
                self, *, eps: float = 1e-5, scale: float = 1.0, decay: float = 0.01, dropout: float = 0.5
            ) -> None:
                super().__init__()
                self.net = nn.Sequential(
                    nn.Linear(4, 8), nn.LayerNorm(8, eps=eps), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1)
                )
                self.scale, self.decay = scale, decay

            def forward(self, x: torch.Tensor) -> Any:
                return self.net(x)

            def training_step(self, batch: Any, batch_idx: int) -> Any:
                x, y = batch
                return self.scale * (self(x) - y).square().mean()

            def configure_optimizers(self) -> Any:
                return torch.optim.AdamW(self.parameters(), lr=0.01, weight_decay=self.decay)

        return Module

    def fit(
        self,
        callbacks: Any = None,
        model: Callable[[], Any] | None = None,
        data: Any = None,
        *,
        ckpt_path: str | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Any:
        """Seed, make the model, train it for an epoch; returns the trainer, which has the model."""
        with lightnings_own_warnings_aside():
            torch.manual_seed(seed)
            made = (model or self.module)()
            chosen = {"max_epochs": 1, "accelerator": "cpu", "devices": 1, "logger": False}
            chosen |= {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
            trainer = self.pl.Trainer(callbacks=callbacks, **(chosen | options))
            trainer.fit(made, loader() if data is None else data, ckpt_path=ckpt_path)
        return trainer

    def record(self, model: Callable[[], Any] | None = None, data: Any = None, **options: Any) -> ParityRecord:
        """Fit with ``ParityRecord``; what is not the callback's is the trainer's."""
        callback = ParityRecord(CASE, **_of(ParityRecord, options))
        self.fit(callback, model, data, **options)
        return callback

    def check(self, model: Callable[[], Any] | None = None, data: Any = None, **options: Any) -> ParityCheck:
        """Fit with ``ParityCheck``; what is not the callback's is the trainer's."""
        callback = ParityCheck(CASE, **_of(ParityCheck, options))
        self.fit(callback, model, data, **options)
        return callback


def _of(kind: type, options: dict[str, Any]) -> dict[str, Any]:
    """Take a callback's arguments out of ``options``."""
    known = kind.__init__.__kwdefaults__  # type: ignore[misc]
    return {name: options.pop(name) for name in list(options) if name in known}


def golden(case: str = CASE) -> Golden:
    return Golden.find(Path("golden"), case)


def info(step: int) -> dict[str, Any]:
    """What the manifest says of a step."""
    found: dict[str, Any] = golden().manifest["steps"][str(step)]
    return found


def tensor(site: str, step: int = 0) -> torch.Tensor:
    opened = golden()
    entry = opened.entry(step, Site.parse(site))
    assert entry is not None, f"no {site}; there are {[str(one.site) for one in opened.entries(step)]}"
    return opened.tensor(entry)


def sites(kind: str, step: int = 0) -> list[str]:
    return [str(one.site) for one in golden().entries(step) if one.site.kind.value == kind]


def content(root: str = "golden") -> dict[str, bytes]:
    """Every file of a directory of goldens."""
    return {str(path): path.read_bytes() for path in sorted(Path(root).rglob("*")) if path.is_file()}


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.lightning_module.state_dict().items()}


def first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]
