"""Probes: inputs that ordinary data does not have, made from recorded ones by fixed rules, and a module fed with them.

Activations of a healthy model have a variance of about one and hardly leave -4 to 4, and there an eps, a clamp, a mask
of ``-1e4`` and the approximation of a GELU do not show. Nothing of a probe is left behind: buffers, frozen parameters,
attributes, random generators and autograd are as they were before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from pytest_parity.capture.modules import Entering, rebuilt
from pytest_parity.capture.random import Streams
from pytest_parity.capture.tree import leaves

__all__ = ["PROBES", "communicates", "fed", "is_changed", "is_probed", "probe_inputs"]

_DTYPES = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_PERIOD = 4093
"""A prime, so that rows do not repeat each other."""
_APART = 1009
_GOLDEN_RATIO = 0.6180339887498949
_CONTAINERS = (list, dict, set, OrderedDict)


def _spread(low: float, high: float, like: torch.Tensor, place: int) -> torch.Tensor:
    """Values from ``low`` to ``high`` in the shape of ``like``: any stretch of them, a row, covers the whole range.

    Those of each ``place`` are others.
    """
    numbers = torch.arange(_PERIOD, dtype=torch.float64, device="cpu") + _APART * place
    values = low + (high - low) * torch.remainder(numbers * _GOLDEN_RATIO, 1.0)
    count = like.numel()
    values = values.to(like.dtype).repeat(-(-count // _PERIOD))[:count]
    return values.to(like.device).view(like.shape)


def _extreme(like: torch.Tensor, place: int) -> torch.Tensor:
    """From one number to the next the sign changes; every other input has the opposite ones.

    So what is multiplied element by element and summed, as queries and keys are, comes out far below zero.
    """
    values = _spread(5e3, 2e4, like, place).flatten()
    values[1 - place % 2 :: 2] *= -1
    return values.view(like.shape)


PROBES: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "tiny": lambda recorded, _: recorded * 1e-4,
    "large": lambda recorded, _: recorded * 1e2,
    "zero": lambda recorded, _: torch.zeros_like(recorded),
    "extreme": _extreme,
    "wide": lambda recorded, place: _spread(-6.0, 6.0, recorded, place),
    "negative": lambda recorded, place: _spread(-6.0, -3.0, recorded, place),
}
"""By name, what each makes of a recorded input, and of its place among those that are changed: the same on any machine."""


def is_probed(module: torch.nn.Module) -> bool:
    """Whether a module of the reference is fed probes: one without children, whose state can be put back."""
    return not (module._modules or isinstance(module, torch.jit.ScriptModule) or communicates(module))  # noqa: SLF001


def communicates(module: torch.nn.Module) -> bool:
    """Whether a module waits for other processes, which call it once and not once more for each probe."""
    several = (
        torch.distributed.is_available()
        and torch.distributed.is_initialized()
        and torch.distributed.get_world_size() > 1
    )
    return several and any(isinstance(one, torch.nn.SyncBatchNorm) for one in module.modules())


def is_changed(tensor: torch.Tensor) -> bool:
    """Whether a probe takes the place of an input: ids, masks and counts, in floating point too, stay as they came."""
    if tensor.dtype not in _DTYPES or not tensor.numel() or tensor.layout is not torch.strided:
        return False
    return not bool((tensor == tensor.round()).all())


def probe_inputs(name: str, recorded: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a probe feeds in the place of recorded inputs, by their leaves; tensors of their own, contiguous."""
    make, changed = PROBES[name], [leaf for leaf, tensor in recorded.items() if is_changed(tensor)]
    return {
        leaf: make(tensor.detach().contiguous(), changed.index(leaf))
        if leaf in changed
        else tensor.detach().clone().contiguous()
        for leaf, tensor in recorded.items()
    }


def fed(call: Entering, given: Mapping[str, torch.Tensor], streams: Streams, name: str) -> dict[str, torch.Tensor]:
    """The floating outputs, by leaf, of a module fed ``given`` in the place of what it is called with.

    In the mode and under the autocast of the call, without a gradient, drawing from a stream of its own. Raises what the
    module raises.
    """
    values = {key: rebuilt(value, dict(given), prefix) for key, prefix, value in call.numbered}
    args = tuple(values.get(place, value) for place, value in enumerate(call.args))
    kwargs = {key: values.get(key, value) for key, value in call.kwargs.items()}
    with ExitStack() as around:
        around.enter_context(torch.no_grad())
        around.enter_context(_autocast_uncached())
        around.enter_context(_untouched(call.module))
        around.enter_context(streams.aside(f"probe {call.path}#{call.index}|{name}"))
        output: Any = call.module(*args, **kwargs)
        found = {"" if tensor is output else leaf: tensor for leaf, tensor in leaves(output, "out")}
    return {leaf: one.detach() for leaf, one in found.items() if one is not None and one.dtype in _DTYPES}


@contextmanager
def _autocast_uncached() -> Iterator[None]:
    """What autocast casts of a parameter without a gradient must not be there for the step's own call."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


@contextmanager
def _untouched(module: torch.nn.Module) -> Iterator[None]:
    """Inside, buffers and frozen parameters are copies; then these and all attributes are what they were."""
    with ExitStack() as around:
        for one in module.modules():
            around.enter_context(_kept(one))
        for one in module.modules():
            _copy_state(one)
        yield


@contextmanager
def _kept(module: torch.nn.Module) -> Iterator[None]:
    attributes = dict(vars(module))
    held = [(value, type(value)(value)) for value in attributes.values() if type(value) in _CONTAINERS]
    try:
        yield
    finally:
        if vars(module).keys() != attributes.keys() or any(vars(module)[k] is not v for k, v in attributes.items()):
            vars(module).clear()
            vars(module).update(attributes)
        for value, before in held:
            if not _same(value, before):
                value.clear()
                (value.extend if isinstance(value, list) else value.update)(before)


def _same(one: Any, other: Any) -> bool:
    """Whether two containers hold the same objects."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(value is other[key] for key, value in one.items())
    return list(map(id, one)) == list(map(id, other))


def _copy_state(module: torch.nn.Module) -> None:
    for name, buffer in module._buffers.items():  # noqa: SLF001
        if buffer is not None:
            module._buffers[name] = buffer.clone()  # noqa: SLF001
    for name, parameter in module._parameters.items():  # noqa: SLF001
        if parameter is not None and not parameter.requires_grad:
            module._parameters[name] = torch.nn.Parameter(parameter.clone(), requires_grad=False)  # noqa: SLF001
