"""Workloads: five models with their data, objectives and optimizers, and the candidates that faults are put into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from benchmarks.faults import nest
from benchmarks.faults.diffusion import MaskedDiffusion
from benchmarks.verdicts.models import ConvNet, Recurrent, Transformer, redrawn
from benchmarks.verdicts.parts import Loss, cross_entropy
from benchmarks.verdicts.workloads import WORKLOADS as VERDICTS
from benchmarks.verdicts.workloads import Batch, Candidate, Case, Way, Workload

__all__ = ["ONE", "WORKLOADS", "Objective", "Subject", "Trained", "Trial"]

ONE = Way(threads=1)
"""How the reference is computed."""


@dataclass
class Objective:
    """How a loss is made of losses; a fault is put in here."""

    loss: Loss = cross_entropy
    """Logits (n, classes) and classes (n,) to the sum of the losses."""
    mean: bool = True
    padding: bool = False
    """Padding counts: as class 0."""
    weighted: bool = True
    """Of the diffusion model: by one over the time."""
    factor: float = 1.0
    change: Callable[[Tensor], Tensor] | None = None
    """Of the logits, before."""


Compute = Callable[[nn.Module, Batch, Objective], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Subject(Workload):
    """A workload that also says how outputs and loss are computed, and what of it can be float64."""

    compute: Compute = field(kw_only=True)
    groups: bool = field(default=False, kw_only=True)
    """Biases and norms are a parameter group of their own, without weight decay."""
    widen: Callable[[Any], nn.Module] = field(default=nn.Module.double, kw_only=True)


@dataclass
class Trained(Candidate):
    """A candidate, with what a training loop does around the model."""

    objective: Objective
    clip: float | None
    clears: bool = True
    """The gradients are cleared before each step."""
    scale: float = 1.0
    """Of the loss, for the backward pass alone."""

    def step(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """One training step."""
        if self.clears:
            self.optimizer.zero_grad()
        case = self.case
        assert isinstance(case, Trial)
        outputs, loss = case.subject.compute(model, batch, self.objective)
        loss = loss * self.objective.factor if self.objective.factor != 1 else loss
        (loss * self.scale if self.scale != 1 else loss).backward()  # type: ignore[no-untyped-call]
        if self.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip)
        self.optimizer.step()
        return outputs.detach(), loss.detach()


@dataclass(frozen=True, slots=True)
class Trial(Case):
    """One subject in float32, its weights and data drawn by ``seed``."""

    @property
    def subject(self) -> Subject:
        """The workload."""
        assert isinstance(self.workload, Subject)
        return self.workload

    def model(self, way: Way) -> nn.Module:
        """A model with this seed's weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = redrawn(self.workload.model(self.parts(way)))
        if self.wide:
            model = self.subject.widen(model)
        if way.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not among its overloads
        return model

    def optimizer(self, model: nn.Module, way: Way) -> optim.Optimizer:
        """The subject's, over one group of parameters, or two."""
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not self.subject.groups:
            return self.workload.optimizer(trained, foreach=way.foreach)
        groups = [
            {"params": [parameter for parameter in trained if parameter.dim() > 1]},
            {"params": [parameter for parameter in trained if parameter.dim() < 2], "weight_decay": 0.0},
        ]
        return self.workload.optimizer(groups, foreach=way.foreach)

    def candidate(self, way: Way) -> Trained:
        """A model, its optimizer, its loop."""
        model = self.model(way)
        objective = Objective(loss=way.parts.loss)
        return Trained(self, way, model, self.optimizer(model, way), objective, self.workload.clip)


def _reduced(scores: Tensor, targets: Tensor, objective: Objective) -> Tensor:
    kept = torch.ones_like(targets, dtype=torch.bool) if objective.padding else targets >= 0
    scores = scores if objective.change is None else objective.change(scores)
    loss = objective.loss(scores[kept], targets[kept].clamp(min=0))
    return loss / kept.sum() if objective.mean else loss


def _classified(model: nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    given = batch["x"]
    if given.dim() == 4 and next(iter(model.parameters())).is_contiguous(memory_format=torch.channels_last):
        given = given.contiguous(memory_format=torch.channels_last)
    scores = model(given, batch["lengths"])
    return scores, _reduced(scores, batch["targets"], objective)


def _diffused(model: nn.Module, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    """The cross entropy of what was masked, weighted by one over the time."""
    logits, times, masked = model(batch["x"], batch["lengths"])
    counted = logits if objective.change is None else objective.change(logits)
    losses = functional.cross_entropy(counted.transpose(1, 2), batch["x"], reduction="none")
    weights = 1 / times[:, None] if objective.weighted else torch.ones_like(times)[:, None]
    chosen = torch.ones_like(masked) if objective.padding else masked
    loss = (losses * weights.to(losses.dtype) * chosen).sum()
    return logits, loss / batch["lengths"].sum() if objective.mean else loss


def _conformed(model: nn.Module, batch: Batch, _objective: Objective) -> tuple[Tensor, Tensor]:
    return nest.step(model, batch)


def _adamw(parameters: Any, *, foreach: bool) -> optim.Optimizer:
    return optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.05, foreach=foreach)


def _tokens() -> Batch:
    drawn = VERDICTS["transformer"].batch()
    return {"x": drawn["x"], "lengths": drawn["lengths"]}


WORKLOADS = {
    one.name: one
    for one in (
        Subject(
            "transformer",
            Transformer,
            VERDICTS["transformer"].batch,
            _adamw,
            clip=0.5,
            compute=_classified,
            groups=True,
        ),
        Subject("conformer", nest.nest, nest.audio, _adamw, compute=_conformed, widen=nest.widened),
        Subject("convnet", ConvNet, VERDICTS["convnet"].batch, VERDICTS["convnet"].optimizer, compute=_classified),
        Subject(
            "recurrent",
            Recurrent,
            VERDICTS["recurrent"].batch,
            VERDICTS["recurrent"].optimizer,
            clip=0.5,
            compute=_classified,
        ),
        Subject("diffusion", MaskedDiffusion, _tokens, _adamw, compute=_diffused, groups=True),
    )
}
