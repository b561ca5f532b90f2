"""The model of a script: the outermost module that holds its optimizer's parameters, or one that is named."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from pytest_parity.errors import UsageError

__all__ = ["named_root", "not_found", "parameters", "root_of", "unobserved"]


def root_of(optimizer: torch.optim.Optimizer, called: torch.nn.Module) -> torch.nn.Module | None:
    """The outermost model that holds an optimizer's parameters; raises ``UsageError`` where there are several."""
    wanted = set(map(id, parameters(optimizer)))
    modules = [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]
    holding = [one for one in modules if wanted & _held(one)]
    inner = {id(child) for one in holding for child in one.modules() if child is not one}
    roots = [one for one in holding if id(one) not in inner and any(child is called for child in one.modules())]
    roots = [one for one in roots if wanted <= _held(one)] or roots
    others = [one for one in holding if id(one) not in inner and all(one is not root for root in roots)]
    if roots and others and not wanted <= _held(roots[0]):
        roots += others
    if len(roots) > 1:
        raise UsageError(
            f"{len(roots)} models hold parameters of the script's first optimizer, a {type(optimizer).__name__}: "
            f"{', '.join(type(one).__name__ for one in roots)}; name one: --model MODULE:ATTRIBUTE, as in --model __main__:model"
        )
    return roots[0] if roots else None


def named_root(name: str) -> torch.nn.Module | None:
    """The script's model by name, once it is there; raises ``UsageError`` where the name is something else's."""
    module, _, attribute = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is not None and not isinstance(found, torch.nn.Module):
        raise UsageError(f"--model {name}: it is a {type(found).__name__}, and a torch.nn.Module is needed")
    return found


def not_found(name: str, optimizer: str) -> str:
    """Why no model was found, for people; ``name`` is the one asked for, if any, ``optimizer`` the first one's class."""
    if name:
        module, _, _ = name.partition(":")
        if module not in sys.modules:
            there = "the script has imported no module of that name; what python runs is __main__"
        else:
            models = [key for key, value in vars(sys.modules[module]).items() if isinstance(value, torch.nn.Module)]
            there = f"among the names of {module}, models are: {', '.join(models) or 'none'}"
        return f"--model {name} was not called with gradients on, or is not there: {there}"
    return (
        f"the script has an optimizer ({optimizer}), and called no torch.nn.Module that holds its parameters with gradients on; "
        "name the model: --model MODULE:ATTRIBUTE, as in --model __main__:model"
    )


def unobserved(root: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> str:
    """What is trained besides the model, and not seen; empty where nothing is."""
    held = _held(root)
    others = [one for one in optimizers if not any(id(parameter) in held for parameter in parameters(one))]
    if not others:
        return ""
    names = ", ".join(type(one).__name__ for one in others)
    return (
        f"not observed: what {names} trains, which is no part of {type(root).__name__}, the model of the first "
        "optimizer; --model names another, or a module that holds both"
    )


def parameters(optimizer: torch.optim.Optimizer) -> Iterable[torch.Tensor]:
    """What an optimizer trains."""
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def _held(module: torch.nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters()}
