"""Modules of a few kinds, and faults of them with the causes that may be told: what the tests of forward hints draw from."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from pytest_parity.result import Cause


class Code(nn.Module):
    """A module whose forward is a function of itself and its inputs; tensors among the settings are parameters."""

    def __init__(self, forward: Callable, **held):
        super().__init__()
        for name, value in held.items():
            setattr(self, name, nn.Parameter(value.detach().clone()) if isinstance(value, torch.Tensor) else value)
        self.run = forward

    def forward(self, *inputs):
        return self.run(self, *inputs)


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6, plus: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width) + 0.5)
        self.variance_epsilon, self.plus = eps, plus

    def forward(self, x):
        square = x.square().mean(-1, keepdim=True)
        return x * torch.rsqrt(square + self.variance_epsilon) * (self.weight + self.plus)


def attention(width: int = 32, heads: int = 4, **changes) -> Code:
    """Causal self-attention in one module, written out; ``changes`` are what a rewrite may get wrong."""
    draw = torch.Generator().manual_seed(11)
    made = {f"w{place}": torch.randn(width, width, generator=draw) * 0.3 for place in range(4)}
    settings = {
        "scale": (width // heads) ** -0.5,
        "diagonal": 0,
        "rate": 0.0,
        "joined": True,
        "turn": None,
        "gain": [1.0],
    }

    def forward(own, x):
        batch, steps, _ = x.shape
        parts = (x @ weight for weight in (own.w0, own.w1, own.w2))
        q, k, v = (part.view(batch, steps, heads, width // heads).transpose(1, 2) for part in parts)
        if own.turn is not None:
            q, k = rotated(q, own.turn), rotated(k, own.turn)
        logits = q @ k.transpose(-1, -2) * own.scale
        logits = logits * torch.tensor(own.gain)
        if own.diagonal is not None:
            allowed = torch.ones(steps, steps).tril(own.diagonal).bool()
            logits = logits.masked_fill(~allowed, float("-inf"))
        out = functional.dropout(logits.softmax(-1), own.rate) @ v
        out = out.transpose(1, 2).reshape(batch, steps, width) if own.joined else out.reshape(batch, steps, width)
        return out @ own.w3

    return Code(forward, **made, **{**settings, **changes})


def rotated(x: torch.Tensor, layout: str, shift: int = 0) -> torch.Tensor:
    steps, width = x.shape[-2:]
    angle = (torch.arange(steps) + shift)[:, None] * 100.0 ** (-torch.arange(width // 2) * 2 / width)
    cos, sin = angle.cos(), angle.sin()
    if layout == "half":
        first, second = x.chunk(2, -1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)
    first, second = x[..., ::2], x[..., 1::2]
    return torch.stack((first * cos - second * sin, second * cos + first * sin), -1).flatten(-2)


def filled(module: nn.Module, seed: int = 3) -> nn.Module:
    """With weights that say something: no ones, no zeros."""
    draw = torch.Generator().manual_seed(seed)
    for name, one in module.named_parameters():
        base = 1.0 if "Norm" in type(module).__name__ and name == "weight" else 0.0
        one.data.copy_(base + 0.3 * torch.randn(one.shape, generator=draw))
    return module


def changed(module: nn.Module, change: Callable[[nn.Module], object]) -> nn.Module:
    other = copy.deepcopy(module)
    with torch.no_grad():
        change(other)
    return other


def behind(module: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    """A module with something done to what it returns."""
    other = copy.deepcopy(module)
    other.register_forward_hook(lambda _module, _inputs, out: change(out))
    return other


Fault = tuple[frozenset[Cause], Callable[[nn.Module], nn.Module]]


def faults_of(module: nn.Module) -> dict[str, Fault]:
    """By name: the causes that are right, and the module with the fault."""
    found = dict(_ANY)
    for kind, named in _OF.items():
        if isinstance(module, kind):
            found.update(named)
    if getattr(module, "bias", None) is None:
        found = {name: one for name, one in found.items() if "bias" not in name and "weight times" not in name}
    return found


def _one(cause: Cause, *more: Cause, change: Callable[[nn.Module], object]) -> Fault:
    return frozenset({cause, *more}), lambda module: changed(module, change)


def _out(cause: Cause, change: Callable[[torch.Tensor], torch.Tensor]) -> Fault:
    return frozenset({cause}), lambda module: behind(module, change)


def _before(own: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return functional.conv1d(functional.pad(x, (2, 0)), own.weight, own.bias)


_ANY: dict[str, Fault] = {
    **{
        f"output times {factor:g}": _out(Cause.FACTOR, lambda out, by=factor: out * by)
        for factor in (2.0, 1.05, 0.999, 1.0001)
    },
    "output negated": _out(Cause.SIGN, torch.neg),
    "output in bfloat16": _out(Cause.PRECISION, lambda out: out.bfloat16().to(out.dtype)),
    "output in float16": _out(Cause.PRECISION, lambda out: out.half().to(out.dtype)),
    "output rolled": (frozenset({Cause.SHIFT}), lambda module: behind(module, lambda out: out.roll(1, 1))),
    "channels reversed": (
        frozenset({Cause.PERMUTATION, Cause.WEIGHT}),
        lambda module: behind(module, lambda out: out.flip(-1)),
    ),
}
_WEIGHT: dict[str, Fault] = {
    "weight times 1.01": _one(Cause.WEIGHT, change=lambda own: own.weight.mul_(1.01)),
    "weight rolled": _one(
        Cause.WEIGHT, Cause.PERMUTATION, Cause.SHIFT, change=lambda own: own.weight.copy_(own.weight.roll(1, 0))
    ),
    "bias dropped": _one(Cause.BIAS, change=lambda own: own.bias.zero_()),
    "bias doubled": _one(Cause.BIAS, change=lambda own: own.bias.mul_(2)),
}
_OF: dict[type[nn.Module], dict[str, Fault]] = {
    nn.Linear: _WEIGHT,
    nn.Conv1d: {
        **_WEIGHT,
        "padding on one side": (
            frozenset({Cause.PADDING}),
            lambda own: Code(_before, weight=own.weight, bias=own.bias),
        ),
    },
    nn.LayerNorm: {
        "eps 1e-3": _one(Cause.EPS, change=lambda own: setattr(own, "eps", 1e-3)),
        "bias dropped": _WEIGHT["bias dropped"],
    },
    RMSNorm: {
        "eps 1e-2": _one(Cause.EPS, change=lambda own: setattr(own, "variance_epsilon", 1e-2)),
        "weight plus 1": _one(Cause.SCALE, change=lambda own: setattr(own, "plus", 1.0)),
    },
    nn.GELU: {"tanh": _one(Cause.ACTIVATION, change=lambda own: setattr(own, "approximate", "tanh"))},
    nn.Dropout: {
        "off": _one(Cause.DROPOUT, change=lambda own: own.eval()),
        "rate": _one(Cause.DROPOUT, change=lambda own: setattr(own, "p", 0.4)),
    },
    nn.BatchNorm1d: {
        "other mode": _one(Cause.BATCHNORM, change=lambda own: own.train(not own.training)),
        "eps 1e-2": _one(Cause.EPS, change=lambda own: setattr(own, "eps", 1e-2)),
    },
    Code: {
        "logits unscaled": _one(Cause.SCALE, change=lambda own: setattr(own, "scale", 1.0)),
        "mask off by one": _one(Cause.MASK, change=lambda own: setattr(own, "diagonal", 1)),
        "mask missing": _one(Cause.MASK, change=lambda own: setattr(own, "diagonal", None)),
        "dropout": _one(Cause.DROPOUT, change=lambda own: setattr(own, "rate", 0.1)),
        "heads joined without a transpose": _one(Cause.TRANSPOSE, change=lambda own: setattr(own, "joined", False)),
    },
}


def _jittered(own: nn.Module) -> None:
    draw = torch.Generator().manual_seed(1005)
    for one in own.parameters():
        one.add_(0.01 * torch.randn(one.shape, generator=draw))


def _rescaled(out: torch.Tensor) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1005)
    return out * (1 + 0.01 * torch.randn(out.shape[-1], generator=draw))


STRANGE: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weights jittered": lambda module: changed(module, _jittered),
    "bent": lambda module: behind(module, lambda out: out + 1e-3 * out.square()),
    "squashed": lambda module: behind(module, lambda out: 10 * torch.sinh(out / 10)),
    "every channel by a number of its own": lambda module: behind(module, _rescaled),
    "a position wrong": lambda module: behind(
        module, lambda out: out + (torch.arange(out.shape[1]) == 2)[:, None] * out.sin()
    ),
    "by 1.0483921": lambda module: behind(module, lambda out: out * 1.0483921),
    "two at once": lambda module: behind(module, lambda out: 1.05 * out + 0.1 * out.roll(1, 1)),
}
"""Faults without a closed form, or with too long a number."""
