"""The structure of a model: the names, shapes, dtypes of its parameters and buffers, and what trains."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pytest_parity.contract.agreement import compare_structures, unmatched_modules
from pytest_parity.contract.constants import constants
from pytest_parity.contract.tensors import Structure, TensorInfo
from pytest_parity.contract.totals import count_difference
from pytest_parity.contract.wrappers import strip_wrappers, wrapped_child
from pytest_parity.errors import CaptureError
from pytest_parity.site import ROOT

__all__ = [
    "Structure",
    "TensorInfo",
    "compare_structures",
    "count_difference",
    "describe",
    "unmatched_modules",
]


def describe(model: torch.nn.Module) -> Structure:
    """Read a model's structure; nothing is computed or copied.

    Raises ``CaptureError`` for a lazy module whose parameters have no shape yet.
    """
    modules, settings = {}, {}
    for raw, module in model.named_modules(remove_duplicate=False):
        if wrapped_child(module) is None:
            path = strip_wrappers(raw, model) or ROOT
            modules[path] = type(module).__qualname__
            settings[path] = constants(module)
    parameters = _tied_once(
        (strip_wrappers(raw, model), parameter) for raw, parameter in model.named_parameters(remove_duplicate=False)
    )
    told = {path: found for path, found in settings.items() if found}
    return Structure(parameters, _tied_once(_persistent_buffers(model)), modules, told)


def _persistent_buffers(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for raw, module in model.named_modules(remove_duplicate=False):
        prefix = f"{raw}." if raw else ""
        for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
            if name not in module._non_persistent_buffers_set:  # noqa: SLF001 -- torch tells it nowhere else
                yield strip_wrappers(prefix + name, model), buffer


def _tied_once(named: Iterator[tuple[str, torch.Tensor]]) -> dict[str, TensorInfo]:
    names: dict[int, list[str]] = {}
    tensors: dict[int, torch.Tensor] = {}
    for name, tensor in named:
        known = names.setdefault(id(tensors.setdefault(id(tensor), tensor)), [])
        if name not in known:
            known.append(name)
    return {known[0]: _described(tensors[key], known) for key, known in names.items()}


def _described(tensor: torch.Tensor, names: list[str]) -> TensorInfo:
    if isinstance(tensor, (torch.nn.UninitializedParameter, torch.nn.UninitializedBuffer)):
        raise CaptureError(
            f"{names[0]} has no shape yet: run the model on one batch first (it belongs to a lazy module)"
        )
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorInfo(tuple(tensor.shape), dtype, tensor.requires_grad, tuple(names[1:]))
