"""The names of a model's modules and tensors, as goldens have them: wrappers stripped, tied tensors once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from pytest_parity.contract.wrappers import strip_wrappers, wrapped_child
from pytest_parity.site import ROOT

__all__ = ["Aliases", "module_aliases", "named_tensors"]

Aliases = dict[torch.nn.Module, list[str]]

_COMPILED = "_orig_mod"


def module_aliases(model: torch.nn.Module) -> tuple[Aliases, frozenset[str]]:
    """Give every module that can be observed its paths, and the paths inside compiled regions, where no hook fires.

    A wrapper and what it wraps have one path. The wrapped module stands for it; a compiled one's wrapper does, since
    the call into the compiled region is the last that is seen.
    """
    aliases: Aliases = {}
    compiled: set[str] = set()
    regions: list[str] = []
    for raw, module in model.named_modules(remove_duplicate=False):
        path = strip_wrappers(raw, model) or ROOT
        inside = any(raw.startswith(prefix) for prefix in regions)
        if not inside and _is_closed(module):
            regions.append(f"{raw}." if raw else "")
            inside = True
        child = wrapped_child(module)
        if child == _COMPILED and not inside:
            regions.append(f"{raw}.{child}." if raw else f"{child}.")
        elif child is not None or (not inside and raw.rpartition(".")[2] == _COMPILED):
            continue
        if inside:
            compiled.add(path)
        if isinstance(module, torch.jit.ScriptModule):
            continue
        aliases.setdefault(module, []).append(path)
    return aliases, frozenset(compiled)


def _is_closed(module: torch.nn.Module) -> bool:
    """Whether no hook fires in a module: it was compiled in place, or scripted."""
    return isinstance(module, torch.jit.ScriptModule) or module._compiled_call_impl is not None  # noqa: SLF001


def named_tensors(
    model: torch.nn.Module, name: Callable[[str], str] = str, known: frozenset[str] | None = None
) -> dict[str, torch.Tensor]:
    """Parameters, then persistent buffers, by ``name`` of their path; a tied tensor once.

    Of a tied tensor's names the first that is in ``known`` is taken (the golden's), else the first.
    """
    names: dict[int, list[str]] = {}
    tensors: dict[int, torch.Tensor] = {}
    for path, tensor in _all_tensors(model):
        tensors[id(tensor)] = tensor
        names.setdefault(id(tensor), []).append(name(path))
    return {
        next((one for one in names[key] if known is not None and one in known), names[key][0]): tensor
        for key, tensor in tensors.items()
    }


def _all_tensors(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for raw, parameter in model.named_parameters(remove_duplicate=False):
        yield strip_wrappers(raw, model), parameter
    for raw, module in model.named_modules(remove_duplicate=False):
        prefix = f"{raw}." if raw else ""
        for key, buffer in module._buffers.items():  # noqa: SLF001  the only place that tells which persist
            if buffer is not None and key not in module._non_persistent_buffers_set:  # noqa: SLF001
                yield strip_wrappers(prefix + key, model), buffer
