"""Training: faults of the loss, of the optimizer, and of the loop around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import optim

from benchmarks.faults.label import LOSS, OPTIMIZER, Family, Injection, Label
from benchmarks.faults.survey import Survey
from benchmarks.faults.workloads import Trained
from pytest_parity.result import Cause

__all__ = ["loss_faults", "optimizer_faults"]


def _loss(
    name: str, make: Callable[[Trained], None], cause: Cause | None, *also: Cause, size: float = 1.0
) -> Injection:
    return Injection(name, Family.LOSS, LOSS, Label((LOSS,), cause, frozenset(also)), make, size)


def _objective(**values: Any) -> Callable[[Trained], None]:
    def make(candidate: Trained) -> None:
        for name, value in values.items():
            setattr(candidate.objective, name, value)

    return make


def _candidate(**values: Any) -> Callable[[Trained], None]:
    def make(candidate: Trained) -> None:
        for name, value in values.items():
            setattr(candidate, name, value)

    return make


def loss_faults(survey: Survey) -> Iterator[Injection]:
    """Every one that a workload's loss can have."""
    for size in (2.0, 0.5, 1.2, 1.01, 1.001, 1.0001):
        yield _loss(
            "loss_scaled", _objective(factor=size), Cause.FACTOR, Cause.REDUCTION, Cause.ACCUMULATION, size=size
        )
    if survey.case.workload.clip is None:  # else the clipping takes it back
        for size in (2.0, 0.5, 1.01):
            also = (Cause.REDUCTION, Cause.ACCUMULATION)
            yield _loss("backward_scaled", _candidate(scale=size), Cause.FACTOR, *also, size=size)
    yield _loss("loss_negated", _objective(factor=-1.0), Cause.SIGN, Cause.FACTOR)
    if survey.case.workload.name == "conformer":
        return
    yield _loss("sum_for_mean", _objective(mean=False), Cause.REDUCTION, Cause.FACTOR, Cause.ACCUMULATION)
    if survey.case.workload.name != "convnet":
        also = (Cause.PADDING, Cause.MASK)
        yield _loss("over_padding", _objective(padding=True), Cause.REDUCTION, *also)
    yield _loss("logits_scaled", _objective(change=lambda x: 1.05 * x), Cause.SCALE)
    if survey.case.workload.name == "diffusion":
        yield _loss("unweighted", _objective(weighted=False), Cause.REDUCTION, Cause.SCALE)


def _of_groups(name: str, change: Callable[[Any], Any], groups: slice = slice(None)) -> Callable[[Trained], None]:
    def make(candidate: Trained) -> None:
        for group in candidate.optimizer.param_groups[groups]:
            group[name] = change(group[name])

    return make


