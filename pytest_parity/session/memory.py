"""Memory: what a recording keeps besides the golden, so that its test can be run again from the same start."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from pytest_parity.capture import TensorTable
from pytest_parity.contract.structure import describe

__all__ = ["Loaded", "Start", "left_alone"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """The weights of a model as it was loaded, and its structure, as a golden has them."""

    tensors: dict[str, torch.Tensor]
    structure: dict[str, Any]

    @classmethod
    def of(cls, model: torch.nn.Module) -> Loaded:
        """Copies of the parameters and persistent buffers, on the CPU."""
        tensors = TensorTable(model).now()
        return cls({name: one.detach().cpu().clone() for name, one in tensors.items()}, describe(model).to_plain())


@dataclass(frozen=True, slots=True)
class Start:
    """A model and its optimizers as a watch found them: every parameter, gradient and buffer, mode, optimizer state."""

    tensors: dict[str, torch.Tensor]
    gradients: dict[str, torch.Tensor]
    training: dict[str, bool]
    optimizers: list[dict[str, Any]]

    @classmethod
    def of(cls, model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...]) -> Start:
        """Copies of everything."""
        return cls(
            {name: tensor.detach().clone() for name, tensor in _tensors(model).items()},
            {name: one.grad.detach().clone() for name, one in model.named_parameters() if one.grad is not None},
            {name: module.training for name, module in model.named_modules()},
            [_state(optimizer) for optimizer in optimizers],
        )

    def put_back(self, model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...]) -> None:
        """Give a model of the same making, and its optimizers, this start."""
        with torch.no_grad():
            for name, tensor in _tensors(model).items():
                kept = self.tensors.get(name)
                if kept is not None and kept.shape == tensor.shape:
                    tensor.copy_(kept)
        for name, module in model.named_modules():
            module.training = self.training.get(name, module.training)
        for name, parameter in model.named_parameters():
            left = self.gradients.get(name)
            parameter.grad = None if left is None else left.clone()
        for kept_state, optimizer in zip(self.optimizers, optimizers, strict=False):
            if optimizer.state or kept_state["state"] or _rates(optimizer) != kept_state["rates"]:
                _restore(optimizer, kept_state)


@contextmanager
def left_alone(model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...]) -> Iterator[None]:
    """Whatever runs inside, the model and its optimizers are as they were at the end: gradients and buffers are the same objects.

    A test that is run again has copies of what outlives it, but for what cannot be copied: then that is the same model.
    """
    start = Start.of(model, optimizers)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    buffers = [(module, dict(module._buffers)) for module in model.modules()]  # noqa: SLF001  which object, not its name
    try:
        yield
    finally:
        for module, held in buffers:
            module._buffers.clear()  # noqa: SLF001
            module._buffers.update(held)  # noqa: SLF001
        start.put_back(model, optimizers)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gradient = parameter.grad = gradients.get(name)
                if gradient is not None:
                    gradient.copy_(start.gradients[name])


def _tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    places = {id(p): place for place, p in enumerate(_parameters(optimizer))}
    kept = {places[id(p)]: copy.deepcopy(state) for p, state in optimizer.state.items() if id(p) in places}
    return {"state": kept, "rates": _rates(optimizer)}


def _rates(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [
        {key: copy.deepcopy(value) for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _restore(optimizer: torch.optim.Optimizer, kept: dict[str, Any]) -> None:
    optimizer.state.clear()
    for place, parameter in enumerate(_parameters(optimizer)):
        if place in kept["state"]:
            optimizer.state[parameter] = copy.deepcopy(kept["state"][place])
    for group, rates in zip(optimizer.param_groups, kept["rates"], strict=False):
        group.update(copy.deepcopy(rates))
