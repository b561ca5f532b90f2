"""Faults: the library's catalogue, and what else a rewrite gets wrong; drawn from every place where one can be."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.verdicts.attention import SelfAttention
from benchmarks.verdicts.workloads import Candidate, Case, Way
from pytest_parity.diagnose.faults import CATALOGUE, Planted, Seen, equally_shaped, modules_of, put
from pytest_parity.diagnose.power import Survey
from pytest_parity.diagnose.within import hand_in, hand_on

__all__ = ["OPTIMIZER", "Fault", "drawn", "places"]

OPTIMIZER = "optimizer"
"""The path of what is wrong with the optimizer."""

LAST = "head"
"""Detached, nothing would be left to train, and backward raises."""

SCALED = {"weight_scaled", "output_scaled", "gradient_scaled", "attention_scale", "rate_scaled"}
SIZES = {
    "float32": (1.1, 1.01, 1.001, 1.0001),
    "bfloat16": (1.3, 1.1, 1.03, 1.01),
    "float16": (1.1, 1.03, 1.01, 1.003),
    "autocast": (1.3, 1.1, 1.03, 1.01),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: of the catalogue's or ``OWN``, in a module, of a size."""

    name: str
    path: str
    other: str = ""
    size: float = 1.0

    def __str__(self) -> str:
        size = f" {self.size:g}" if self.size != 1 else ""
        return f"{self.name}{size} {self.path}{f' {self.other}' if self.other else ''}"

    def put(self, candidate: Candidate) -> None:
        """Put it into a candidate that was built for it."""
        model, optimizer = candidate.model, candidate.optimizer
        if self.path == OPTIMIZER:
            OF_OPTIMIZERS[type(optimizer).__name__][self.name](optimizer, self.size)
        elif self.name in OWN:
            OWN[self.name].put(model.get_submodule(self.path), self.size)
        else:
            put(model, Planted(self.name, self.path, other=self.other, size=self.size))


@dataclass(frozen=True, slots=True)
class Own:
    """A fault that the catalogue has not: ``put`` takes the module, or the optimizer."""

    applies: Callable[[nn.Module], bool]
    put: Callable[[Any, float], object]


def _scale(module: SelfAttention, size: float) -> None:
    module.scale *= size


def _sees_the_next(module: SelfAttention, _size: float) -> None:
    def seen(keep: Tensor) -> Tensor:
        steps = keep.shape[1]
        return keep[:, None, None, :] & torch.ones(steps, steps, dtype=torch.bool).tril(1)

    module.seen = seen  # type: ignore[method-assign]


def _sees_padding(module: SelfAttention, _size: float) -> None:
    seen = module.seen
    module.seen = lambda keep: seen(torch.ones_like(keep))  # type: ignore[method-assign]


def _tanh(module: nn.GELU, _size: float) -> None:
    module.register_forward_hook(lambda _, args, __: functional.gelu(args[0], approximate="tanh"), prepend=True)


def _unbiased(module: Any, _size: float) -> None:
    def hook(norm: Any, args: tuple[Tensor], output: Tensor) -> Tensor:
        grouped = isinstance(norm, _BatchNorm)
        count = args[0].numel() // args[0].shape[1] if grouped else args[0].shape[-1]
        bias = norm.bias.view([1, -1] + [1] * (output.dim() - 2)) if grouped else norm.bias
        unbiased: Tensor = (output - bias) * math.sqrt((count - 1) / count) + bias
        return unbiased

    module.register_forward_hook(hook, prepend=True)


def _momentum(module: Any, _size: float) -> None:
    module.momentum = 0.2


def _detached(module: nn.Module, _size: float) -> None:
    hand_on(module, lambda value: value.detach())


def _shifted(module: nn.Embedding, _size: float) -> None:
    hand_in(module, lambda tokens: (tokens + 1) % module.num_embeddings)


def _group(name: str, change: Callable[[Any, float], Any]) -> Callable[[optim.Optimizer, float], None]:
    def put_into(optimizer: optim.Optimizer, size: float) -> None:
        for group in optimizer.param_groups:
            group[name] = change(group[name], size)

    return put_into


