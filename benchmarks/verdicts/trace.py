"""Trace: every value of a workload's steps, kept: for the rule and for the comparisons that are not the library's."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.verdicts.fusing import fused_optimizer_state, fused_state, unfused
from benchmarks.verdicts.workloads import Case, Plantable, Way
from pytest_parity.capture import Capture, Streams
from pytest_parity.names import BoundNames
from pytest_parity.site import Kind, Site

__all__ = ["KINDS", "Key", "Start", "Trace", "compiled", "traced"]

KINDS = frozenset({Kind.WEIGHT, Kind.ACTIVATION, Kind.GRADIENT, Kind.UPDATED_WEIGHT})
LOSS = Site(Kind.LOSS, "loss")
Key = tuple[int, Site]
Start = tuple[dict[str, Any], dict[str, Any]]
"""The state of a model and of its optimizer at a step's start."""


@dataclass
class Trace:
    """The values by step and site, in the order in which they were made, and each step's start."""

    values: dict[Key, Tensor] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)


def traced(case: Case, way: Way, fault: Plantable | None = None, starts: list[Start] | None = None) -> Trace:
    """Run a case's steps, each from its start where ``starts`` are given; random streams are those of a check."""
    result = Trace()
    candidate = case.candidate(way)
    model = candidate.model
    names = [name for name, _ in case.model(Way()).named_parameters()]

    def begin(start: Start) -> None:
        weights, state = start
        if way.parts.fused_qkv:
            weights, state = fused_state(weights, model), fused_optimizer_state(state, model, names)
        model.load_state_dict(weights)
        _restore(candidate.optimizer, state)

    if starts is not None:
        begin(starts[0])
    if fault is not None:
        fault.put(candidate)
    optimizer = candidate.optimizer
    watched = compiled(model) if way.compiled else model
    step = 0

    def observe(site: Site, value: Tensor | None) -> None:
        for place, part in unfused(site, value) if value is not None else ():
            result.values.setdefault((step, place), part.detach().clone())

    streams = Streams(case.name)
    capture = Capture(
        watched, observe, optimizers=(optimizer,), streams=streams, names=BoundNames.identity(), kinds=KINDS
    )
    capture.attach()
    try:
        with case.threads(way):
            for step, batch in enumerate(case.batches()):
                if starts is not None:
                    begin(starts[step])
                result.starts.append((copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())))
                streams.seed_step(step, "step")
                capture.begin_step(step)
                _, loss = candidate.step(watched, batch)
                observe(LOSS, loss)
                capture.end_step()
    finally:
        capture.detach()
    return result


def compiled(model: torch.nn.Module) -> torch.nn.Module:
    """Compiled anew: nothing of an earlier model's is left, so that no limit on recompiling ends in eager."""
    torch._dynamo.reset()  # noqa: SLF001  torch has no other name for it
    result: Any = torch.compile(model)
    return result  # type: ignore[no-any-return]


def _restore(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Its state, not its settings: those may be what is wrong."""
    settings = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(copy.deepcopy(state))
    for group, kept in zip(optimizer.param_groups, settings, strict=True):
        group.update(kept)
