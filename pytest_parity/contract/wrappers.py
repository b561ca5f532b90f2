"""Modules that wrap another one and add a component to its name without being a part of the model."""

from __future__ import annotations

import torch

__all__ = ["strip_wrappers", "wrapped_child"]

_MARKED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_PARALLEL = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
_PARALLEL_CHILD = "module"


def wrapped_child(module: torch.nn.Module) -> str | None:
    """The name under which a wrapper holds what it wraps; None for every other module."""
    children = module._modules  # noqa: SLF001 -- without the names of everything below
    if isinstance(module, _PARALLEL):
        return _PARALLEL_CHILD
    return next((name for name in _MARKED if name in children), None)


def strip_wrappers(name: str, model: torch.nn.Module | None = None) -> str:
    """A dotted name without the components that wrappers add, anywhere in it.

    With the model that the name belongs to, ``module`` is dropped only below a data-parallel wrapper, so that a
    model's own attribute of that name stays. Without one (the keys of a stored state) every ``module`` goes.
    """
    parts = name.split(".")
    if model is None:
        return ".".join(part for part in parts if part not in _MARKED and part != _PARALLEL_CHILD)
    kept = []
    at: torch.nn.Module | None = model
    for part in parts:
        if at is None or part != wrapped_child(at):
            kept.append(part)
        child = getattr(at, part, None)  # the last part may be a tensor's
        at = child if isinstance(child, torch.nn.Module) else None
    return ".".join(kept)
