"""Activation functions: what is here is one function of an input, and what is expected another one of the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from pytest_parity.diagnose.hints.trial import FLOORS, Hypothesis, Trial
from pytest_parity.result import Cause, Hint

__all__ = ["FUNCTIONS", "HYPOTHESES"]

Function = Callable[[torch.Tensor], torch.Tensor]

FUNCTIONS: dict[str, Function] = {
    "the identity": lambda x: x,
    "ReLU": torch.relu,
    "GELU with approximate='none'": functional.gelu,
    "GELU with approximate='tanh'": lambda x: functional.gelu(x, approximate="tanh"),
    "GELU as x * sigmoid(1.702 x)": lambda x: x * torch.sigmoid(1.702 * x),
    "SiLU": functional.silu,
    "Mish": functional.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "ELU": functional.elu,
    "SELU": functional.selu,
    "CELU with alpha 0.5": lambda x: functional.celu(x, 0.5),
    **{
        f"LeakyReLU with slope {slope:g}": lambda x, slope=slope: functional.leaky_relu(x, slope)  # type: ignore[misc]
        for slope in (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5)
    },
    "ReLU6": functional.relu6,
    "the square of ReLU": lambda x: torch.relu(x).square(),
    "Hardswish": functional.hardswish,
    "Hardsigmoid": functional.hardsigmoid,
    "Hardtanh": functional.hardtanh,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "LogSigmoid": functional.logsigmoid,
    "the softmax of the last dimension": lambda x: x.softmax(-1),
    "the log softmax of the last dimension": lambda x: x.log_softmax(-1),
}
"""By the name that is told."""

_GATES: dict[str, Function] = {
    "sigmoid": torch.sigmoid,
    "SiLU": functional.silu,
    "GELU": functional.gelu,
    "GELU with approximate='tanh'": lambda x: functional.gelu(x, approximate="tanh"),
    "ReLU": torch.relu,
    "the identity": lambda x: x,
}
_SAMPLE = 1 << 12


def _activation(trial: Trial) -> Iterator[Hint]:
    """One of the functions gives what is here, and another what is expected."""
    for value in trial.inputs.values() if trial.fits else ():
        if value.shape != trial.expected.shape or not value.dim():
            continue
        ours = [name for name, one in FUNCTIONS.items() if _gives(trial, one, value, trial.actual)]
        theirs = [name for name, one in FUNCTIONS.items() if ours and _gives(trial, one, value, trial.expected)]
        if ours and theirs:
            text = f"with {theirs[0]} in place of {ours[0]} it agrees"
            yield from trial.told(Cause.ACTIVATION, text, FUNCTIONS[theirs[0]](value))


def _gives(trial: Trial, function: Function, value: torch.Tensor, goal: torch.Tensor) -> bool:
    """Whether a function gives a tensor; that it does not is seen of some of the last dimension's rows."""
    size = value.shape[-1]
    step = value.numel() // max(size, 1) // max(_SAMPLE // max(size, 1), 1)
    if step > 1:
        rows, aims = value.reshape(-1, size)[::step], goal.reshape(-1, size)[::step]
        if not float((function(rows) - aims).norm()) <= FLOORS * trial.floor:
            return False
    return trial.left(function(value), goal) is not None


def _softmax(trial: Trial) -> Iterator[Hint]:
    """Over another dimension."""
    for value in trial.inputs.values() if trial.fits else ():
        if value.shape == trial.expected.shape:
            made = {dim: value.softmax(dim) for dim in range(value.dim())}
            ours = next((dim for dim, one in made.items() if trial.left(one, trial.actual) is not None), None)
            for dim, one in made.items() if ours is not None else ():
                yield from trial.told(Cause.CONSTANT, f"with the softmax over dim {dim} and not {ours} it agrees", one)


def _gate(trial: Trial) -> Iterator[Hint]:
    """A gated unit: another gate, or the halves in the other order."""
    for value in trial.inputs.values() if trial.fits else ():
        for dim in range(value.dim()):
            size = list(value.shape)
            if size[dim] % 2 == 0 and [*size[:dim], size[dim] // 2, *size[dim + 1 :]] == list(trial.expected.shape):
                first, second = value.chunk(2, dim)
                yield from _gated(trial, first, second)


def _gated(trial: Trial, first: torch.Tensor, second: torch.Tensor) -> Iterator[Hint]:
    made = {
        (name, half): one * gate(other)
        for name, gate in _GATES.items()
        for half, one, other in (("second", first, second), ("first", second, first))
        if name != "the identity" or half == "second"
    }
    ours = next((key for key, one in made.items() if trial.left(one, trial.actual) is not None), None)
    theirs = next((key for key, one in made.items() if trial.left(one) is not None), None)
    if ours is None or theirs is None or ours == theirs:
        return
    if ours[0] == theirs[0]:
        text = f"with the {theirs[1]} half as the gate, and not the {ours[1]}, it agrees"
        yield from trial.told(Cause.PERMUTATION, text, made[theirs])
    else:
        yield from trial.told(Cause.ACTIVATION, f"gated by {theirs[0]} in place of {ours[0]} it agrees", made[theirs])


HYPOTHESES: tuple[Hypothesis, ...] = (_activation, _softmax, _gate)
