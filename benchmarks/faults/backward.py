"""Backward: faults that leave every output as it is, and the gradients not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.between import Put, below, between, handed
from benchmarks.faults.diffusion import Clamp
from benchmarks.faults.label import Family, Injection, Label
from benchmarks.faults.planting import around, called_with, on_output, scaled_backward
from benchmarks.faults.survey import Call, Survey
from benchmarks.faults.workloads import Trained
from pytest_parity.result import Cause

__all__ = ["backward_faults"]

SCALES = (2.0, 1.2, 1.01, 1.001)


def backward_faults(survey: Survey) -> Iterator[Injection]:
    """Every one that there is."""
    for call in survey.calls.values():
        if call.leaf and call.floats and call.times == 1:
            yield from _in(call, survey)
        if handed(call, survey):
            yield from _before(call)


def _at(call: Call, name: str, put: Put, cause: Cause | None, *also: Cause, size: float = 1.0) -> Injection:
    def make(candidate: Trained) -> None:
        put(candidate.model.get_submodule(call.path))

    return Injection(name, Family.BACKWARD, call.path, Label((call.path,), cause, frozenset(also)), make, size)


def _in(call: Call, survey: Survey) -> Iterator[Injection]:
    for size in SCALES:
        put: Put = lambda module, size=size: on_output(module, lambda y: scaled_backward(y, size))  # type: ignore[misc]  # noqa: E731
        yield _at(call, "gradient_scaled", put, Cause.FACTOR, Cause.SCALE, size=size)
    negated: Put = lambda module: on_output(module, lambda y: scaled_backward(y, -1.0))  # noqa: E731
    yield _at(call, "gradient_negated", negated, Cause.SIGN, Cause.FACTOR)
    held = any(True for _ in call.module.parameters())
    if held and call.path != survey.last_within("(model)"):  # else nothing is left to train, and backward raises
        detached: Put = lambda module: on_output(module, Tensor.detach)  # noqa: E731
        yield _at(call, "detached", detached, Cause.DETACHED)
    if isinstance(call.module, nn.LayerNorm):
        yield _at(call, "moments_detached", _moments_detached, Cause.DETACHED)
    if isinstance(call.module, Clamp):
        plain: Put = lambda module: around(module, lambda _, x: x.clamp(-module.limit, module.limit))  # noqa: E731
        yield _at(call, "straight_through_missing", plain, Cause.DETACHED, Cause.ACTIVATION)
    if isinstance(call.module, (nn.GELU, nn.SiLU, nn.ReLU)):
        wrong: Put = lambda module: around(module, lambda forward, x: _Wrong.apply(x, forward))  # type: ignore[no-untyped-call]  # noqa: E731
        yield _at(call, "wrong_backward", wrong, None, Cause.ACTIVATION)


def _moments_detached(norm: nn.Module) -> None:
    def forward(_: Callable[..., Any], x: Tensor) -> Tensor:
        assert isinstance(norm, nn.LayerNorm)
        mean = x.mean(-1, keepdim=True).detach()
        spread = torch.sqrt((x - mean).square().mean(-1, keepdim=True) + norm.eps).detach()
        return (x - mean) / spread * norm.weight + norm.bias

    around(norm, forward)


class _Wrong(torch.autograd.Function):
    """An activation whose backward is a step function's."""

    @staticmethod
    def forward(context: Any, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """The activation itself."""
        context.save_for_backward(x)
        return function(x.clone())  # it may work in place

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Of another one: half of what is below 0."""
        (x,) = context.saved_tensors
        return gradients[0] * torch.where(x > 0, 1.0, 0.5).to(x.dtype), None


def _before(call: Call) -> Iterator[Injection]:
    """In the parent's code that hands a child what another child returned."""
    name, after = below(call.path, call.parent), below(call.before, call.parent)

    def fault(title: str, change: Callable[[Tensor], Tensor], *causes: Any, size: float = 1.0) -> Injection:
        put: Put = lambda parent: called_with(parent, name, change)  # noqa: E731
        one = between((call.parent, after, name), title, put, *causes, size=size)
        label = replace(one.label, sources=call.sources)
        return Injection(title, Family.BACKWARD, one.path, label, one.make, size)

    for size in SCALES:
        scaled: Any = lambda x, size=size: scaled_backward(x, size)  # noqa: E731
        yield fault("handed_gradient_scaled", scaled, Cause.FACTOR, Cause.SCALE, size=size)
    if call.before and "head" not in name:
        yield fault("handed_detached", Tensor.detach, Cause.DETACHED)
