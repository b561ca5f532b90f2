"""Faults: the mistakes of a rewrite, as data, and how each is put into a model and taken out again.

``put(model, planted)`` returns what takes it out; parameters, buffers, hooks and attributes are then what they were,
the same objects in the same order. Nothing here knows of a test: the power test and the benchmarks share the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from pytest_parity.capture.names import module_aliases
from pytest_parity.diagnose.within import Change, Undo, hand_in, hand_on, replaced_within
from pytest_parity.errors import UsageError

__all__ = ["CATALOGUE", "Planted", "Recipe", "Seen", "equally_shaped", "modules_of", "put"]

_EPS_TIMES = 1000.0
_HALF = {torch.float32: torch.float16, torch.float64: torch.float16, torch.float16: torch.bfloat16}
"""What each dtype makes the round trip through."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a module's calls in a run without a fault."""

    called: bool = False
    masked: bool = False
    """A boolean tensor was among its inputs."""
    returns: frozenset[torch.dtype] = frozenset()
    """The floating dtypes of what it returned."""
    differentiable: bool = False
    """A gradient could flow through what it returned."""


@dataclass(frozen=True, slots=True)
class Planted:
    """One fault in one module of one model; plain data.

    ``path`` is the module's dotted name (wrappers stripped, ``(model)`` for the root), ``host`` the module during whose
    calls the fault holds where that is another one, ``other`` the one that it is swapped with, ``size`` a factor.
    """

    name: str
    path: str
    host: str = ""
    other: str = ""
    size: float = 1.0

    @property
    def words(self) -> str:
        """``weight times 1.01``."""
        return CATALOGUE[self.name].words.format(size=f"{self.size:g}", other=self.other)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one fault is made. ``applies`` decides from a module and what was seen of its calls whether it can be."""

    words: str
    applies: Callable[[torch.nn.Module, Seen], bool]
    make: Callable[[torch.nn.Module, torch.nn.Module, torch.nn.Module | None, float], Undo]
    """From the module, its host, the other one and the size."""
    sizes: tuple[float, ...] = (1.0,)
    """The sizes that the power test tries."""
    held: bool = field(default=False, kw_only=True)
    """It changes a value that the module holds: a module that calls itself nowhere has it during its parent's calls."""


