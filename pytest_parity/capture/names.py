"""The names of a model's modules and tensors, as goldens have them: wrappers stripped, tied tensors once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from pytest_parity.contract.wrappers import strip_wrappers, wrapped_child
from pytest_parity.site import ROOT

__all__ = ["Aliases", "TensorTable", "module_aliases"]

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
    """Whether no hook fires in a module: it was compiled in place, or scripted, or it is Lightning's, whose steps are."""
    if isinstance(module, torch.jit.ScriptModule) or module._compiled_call_impl is not None:  # noqa: SLF001
        return True
    return getattr(module, "_compiler_ctx", None) is not None  # a LightningModule that torch.compile was given


class TensorTable:
    """A model's parameters, then its persistent buffers, by ``name`` of their path; a tied tensor once.

    Of a tied tensor's names the first that is in ``known`` is taken (the golden's), else the first. The table keeps
    where each tensor hangs, not the tensor: a buffer that a forward replaces is followed.
    """

    def __init__(
        self, model: torch.nn.Module, name: Callable[[str], str] = str, known: frozenset[str] | None = None
    ) -> None:
        names: dict[int, list[str]] = {}
        places: dict[int, _Place] = {}
        for path, place in _places(model):
            key = id(place[0][place[1]])
            places.setdefault(key, place)
            names.setdefault(key, []).append(name(path))
        self._places = {
            next((one for one in names[key] if known is not None and one in known), names[key][0]): place
            for key, place in places.items()
        }

    def now(self) -> dict[str, torch.Tensor]:
        """The tensors as they hang in the model at this moment."""
        held = [(name, holder, key) for name, (holder, key) in self._places.items() if key in holder]
        current = [(name, holder[key]) for name, holder, key in held]
        return {name: tensor for name, tensor in current if tensor is not None}


_Place = tuple[dict[str, "torch.Tensor | None"], str]


def _places(model: torch.nn.Module) -> Iterator[tuple[str, _Place]]:
    modules = list(model.named_modules(remove_duplicate=False))
    for raw, module in modules:
        for key, parameter in module._parameters.items():  # noqa: SLF001  the dict itself is what is followed
            if parameter is not None:
                holder: Any = module._parameters  # noqa: SLF001
                yield _path(model, raw, key), (holder, key)
    for raw, module in modules:
        for key, buffer in module._buffers.items():  # noqa: SLF001
            if buffer is not None and key not in module._non_persistent_buffers_set:  # noqa: SLF001
                yield _path(model, raw, key), (module._buffers, key)  # noqa: SLF001


def _path(model: torch.nn.Module, raw: str, key: str) -> str:
    return strip_wrappers(f"{raw}.{key}" if raw else key, model)