def optimizer_faults(survey: Survey) -> Iterator[Injection]:
    """Every one that a workload's optimizer and its loop can have."""
    optimizer = survey.optimizer
    kind = type(optimizer).__name__

    def fault(name: str, make: Any, cause: Cause | None, *also: Cause, size: float = 1.0, **more: Any) -> Injection:
        groups = more.pop("groups", range(len(optimizer.param_groups)))
        kinds = (kind, *more.pop("kinds", ()))
        named = (f"{one}.param_groups[{group}]" for one in kinds for group in groups)
        names = (*kinds, *named, *more.pop("names", ()))
        return Injection(
            name,
            Family.OPTIMIZER,
            more.pop("path", OPTIMIZER),
            Label(names, cause, frozenset(also)),
            make,
            size,
            **more,
        )

    for size in (2.0, 1.2, 1.01, 1.001):
        rate = _of_groups("lr", lambda lr, size=size: lr * size)  # type: ignore[misc]
        yield fault("learning_rate", rate, Cause.LEARNING_RATE, Cause.FACTOR, size=size)
    if any(group.get("weight_decay") for group in optimizer.param_groups):
        yield fault("no_weight_decay", _of_groups("weight_decay", lambda _: 0.0), Cause.WEIGHT_DECAY)
        doubled = _of_groups("weight_decay", lambda decay: 2 * decay)
        yield fault("weight_decay_doubled", doubled, Cause.WEIGHT_DECAY)
    if len(optimizer.param_groups) > 1:
        yield fault("decay_of_everything", _decay_everything, Cause.WEIGHT_DECAY, groups=(1,))
        yield fault("group_left_out", _left_out, Cause.LEARNING_RATE, Cause.FACTOR, evident=True, groups=(1,))
    if kind == "SGD":
        yield fault("momentum", _of_groups("momentum", lambda _: 0.95), Cause.BETA, Cause.CONSTANT)
        yield fault("no_nesterov", _of_groups("nesterov", lambda _: False), Cause.BETA, Cause.CONSTANT)
    else:
        first = _of_groups("betas", lambda betas: (0.8, betas[1]))
        second = _of_groups("betas", lambda betas: (betas[0], 0.95))
        yield fault("beta_1", first, Cause.BETA)
        yield fault("beta_2", second, Cause.BETA)
        for size in (1e3, 1e5):
            eps = _of_groups("eps", lambda eps, size=size: eps * size)  # type: ignore[misc]
            yield fault("optimizer_eps", eps, Cause.OPTIMIZER_EPS, size=size)
        kinds = ("_Uncorrected", "_UncorrectedW")
        yield fault("no_bias_correction", _uncorrected, Cause.BIAS_CORRECTION, kinds=kinds)
    if kind == "AdamW":
        yield fault("decay_coupled", _coupled, Cause.WEIGHT_DECAY, kinds=("Adam",))
    if survey.case.workload.clip is not None:
        for name, value in (("no_clipping", None), ("clipping_other", 0.25)):
            make = _candidate(clip=value)
            yield fault(name, make, Cause.CLIPPING, Cause.FACTOR, names=("clipping", "(model)"), path="clipping")
    names = ("zero_grad", "(model)")
    yield fault("not_cleared", _candidate(clears=False), Cause.ACCUMULATION, names=names, path="zero_grad")


def _decay_everything(candidate: Trained) -> None:
    first, *others = candidate.optimizer.param_groups
    for group in others:
        group["weight_decay"] = first["weight_decay"]


def _left_out(candidate: Trained) -> None:
    candidate.optimizer = optim.AdamW(_groups(candidate.optimizer)[:1])


def _coupled(candidate: Trained) -> None:
    candidate.optimizer = optim.Adam(_groups(candidate.optimizer))


class _Uncorrected(optim.Adam):
    """An Adam that forgets that its moments begin at zero."""

    decoupled = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is evaluated
        """One step, on what torch's own keeps."""
        del closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._stepped(self.state[weight], weight, group)

    def _stepped(self, state: dict[str, Any], weight: torch.Tensor, group: dict[str, Any]) -> None:
        assert weight.grad is not None
        if not state:
            state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(weight), exp_avg_sq=torch.zeros_like(weight))
        one, two = group["betas"]
        state["step"] += 1
        if self.decoupled:
            weight.mul_(1 - group["lr"] * group["weight_decay"])
        state["exp_avg"].lerp_(weight.grad, 1 - one)
        state["exp_avg_sq"].mul_(two).addcmul_(weight.grad, weight.grad, value=1 - two)
        weight.addcdiv_(state["exp_avg"], state["exp_avg_sq"].sqrt() + group["eps"], value=-group["lr"])


class _UncorrectedW(_Uncorrected):
    """The same with decoupled weight decay."""

    decoupled = True


def _uncorrected(candidate: Trained) -> None:
    kind = _UncorrectedW if isinstance(candidate.optimizer, optim.AdamW) else _Uncorrected
    candidate.optimizer = kind(_groups(candidate.optimizer))


def _groups(optimizer: optim.Optimizer) -> list[dict[str, Any]]:
    names = ("params", "lr", "betas", "eps", "weight_decay", "foreach")
    return [{name: group[name] for name in names} for group in optimizer.param_groups]