def modules_of(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Every module in which a hook fires, by its names; those inside compiled regions are left out."""
    aliases, compiled = module_aliases(model)
    return {path: module for module, paths in aliases.items() for path in paths if path not in compiled}


def put(model: torch.nn.Module, planted: Planted) -> Undo:
    """Put a fault into a model; returns what takes it out again.

    Raises ``UsageError`` where the catalogue has no such fault, or the model no such module.
    """
    recipe = CATALOGUE.get(planted.name)
    if recipe is None:
        raise UsageError(f"there is no fault {planted.name!r}; there are {', '.join(CATALOGUE)}")
    modules = modules_of(model)
    module = _found(modules, planted.path)
    host = _found(modules, planted.host) if planted.host else module
    return recipe.make(module, host, _found(modules, planted.other) if planted.other else None, planted.size)


def _found(modules: Mapping[str, torch.nn.Module], path: str) -> torch.nn.Module:
    if path not in modules:
        raise UsageError(f"the model has no module {path!r} that a fault could be put in")
    return modules[path]


# what a module holds


def _floating(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 0


def _tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Its own floating parameters, and a weight that a pre-hook computes from them (weight norm)."""
    computed = {"weight": module.__dict__["weight"]} if "weight" in module.__dict__ else {}
    held: dict[str, Any] = {**module._parameters, **computed}  # noqa: SLF001  what the module reads is replaced there
    return {name: value for name, value in held.items() if _floating(value)}


def _weight(module: torch.nn.Module) -> str | None:
    names = [name for name in _tensors(module) if "bias" not in name]
    return "weight" if "weight" in names else next(iter(names), None)


def _bias(module: torch.nn.Module) -> str | None:
    return next((name for name in _tensors(module) if "bias" in name), None)


def _eps(module: torch.nn.Module) -> str | None:
    held = ((name, value) for name, value in module.__dict__.items() if "eps" in name.lower())
    return next((name for name, value in held if isinstance(value, float) and value > 0), None)


def _drops(module: torch.nn.Module) -> bool:
    """Whether it drops out when it trains: a dropout, an attention, a recurrent layer."""
    name = "p" if isinstance(module, torch.nn.modules.dropout._DropoutNd) else "dropout"  # noqa: SLF001
    rate = module.__dict__.get(name)
    return isinstance(rate, (int, float)) and rate > 0


def _changes(module: torch.nn.Module, name: str, value: Any) -> Iterator[Change]:
    """Where a module reads a value that it holds: also in the list that a recurrent layer keeps of its weights."""
    computed = name in module.__dict__
    yield (module.__dict__ if computed else module._parameters), name, value  # noqa: SLF001
    flat = module.__dict__.get("_flat_weights_names", ())
    if name in flat:
        weights = list(module.__dict__["_flat_weights"])
        weights[flat.index(name)] = value
        yield module.__dict__, "_flat_weights", weights
        for further in {
            "_flat_weight_refs"
        } & module.__dict__.keys():  # made anew in the call, as the weights are others
            yield module.__dict__, further, list(module.__dict__[further])


def _held(module: torch.nn.Module, name: str) -> torch.Tensor:
    computed = module.__dict__.get(name)
    held: Any = module._parameters[name] if computed is None else computed  # noqa: SLF001
    return torch.as_tensor(held)


# the faults

_Find = Callable[[torch.nn.Module], "str | None"]
_Apply = Callable[[torch.Tensor, float], torch.Tensor]


def _tensor_fault(find: _Find, apply: _Apply) -> Callable[..., Undo]:
    def make(module: torch.nn.Module, host: torch.nn.Module, _other: torch.nn.Module | None, size: float) -> Undo:
        def changes() -> Iterator[Change]:
            name = find(module)
            if name is not None:
                yield from _changes(module, name, apply(_held(module, name), size))

        return replaced_within(host, changes)

    return make


def _rolled(weight: torch.Tensor, _size: float) -> torch.Tensor:
    dim = next((place for place, length in enumerate(weight.shape) if length > 1), 0)
    return weight.roll(1, dim)


def _rolls(module: torch.nn.Module, _seen: Seen) -> bool:
    name = _weight(module)
    return name is not None and any(length > 1 for length in _held(module, name).shape)


def _square(module: torch.nn.Module, _seen: Seen) -> bool:
    name = _weight(module)
    shape = () if name is None else tuple(_held(module, name).shape)
    return len(shape) >= 2 and shape[-1] == shape[-2] > 1  # noqa: PLR2004  a matrix


def _attribute_fault(
    find: _Find, value: Callable[[Any, float], Any]
) -> Callable[[torch.nn.Module, torch.nn.Module, torch.nn.Module | None, float], Undo]:
    def make(module: torch.nn.Module, host: torch.nn.Module, _other: torch.nn.Module | None, size: float) -> Undo:
        name = find(module)
        assert name is not None
        held = module.__dict__
        return replaced_within(host, lambda: [(held, name, value(held[name], size))])

    return make


class _Scaled(torch.autograd.Function):
    """The value itself forward, its gradient times a factor backward."""

    @staticmethod
    def forward(context: Any, value: torch.Tensor, size: float) -> torch.Tensor:
        context.size = size
        return value.clone()  # a view, a module behind it could not change in place

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * context.size, None


def _scaled_gradient(value: torch.Tensor, size: float) -> torch.Tensor:
    if not value.requires_grad or not value.is_floating_point():
        return value
    scaled: torch.Tensor = _Scaled.apply(value, size)  # type: ignore[no-untyped-call]
    return scaled


def _scaled_output(value: torch.Tensor, size: float) -> torch.Tensor:
    return value * size if value.is_floating_point() else value


def _half(value: torch.Tensor, _size: float) -> torch.Tensor:
    half = _HALF.get(value.dtype)
    return value if half is None else value.to(half).to(value.dtype)


def _inverted(value: torch.Tensor, _size: float) -> torch.Tensor:
    return ~value if value.dtype is torch.bool else value


def _on(hook: Callable[[torch.nn.Module, Callable[[torch.Tensor], torch.Tensor]], Undo], apply: _Apply) -> Any:
    def make(module: torch.nn.Module, _host: torch.nn.Module, _other: torch.nn.Module | None, size: float) -> Undo:
        return hook(module, lambda value: apply(value, size))

    return make


def equally_shaped(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two modules hold parameters of the same names and shapes, and not the same ones."""
    ours, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    same = {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    return bool(ours) and same and not {id(value) for value in ours.values()} & {id(value) for value in theirs.values()}


def _swapped(module: torch.nn.Module, _host: torch.nn.Module, other: torch.nn.Module | None, _size: float) -> Undo:
    assert other is not None
    undos = [
        replaced_within(module, lambda: _parameters_of(module, other)),
        replaced_within(other, lambda: _parameters_of(other, module)),
    ]

    def undo() -> None:
        for one in undos:
            one()

    return undo


def _parameters_of(module: torch.nn.Module, other: torch.nn.Module) -> Iterable[Change]:
    theirs = dict(other.named_modules())
    for path, one in module.named_modules():
        twin = theirs.get(path)
        for name, parameter in one._parameters.items():  # noqa: SLF001
            if parameter is not None and twin is not None:
                yield from _changes(one, name, twin._parameters[name])  # noqa: SLF001


def _has(find: _Find) -> Callable[[torch.nn.Module, Seen], bool]:
    return lambda module, _seen: find(module) is not None


CATALOGUE: dict[str, Recipe] = {
    "weight_scaled": Recipe(
        "weight times {size}",
        _has(_weight),
        _tensor_fault(_weight, lambda weight, size: weight * size),
        sizes=(1.01, 1.0001),
        held=True,
    ),
    "weight_rolled": Recipe("weight rolled", _rolls, _tensor_fault(_weight, _rolled), held=True),
    "weight_transposed": Recipe(
        "weight transposed",
        _square,
        _tensor_fault(_weight, lambda weight, _size: weight.transpose(-1, -2).contiguous()),
        held=True,
    ),
    "bias_dropped": Recipe(
        "bias dropped", _has(_bias), _tensor_fault(_bias, lambda bias, _size: torch.zeros_like(bias)), held=True
    ),
    "layers_swapped": Recipe("swapped with {other}", lambda _module, seen: seen.called, _swapped),
    "eps": Recipe(
        "eps times {size}", _has(_eps), _attribute_fault(_eps, lambda eps, size: eps * size), sizes=(_EPS_TIMES,)
    ),
    "output_scaled": Recipe(
        "output times {size}", lambda _, seen: bool(seen.returns), _on(hand_on, _scaled_output), sizes=(1.01,)
    ),
    "gradient_scaled": Recipe(
        "gradient times {size}", lambda _, seen: seen.differentiable, _on(hand_on, _scaled_gradient), sizes=(1.01,)
    ),
    "dropout_toggled": Recipe(
        "dropout toggled",
        lambda module, _seen: _drops(module),
        _attribute_fault(lambda _module: "training", lambda training, _size: not training),
    ),
    "mask_inverted": Recipe("mask inverted", lambda _, seen: seen.masked, _on(hand_in, _inverted)),
    "half_precision": Recipe(
        "output in half precision", lambda _, seen: not seen.returns.isdisjoint(_HALF), _on(hand_on, _half)
    ),
}
"""Every fault that there is, by name, in the order in which the power test tries them."""
