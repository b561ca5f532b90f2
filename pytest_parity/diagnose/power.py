"""Power: which faults to try on a model, so that each kind of module at each depth has each fault that it can have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product, zip_longest
from typing import Any, TypeVar

import torch

from pytest_parity.capture.tree import leaves
from pytest_parity.diagnose.faults import CATALOGUE, Planted, Recipe, Seen, equally_shaped, modules_of
from pytest_parity.diagnose.within import Undo
from pytest_parity.site import ROOT

__all__ = ["Plan", "Survey", "place_of", "planned"]

T = TypeVar("T")

_SWAP = "layers_swapped"
_Group = tuple[str, int]
"""A module's class and its depth in the tree."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults to try, those left out for the limit, and the modules that no fault can be put in."""

    faults: tuple[Planted, ...]
    left_out: tuple[Planted, ...] = ()
    unreachable: tuple[str, ...] = ()


class Survey:
    """Watches a run without a fault: which modules are called, with what, and what they return. Changes nothing."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.model: torch.nn.Module | None = None

    def put(self, model: torch.nn.Module) -> Undo:
        """Watch a model until the result is called."""
        self.model = model
        names: dict[torch.nn.Module, list[str]] = {}
        for path, module in modules_of(model).items():
            names.setdefault(module, []).append(path)
        handles = [
            handle
            for module, paths in names.items()
            for handle in (
                module.register_forward_pre_hook(self._entered(paths), with_kwargs=True),
                module.register_forward_hook(self._left(paths)),
            )
        ]

        def undo() -> None:
            for handle in handles:
                handle.remove()

        return undo

    def _entered(self, paths: list[str]) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, args: Any, kwargs: Any) -> None:
            masked = any(one is not None and one.dtype is torch.bool for _, one in leaves([*args, *kwargs.values()]))
            self._note(paths, called=True, masked=masked)

        return hook

    def _left(self, paths: list[str]) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, _args: Any, output: Any) -> None:
            found = [one for _, one in leaves(output) if one is not None and one.is_floating_point()]
            differentiable = any(one.requires_grad for one in found)
            self._note(paths, returns=frozenset(one.dtype for one in found), differentiable=differentiable)

        return hook

    def _note(self, paths: list[str], **found: Any) -> None:
        for path in paths:
            seen = self.seen.get(path, Seen())
            more = {name: getattr(seen, name) | value for name, value in found.items()}
            self.seen[path] = replace(seen, **more)


def planned(
    model: torch.nn.Module,
    seen: Mapping[str, Seen],
    *,
    limit: int | None = None,
    without: frozenset[str] = frozenset(),
) -> Plan:
    """One fault for each fault of the catalogue, each of its sizes, each class of module and depth at which it can be.

    Which of several modules of a class at a depth takes it is drawn by name: another one for each fault, the same
    in every run. Where there are more than ``limit``, kinds of faults take turns, so that none is left out whole.
    Modules in ``without`` take none.
    """
    reach = _Reach.of(model, seen, without)
    by_recipe = [list(reach.of_recipe(name, recipe)) for name, recipe in CATALOGUE.items()]
    turns = [one for turn in zip_longest(*by_recipe) for one in turn if one is not None]
    holding = (path for path, module in reach.modules.items() if any(True for _ in module.parameters(recurse=False)))
    cut = len(turns) if limit is None else limit
    rank = {fault: place for place, fault in enumerate(one for faults in by_recipe for one in faults)}
    tried = sorted(turns[:cut], key=rank.__getitem__)
    return Plan(tuple(tried), tuple(turns[cut:]), tuple(path for path in holding if not reach.hosts[path]))


@dataclass(frozen=True, slots=True)
class _Reach:
    """A model's modules, by group too, and during whose calls each can be reached: its own, or those of one above it."""

    modules: Mapping[str, torch.nn.Module]
    groups: Mapping[_Group, list[str]]
    seen: Mapping[str, Seen]
    hosts: Mapping[str, str]

    @classmethod
    def of(cls, model: torch.nn.Module, seen: Mapping[str, Seen], without: frozenset[str]) -> _Reach:
        modules = {path: module for path, module in modules_of(model).items() if path not in without}
        return cls(
            modules,
            _groups(modules),
            {path: seen.get(path, Seen()) for path in modules},
            {path: _host(path, seen) for path in modules},
        )

    def of_recipe(self, name: str, recipe: Recipe) -> Iterator[Planted]:
        for size, (group, paths) in product(recipe.sizes, self.groups.items()):
            reached = [path for path in paths if (self.hosts[path] if recipe.held else self.seen[path].called)]
            able = [path for path in reached if recipe.applies(self.modules[path], self.seen[path])]
            key = f"{name}|{size}|{group}"
            if name == _SWAP:
                pair = _drawn(list(_pairs(able, self.modules)), key)
                if pair is not None:
                    yield Planted(name, pair[0], other=pair[1])
                continue
            path = _drawn(able, key)
            if path is not None:
                yield Planted(name, path, host=self.hosts[path] if self.hosts[path] != path else "", size=size)


def _groups(modules: Mapping[str, torch.nn.Module]) -> dict[_Group, list[str]]:
    """Modules by class and depth, each object once."""
    groups: dict[_Group, list[str]] = {}
    met: set[int] = set()
    for path, module in modules.items():
        if id(module) not in met:
            met.add(id(module))
            groups.setdefault((type(module).__name__, depth_of(path)), []).append(path)
    return groups


def depth_of(path: str) -> int:
    """How far below the root a module is."""
    return 0 if path == ROOT else path.count(".") + 1


def place_of(model: torch.nn.Module, planted: Planted) -> str:
    """``Linear at depth 3``."""
    return f"{type(modules_of(model)[planted.path]).__name__} at depth {depth_of(planted.path)}"


def _host(path: str, seen: Mapping[str, Seen]) -> str:
    """The module itself where it is called, else the nearest above it that is; empty where there is none."""
    while True:
        if seen.get(path, Seen()).called:
            return path
        if path == ROOT:
            return ""
        path = path.rpartition(".")[0] or ROOT


def _pairs(paths: list[str], modules: Mapping[str, torch.nn.Module]) -> Iterator[tuple[str, str]]:
    """Neighbours of one class and depth whose parameters have the same shapes."""
    for place, path in enumerate(paths):
        twin = next((other for other in paths[place + 1 :] if equally_shaped(modules[path], modules[other])), None)
        if twin is not None:
            yield path, twin


def _drawn(choices: Iterable[T], key: str) -> T | None:
    choices = list(choices)
    if not choices:
        return None
    return choices[int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little") % len(choices)]
