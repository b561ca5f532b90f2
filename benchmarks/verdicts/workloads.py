"""Workloads: a model with its data, optimizer and training step, run in one of several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn, optim

from benchmarks.verdicts.models import CLASSES, FEATURES, Conformer, ConvNet, Recurrent, Transformer, redrawn
from benchmarks.verdicts.parts import Parts

__all__ = ["BATCHES", "PRECISIONS", "WORKLOADS", "Batch", "Candidate", "Case", "Plantable", "Way", "Workload"]

BATCHES = 2
SIZE = 8
TIME = 24
THREADS = 2
Batch = dict[str, Tensor]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "autocast": torch.float32}
"""What weights and inputs are; under autocast to bfloat16 the weights stay float32."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a workload is computed: of which parts, and what is done around them."""

    name: str = "reference"
    parts: Parts = field(default_factory=Parts)
    threads: int = THREADS
    channels_last: bool = False
    pieces: int = 1
    """Into how many parts a batch is cut, their gradients added up."""
    foreach: bool = False
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """A model by name, its batches, its optimizer."""

    name: str
    model: Callable[[Parts], nn.Module]
    batch: Callable[[], Batch]
    optimizer: Callable[..., optim.Optimizer]
    clip: float | None = None


def _tokens() -> Batch:
    lengths = _lengths()
    x = torch.randint(0, CLASSES, (SIZE, TIME))
    return {"x": x, "lengths": lengths, "targets": _targets(lengths)}


def _frames() -> Batch:
    lengths = _lengths()
    x = torch.randn(SIZE, 2 * TIME, FEATURES)
    x = x.masked_fill(torch.arange(2 * TIME)[:, None] >= 2 * lengths[:, None, None], 0.0)
    return {"x": x, "lengths": lengths, "targets": _targets(lengths)}


def _images() -> Batch:
    return {
        "x": torch.randn(SIZE, 3, 16, 16),
        "lengths": torch.ones(SIZE, dtype=torch.long),
        "targets": torch.randint(0, CLASSES, (SIZE,)),
    }


def _lengths() -> Tensor:
    lengths = torch.randint(TIME // 2, TIME + 1, (SIZE,))
    lengths[0] = TIME
    return lengths


def _targets(lengths: Tensor) -> Tensor:
    targets = torch.randint(0, CLASSES, (SIZE, TIME))
    return targets.masked_fill(torch.arange(TIME) >= lengths[:, None], -1)


def _adamw(parameters: Any, *, foreach: bool) -> optim.Optimizer:
    return optim.AdamW(parameters, lr=2e-3, weight_decay=0.05, foreach=foreach)


def _adam(parameters: Any, *, foreach: bool) -> optim.Optimizer:
    return optim.Adam(parameters, lr=2e-3, betas=(0.9, 0.98), foreach=foreach)


def _sgd(parameters: Any, *, foreach: bool) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-2, foreach=foreach)


WORKLOADS = {
    one.name: one
    for one in (
        Workload("transformer", Transformer, _tokens, _adamw),
        Workload("conformer", Conformer, _frames, _adamw),
        Workload("convnet", ConvNet, _images, _sgd),
        Workload("recurrent", Recurrent, _tokens, _adam, clip=0.5),
    )
}


@dataclass(frozen=True, slots=True)
class Case:
    """One workload, its weights and data drawn by ``seed``, in a precision, with dropout or without."""

    workload: Workload
    precision: str
    seed: int
    dropout: bool = True
    wide: bool = False
    """In float64: the same weights and data as the precision has them."""

    @property
    def name(self) -> str:
        """The case of its goldens; one for all widths, since it is what streams are keyed by."""
        return f"{self.workload.name}/{self.precision}/{'dropout' if self.dropout else 'plain'}"

    def parts(self, way: Way) -> Parts:
        """The way's, with this case's dropout."""
        return way.parts if self.dropout else replace(way.parts, dropout=0.0)

    def model(self, way: Way) -> nn.Module:
        """A model with this seed's weights; other parts draw others, and are to be loaded."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = redrawn(self.workload.model(self.parts(way)))
        model = model.to(PRECISIONS[self.precision])
        if self.wide:
            model = model.double()
        if way.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not among its overloads
        return model

    def batches(self) -> list[Batch]:
        """This seed's data."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + 1_000_003)
            drawn = [self.workload.batch() for _ in range(BATCHES)]
        return [{name: self._cast(value) for name, value in batch.items()} for batch in drawn]

    def _cast(self, value: Tensor) -> Tensor:
        if not value.is_floating_point():
            return value
        value = value.to(PRECISIONS[self.precision])
        return value.double() if self.wide else value

    def optimizer(self, model: nn.Module, way: Way) -> optim.Optimizer:
        """The workload's, over all parameters."""
        return self.workload.optimizer(model.parameters(), foreach=way.foreach)

    def candidate(self, way: Way) -> Candidate:
        """A model and its optimizer."""
        model = self.model(way)
        return Candidate(self, way, model, self.optimizer(model, way))

    def step(self, model: nn.Module, optimizer: optim.Optimizer, batch: Batch, way: Way) -> tuple[Tensor, Tensor]:
        """One training step: logits and loss."""
        optimizer.zero_grad()
        count = (batch["targets"] >= 0).sum()
        logits, losses = [], []
        for piece in range(way.pieces):
            part = {name: value.chunk(way.pieces)[piece] for name, value in batch.items()}
            given = part["x"]
            if way.channels_last and given.dim() == 4:
                given = given.contiguous(memory_format=torch.channels_last)
            with self._autocast():
                scores = model(given, part["lengths"])
            kept = part["targets"] >= 0
            loss = way.parts.loss(scores[kept], part["targets"][kept]) / count
            loss.backward()  # type: ignore[no-untyped-call]
            logits.append(scores.detach())
            losses.append(loss.detach())
        if self.workload.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.workload.clip)
        optimizer.step()
        return torch.cat(logits), torch.stack(losses).sum()

    def _autocast(self) -> Any:
        if self.precision != "autocast" or self.wide:
            return nullcontext()
        return torch.autocast("cpu", torch.bfloat16)

    @contextmanager
    def threads(self, way: Way) -> Iterator[None]:
        """The way's number of threads, inside."""
        before = torch.get_num_threads()
        torch.set_num_threads(way.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@dataclass
class Candidate:
    """A model with its optimizer, and how they make a step: what a fault is put into."""

    case: Case
    way: Way
    model: nn.Module
    optimizer: optim.Optimizer

    def step(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """One training step of ``model``, which is its own, wrapped or not: outputs and loss."""
        return self.case.step(model, self.optimizer, batch, self.way)


class Plantable(Protocol):
    """A fault."""

    @property
    def path(self) -> str:
        """Of the module that it is in."""
        ...

    def put(self, candidate: Any) -> None:
        """Put it into a candidate that was built for it."""
        ...