def _is(*kinds: type[nn.Module]) -> Callable[[nn.Module], bool]:
    return lambda module: isinstance(module, kinds)


def _causal(module: nn.Module) -> bool:
    return isinstance(module, SelfAttention) and module.causal


OWN = {
    "attention_scale": Own(_is(SelfAttention), _scale),
    "mask_off_by_one": Own(_causal, _sees_the_next),
    "padding_seen": Own(_is(SelfAttention), _sees_padding),
    "tanh_gelu": Own(_is(nn.GELU), _tanh),
    "unbiased_variance": Own(_is(nn.LayerNorm, _BatchNorm), _unbiased),
    "batch_norm_momentum": Own(_is(_BatchNorm), _momentum),
    "detached": Own(_is(nn.Linear, nn.LayerNorm, _BatchNorm, nn.Embedding), _detached),
    "tokens_shifted": Own(_is(nn.Embedding), _shifted),
}
OF_OPTIMIZERS: dict[str, dict[str, Callable[[optim.Optimizer, float], None]]] = {
    "AdamW": {
        "rate_scaled": _group("lr", lambda rate, size: rate * size),
        "no_weight_decay": _group("weight_decay", lambda _, __: 0.0),
        "eps_of_optimizer": _group("eps", lambda eps, _: eps * 1000),
        "betas": _group("betas", lambda _, __: (0.9, 0.99)),
    },
    "Adam": {
        "rate_scaled": _group("lr", lambda rate, size: rate * size),
        "eps_of_optimizer": _group("eps", lambda eps, _: eps * 1000),
        "betas": _group("betas", lambda _, __: (0.9, 0.999)),
    },
    "SGD": {
        "rate_scaled": _group("lr", lambda rate, size: rate * size),
        "no_weight_decay": _group("weight_decay", lambda _, __: 0.0),
        "momentum": _group("momentum", lambda _, __: 0.95),
        "no_nesterov": _group("nesterov", lambda _, __: False),
    },
}


def places(case: Case) -> dict[str, list[Fault]]:
    """Every fault that there is in a case's reference, of size 1, by name: in order of modules."""
    way = Way()
    model = case.model(way)
    optimizer = case.optimizer(model, way)
    survey = Survey()
    undo = survey.put(model)
    case.step(model, optimizer, case.batches()[0], way)
    undo()
    found: dict[str, list[Fault]] = {}
    for one in _everywhere(model, survey.seen, type(optimizer).__name__):
        found.setdefault(one.name, []).append(one)
    return found


def _everywhere(model: nn.Module, seen: dict[str, Seen], optimizer: str) -> Iterator[Fault]:
    modules = modules_of(model)
    for path, module in modules.items():
        for name, recipe in CATALOGUE.items():
            if name == "layers_swapped":
                for other, twin in modules.items():
                    if path < other and type(module) is type(twin) and equally_shaped(module, twin):
                        yield Fault(name, path, other)
            elif recipe.applies(module, seen.get(path, Seen())) and seen.get(path, Seen()).called:
                yield Fault(name, path, size=recipe.sizes[0])
        for name, own in OWN.items():
            if own.applies(module) and not (name == "detached" and path == LAST):
                yield Fault(name, path)
    for name in OF_OPTIMIZERS[optimizer]:
        yield Fault(name, OPTIMIZER)


def drawn(case: Case, rng: random.Random, count: int) -> list[Fault]:
    """``count`` different faults: a name, then a place, then a size, each as likely as its like."""
    there, chosen = places(case), dict[Fault, None]()
    names = sorted(there)
    for _ in range(100 * count):
        if len(chosen) == count:
            break
        one = rng.choice(there[rng.choice(names)])
        if one.name in SCALED:
            one = Fault(one.name, one.path, one.other, rng.choice(SIZES[case.precision]))
        chosen.setdefault(one)
    return list(chosen)
