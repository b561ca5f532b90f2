"""Fusing: queries, keys and values as one product, and what the reference's weights, state and gradients are then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_parity.names import concat
from pytest_parity.site import Kind, Site

__all__ = ["NAMES", "calls_left_out", "fused_optimizer_state", "fused_state", "unfused"]

_PARTS = ("query", "key", "value")
_WHERE = "blocks.{i}.attention"
NAMES = {f"{_WHERE}.qkv": concat(*(f"{_WHERE}.{part}" for part in _PARTS))}
"""The candidate's names."""
_OF_CALLS = ("input", "activation", "activation_gradient")


def calls_left_out(kinds: Iterable[str] | None) -> list[str]:
    """What the reference calls and the candidate does not, as patterns of sites; ``None``: of the default kinds."""
    observed = _OF_CALLS[:2] if kinds is None else [kind for kind in _OF_CALLS if kind in kinds]
    return [f"{kind}/blocks.*.attention.{part}*" for part in _PARTS for kind in observed]


def _names(fused: str) -> list[str]:
    return [fused.replace(".qkv.", f".{part}.") for part in _PARTS]


def fused_state(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A model's state, of the reference's: (out, in) matrices one below the other."""
    return {
        name: torch.cat([state[part] for part in _names(name)]) if ".qkv." in name else state[name]
        for name in model.state_dict()
    }


def fused_optimizer_state(state: dict[str, Any], model: nn.Module, names: list[str]) -> dict[str, Any]:
    """An optimizer's state of all a model's parameters, of the reference's, whose parameters are ``names``."""
    held = {name: state["state"][place] for place, name in enumerate(names) if place in state["state"]}
    own = [name for name, _ in model.named_parameters()]
    groups = [{**group, "params": list(range(len(own)))} for group in state["param_groups"]]
    if not held:
        return {"state": {}, "param_groups": groups}
    made = {}
    for place, name in enumerate(own):
        parts = [held[part] for part in (_names(name) if ".qkv." in name else [name])]
        made[place] = {
            key: torch.cat([part[key] for part in parts]) if len(parts) > 1 and value.dim() else value
            for key, value in parts[0].items()
        }
    return {"state": made, "param_groups": groups}


def unfused(site: Site, value: Tensor) -> Iterator[tuple[Site, Tensor]]:
    """A candidate's value at the reference's sites."""
    if ".qkv." not in f"{site.path}." or site.kind in {Kind.INPUT, Kind.ACTIVATION}:
        yield site, value
        return
    for name, part in zip(_names(site.path), value.chunk(len(_PARTS)), strict=True):
        yield replace(site, path=name), part
