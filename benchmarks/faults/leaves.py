"""Leaves: forward faults of one module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from benchmarks.faults.diffusion import Absorb, Clamp, Rotary, Sinusoids
from benchmarks.faults.label import Family, Injection, Label
from benchmarks.faults.planting import around, held, on_output, with_held
from benchmarks.faults.survey import Call, Survey
from benchmarks.faults.workloads import Trained
from pytest_parity.diagnose.faults import equally_shaped
from pytest_parity.result import Cause

__all__ = ["SCALES", "forward_faults", "shifted"]

SCALES = (2.0, 1.2, 1.01, 1.001, 1.0001)
Put = Callable[[Any], None]
"""What changes a module."""


def at(call: Call, name: str, put: Put, cause: Cause | None, *also: Cause, size: float = 1.0) -> Injection:
    """A fault in a module that is its own label."""

    def make(candidate: Trained) -> None:
        put(candidate.model.get_submodule(call.path))

    return Injection(name, Family.FORWARD, call.path, Label((call.path,), cause, frozenset(also)), make, size)


def _attribute(name: str, value: Callable[[Any], Any]) -> Put:
    def put(module: nn.Module) -> None:
        setattr(module, name, value(getattr(module, name)))

    return put


def _output(change: Callable[[Tensor], Tensor]) -> Put:
    return lambda module: on_output(module, change)


def _held(name: str, change: Callable[[Tensor], Tensor]) -> Put:
    return lambda module: with_held(module, {name: change})


def _instead(function: Callable[..., Any]) -> Put:
    """Another function of the module and its arguments."""
    return lambda module: around(module, lambda _forward, *args: function(module, *args))


def shifted(x: Tensor) -> Tensor:
    """One step later in time (batch, time, ...): the first is 0."""
    return torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), 1)


def forward_faults(survey: Survey) -> Iterator[Injection]:
    """Every one that there is, in every module that can have it."""
    for call in survey.calls.values():
        if call.leaf and call.times == 1:
            if call.floats:
                yield from _of_values(call, survey)
            for kind, faults in _BY_CLASS:
                if isinstance(call.module, kind):
                    yield from faults(call)
    yield from _swapped(survey)


def _of_values(call: Call, survey: Survey) -> Iterator[Injection]:
    module = call.module
    weighted = {Cause.WEIGHT} if getattr(module, "bias", None) is None and hasattr(module, "weight") else set()
    drops = {Cause.DROPOUT} if isinstance(module, nn.Dropout) else set()
    for size in SCALES:
        also = (Cause.SCALE, *weighted, *drops)
        yield at(call, "output_scaled", _output(lambda y, size=size: y * size), Cause.FACTOR, *also, size=size)  # type: ignore[misc]
    yield at(call, "sign", _output(torch.neg), Cause.SIGN, Cause.FACTOR)
    for dtype in (torch.bfloat16, torch.float16):
        name = f"rounded_{str(dtype).removeprefix('torch.')}"
        yield at(call, name, _output(lambda y, dtype=dtype: y.to(dtype).to(y.dtype)), Cause.PRECISION)  # type: ignore[misc]
    time = 24 if survey.case.workload.name in {"transformer", "recurrent", "diffusion"} else None
    if call.returned is not None and call.returned.dim() == 3 and call.returned.shape[1] == time:
        yield at(call, "time_shift", _output(shifted), Cause.SHIFT)
    for name in ("weight", "weight_ih_l0", "weight_hh_l0"):
        if module._parameters.get(name) is not None:  # noqa: SLF001  a flag may have that name
            yield from _of_weight(call, name)
    for name in ("bias", "bias_ih_l0", "bias_hh_l0"):
        if module._parameters.get(name) is not None:  # noqa: SLF001
            yield at(call, "bias_missing", _held(name, torch.zeros_like), Cause.BIAS, Cause.WEIGHT)
            yield at(call, "bias_doubled", _held(name, lambda bias: bias * 2), Cause.BIAS, Cause.WEIGHT)


def _of_weight(call: Call, name: str) -> Iterator[Injection]:
    weight = held(call.module, name)
    for size in SCALES:
        put = _held(name, lambda value, size=size: value * size)  # type: ignore[misc]
        yield at(call, "weight_scaled", put, Cause.FACTOR, Cause.WEIGHT, Cause.SCALE, size=size)
    rows = _held(name, lambda value: value.roll(1, 0))
    yield at(call, "rows_rolled", rows, Cause.PERMUTATION, Cause.WEIGHT, Cause.SHIFT)
    order = torch.randperm(weight.shape[0], generator=torch.Generator().manual_seed(weight.shape[0]))
    permuted = _held(name, lambda value: value[order])
    yield at(call, "rows_permuted", permuted, Cause.PERMUTATION, Cause.WEIGHT, Cause.ORDER)
    if weight.dim() == 2 and weight.shape[0] == weight.shape[1]:
        yield at(call, "transposed", _held(name, lambda value: value.t().contiguous()), Cause.TRANSPOSE, Cause.WEIGHT)
    if weight.dim() == 2 and "att" in call.path and weight.shape[0] % 4 == 0:
        heads = _held(name, lambda value: value.roll(value.shape[0] // 4, 0))
        yield at(call, "heads_permuted", heads, Cause.PERMUTATION, Cause.WEIGHT, Cause.SHIFT)


def _normalizations(call: Call) -> Iterator[Injection]:
    for size in (1000.0, 10.0, 0.1):
        eps = _attribute("eps", lambda eps, size=size: eps * size)  # type: ignore[misc]
        yield at(call, "eps", eps, Cause.EPS, Cause.CONSTANT, size=size)
    yield at(call, "weight_ignored", _held("weight", torch.ones_like), Cause.SCALE, Cause.WEIGHT)

    def unbiased(norm: Any, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        grouped = isinstance(norm, _BatchNorm)
        count = x.numel() // x.shape[1] if grouped else x.shape[-1]
        bias = norm.bias.view([1, -1] + [1] * (x.dim() - 2)) if grouped else norm.bias
        y: Tensor = (forward(x) - bias) * math.sqrt((count - 1) / count) + bias
        return y

    also = (Cause.BATCHNORM, Cause.FACTOR, Cause.CONSTANT, Cause.WEIGHT)  # the weight times a constant is the same
    put: Put = lambda norm: around(norm, lambda forward, x: unbiased(norm, forward, x))  # noqa: E731
    yield at(call, "unbiased_variance", put, Cause.SCALE, *also)


def _batch_norms(call: Call) -> Iterator[Injection]:
    yield at(call, "batch_norm_eval", lambda norm: norm.eval(), Cause.BATCHNORM)
    for momentum in (0.2, 0.01):
        put = _attribute("momentum", lambda _, momentum=momentum: momentum)  # type: ignore[misc]
        yield at(call, "momentum", put, Cause.BATCHNORM, Cause.CONSTANT, size=momentum)

    def biased(norm: Any, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        with torch.no_grad():  # before the forward, which keeps the buffer for its backward
            dims, count = [0, *range(2, x.dim())], x.numel() // x.shape[1]
            less = x.var(dims, correction=1) / count
            norm.running_var -= norm.momentum / (1 - norm.momentum) * less
        return forward(x)

    put_biased: Put = lambda norm: around(norm, lambda forward, x: biased(norm, forward, x))  # noqa: E731
    yield at(call, "biased_running_variance", put_biased, Cause.BATCHNORM)


def _dropouts(call: Call) -> Iterator[Injection]:
    rate = call.module.p if isinstance(call.module, nn.Dropout) else 0.0
    if not rate:
        yield at(call, "dropout_on", _attribute("p", lambda _: 0.1), Cause.DROPOUT, Cause.CONSTANT)
        return
    yield at(call, "dropout_off", lambda module: module.eval(), Cause.DROPOUT)
    yield at(call, "dropout_rate", _attribute("p", lambda p: 2 * p), Cause.DROPOUT, Cause.CONSTANT)
    unscaled = _output(lambda y: y * (1 - rate))
    yield at(call, "dropout_unscaled", unscaled, Cause.DROPOUT, Cause.FACTOR, Cause.SCALE)
    yield at(call, "dropout_seed", _another_stream, Cause.SEED, Cause.DROPOUT)


def _another_stream(module: nn.Module) -> None:
    def wrapper(forward: Callable[..., Any], *args: Any) -> Any:
        torch.rand(1)
        return forward(*args)

    around(module, wrapper)


def _activations(call: Call) -> Iterator[Injection]:
    others: dict[type[nn.Module], dict[str, Callable[[Tensor], Tensor]]] = {
        nn.GELU: {"tanh": lambda x: functional.gelu(x, approximate="tanh"), "silu": functional.silu},
        nn.SiLU: {"gelu": functional.gelu, "sigmoid_1.702": lambda x: x * torch.sigmoid(1.702 * x)},
        nn.ReLU: {"gelu": functional.gelu, "leaky": functional.leaky_relu},
    }
    for kind, variants in others.items():
        for name, function in variants.items() if isinstance(call.module, kind) else ():
            put = _instead(lambda _, x, function=function: function(x))
            yield at(call, f"activation_{name}", put, Cause.ACTIVATION, Cause.CONSTANT)


def _gates(call: Call) -> Iterator[Injection]:
    put = _instead(lambda _, x: functional.glu(torch.cat(x.chunk(2, -1)[::-1], -1), -1))
    yield at(call, "gate_swapped", put, Cause.ACTIVATION, Cause.PERMUTATION, Cause.ORDER)


def _convolutions(call: Call) -> Iterator[Injection]:
    module = call.module
    if not isinstance(module, _ConvNd) or not any(module.padding):
        return

    def padded(conv: Any, x: Tensor, sides: list[int], mode: str) -> Tensor:
        function = functional.conv1d if x.dim() == 3 else functional.conv2d
        wide = functional.pad(x, sides, mode=mode)
        return function(wide, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)

    padding: Any = module.padding
    sizes = [int(one) for one in reversed(padding)]
    left, both = [n for one in sizes for n in (2 * one, 0)], [n for one in sizes for n in (one, one)]
    one_sided = _instead(lambda conv, x: padded(conv, x, left, "constant"))
    yield at(call, "padding_left", one_sided, Cause.PADDING, Cause.SHIFT)
    for mode in ("replicate", "reflect"):
        other = _instead(lambda conv, x, mode=mode: padded(conv, x, both, mode))
        yield at(call, f"padding_{mode}", other, Cause.PADDING)


def _computed(call: Call) -> Iterator[Injection]:
    """In bfloat16, as autocast computes."""

    def lower(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(x).to(x.dtype)

    yield at(call, "autocast", lambda module: around(module, lower), Cause.PRECISION)


def _recurrent(call: Call) -> Iterator[Injection]:
    def flipped(forward: Callable[[Tensor], Any], x: Tensor) -> Any:
        y, state = forward(x.flip(1))
        return y.flip(1), state

    yield at(call, "time_reversed", lambda module: around(module, flipped), None, Cause.ORDER, Cause.PERMUTATION)
    gates = 4 if isinstance(call.module, nn.LSTM) else 3

    def swapped(value: Tensor) -> Tensor:
        parts = list(value.chunk(gates))
        parts[0], parts[1] = parts[1], parts[0]
        return torch.cat(parts)

    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    put: Put = lambda module: with_held(module, dict.fromkeys(names, swapped))  # noqa: E731
    yield at(call, "gates_swapped", put, Cause.PERMUTATION, Cause.ORDER, Cause.WEIGHT)


def _pools(call: Call) -> Iterator[Injection]:
    summed = _instead(lambda _, x: x.sum((2, 3), keepdim=True))
    yield at(call, "pool_sum", summed, Cause.REDUCTION, Cause.FACTOR, Cause.SCALE)
    yield at(call, "pool_max", _instead(lambda _, x: x.amax((2, 3), keepdim=True)), None, Cause.REDUCTION)


def _turned(rotary: Any, x: Tensor) -> Tensor:
    turns = rotary.turns(x)
    one, other = x[..., ::2], x[..., 1::2]
    pairs = (one * turns.cos() - other * turns.sin(), other * turns.cos() + one * turns.sin())
    return torch.stack(pairs, -1).flatten(-2)


def rotary_faults(survey: Survey) -> Iterator[Injection]:
    """Of a module that is called for queries and for keys."""
    for call in survey.calls.values():
        if isinstance(call.module, Rotary):
            yield at(call, "rotary_interleaved", _instead(_turned), Cause.ROTARY, Cause.PERMUTATION)
            base = _attribute("base", lambda base: base * 10)
            yield at(call, "rotary_base", base, Cause.CONSTANT, Cause.ROTARY)


def _sines(call: Call) -> Iterator[Injection]:
    put = _output(lambda y: torch.cat(y.chunk(2, -1)[::-1], -1))
    yield at(call, "cosines_first", put, Cause.PERMUTATION, Cause.ORDER)
    yield at(
        call,
        "time_unscaled",
        _instead(lambda module, t: type(module).forward(module, t / 2)),
        Cause.SCALE,
        Cause.FACTOR,
    )


def _absorbing(call: Call) -> Iterator[Injection]:
    def inverted(module: Any) -> None:
        module.drawn = lambda x, times: torch.rand(x.shape, dtype=torch.float32) >= times[:, None]

    yield at(call, "masked_inverted", inverted, Cause.MASK, Cause.SEED)
    yield at(call, "noise_seed", _another_stream, Cause.SEED)
    yield at(call, "least_time", _attribute("least", lambda _: 0.01), Cause.CONSTANT)


def _clamps(call: Call) -> Iterator[Injection]:
    yield at(call, "limit", _attribute("limit", lambda _: 1.4), Cause.CONSTANT, Cause.ACTIVATION)


def _swapped(survey: Survey) -> Iterator[Injection]:
    found = [call for call in survey.calls.values() if call.leaf and call.times == 1]
    for place, call in enumerate(found):
        for other in found[place + 1 :]:
            alike = type(call.module) is type(other.module) and equally_shaped(call.module, other.module)
            if alike and _kin(call.path, other.path):
                yield _swap(call.path, other.path)


def _kin(one: str, other: str) -> bool:
    """Whether someone could mistake one for the other: of one parent, or of the same name."""
    return one.rpartition(".")[0] == other.rpartition(".")[0] or one.rpartition(".")[2] == other.rpartition(".")[2]


def _swap(path: str, other: str) -> Injection:
    def make(candidate: Trained) -> None:
        one, twin = candidate.model.get_submodule(path), candidate.model.get_submodule(other)
        ours, theirs = dict(one._parameters), dict(twin._parameters)  # noqa: SLF001
        for module, values in ((one, theirs), (twin, ours)):
            with_held(module, {name: _other(value) for name, value in values.items() if value is not None})

    label = Label((path, other), Cause.ORDER, frozenset({Cause.WEIGHT, Cause.PERMUTATION}))
    return Injection("layers_swapped", Family.FORWARD, path, label, make)


def _other(value: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _: value


_BY_CLASS: tuple[tuple[Any, Callable[[Call], Iterator[Injection]]], ...] = (
    ((nn.LayerNorm, _BatchNorm), _normalizations),
    (_BatchNorm, _batch_norms),
    (nn.Dropout, _dropouts),
    ((nn.GELU, nn.SiLU, nn.ReLU), _activations),
    (nn.GLU, _gates),
    (_ConvNd, _convolutions),
    ((nn.Linear, _ConvNd), _computed),
    ((nn.LSTM, nn.GRU), _recurrent),
    (nn.AdaptiveAvgPool2d, _pools),
    (Sinusoids, _sines),
    (Absorb, _absorbing),
    (Clamp, _clamps),
)
