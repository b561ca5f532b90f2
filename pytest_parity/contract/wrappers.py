"""Modules that wrap another one and add a component to its name without being a part of the model."""

from __future__ import annotations

from collections.abc import Iterable

import torch

__all__ = ["stored_names", "strip_wrappers", "wrapped_child"]

_MARKED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
_PARALLEL = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
_PARALLEL_CHILD = "module"


def wrapped_child(module: torch.nn.Module) -> str | None:
    """The name under which a wrapper holds what it wraps; None for every other module."""
    children = module._modules  # noqa: SLF001 -- without the names of everything below
    if isinstance(module, _PARALLEL):
        return _PARALLEL_CHILD
    return next((name for name in _MARKED if name in children), None)


def strip_wrappers(name: str, model: torch.nn.Module) -> str:
    """A dotted name of a model without the components that wrappers add, anywhere in it.

    ``module`` is dropped only below a data-parallel wrapper, so that a model's own attribute of that name stays.
    """
    kept = []
    at: torch.nn.Module | None = model
    for part in name.split("."):
        if at is None or part != wrapped_child(at):
            kept.append(part)
        child = getattr(at, part, None)  # the last part may be a tensor's
        at = child if isinstance(child, torch.nn.Module) else None
    return ".".join(kept)


def stored_names(names: Iterable[str]) -> dict[str, str]:
    """The names of a stored state without what wrappers add, by name.

    There is no model to tell a data-parallel wrapper's ``module`` from one of the model's own: it is the wrapper's where
    all names begin with it.
    """
    found = {name: [part for part in name.split(".") if part not in _MARKED] for name in names}
    while found and all(len(parts) > 1 and parts[0] == _PARALLEL_CHILD for parts in found.values()):
        found = {name: parts[1:] for name, parts in found.items()}
    return {name: ".".join(parts) for name, parts in found.items()}
