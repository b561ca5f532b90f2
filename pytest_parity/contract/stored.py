"""The structure of a model that is stored as tensors alone: a safetensors file, or a checkpoint; nothing in it is run."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from pytest_parity.contract.saved import foreign_class, load_saved
from pytest_parity.contract.tensors import Structure, TensorInfo
from pytest_parity.contract.wrappers import stored_names
from pytest_parity.errors import UsageError
from pytest_parity.site import ROOT

__all__ = ["CHECKPOINTS", "SAFETENSORS", "describe_file", "merged", "same_memory"]

SAFETENSORS = ".safetensors"
CHECKPOINTS = (".ckpt", ".pt", ".pth", ".bin")
_HOLDERS = ("state_dict", "model_state_dict", "model", "module", "net")
"""Where trainers keep the model's tensors in a checkpoint; Lightning's name first."""
_EXTRA = "_extra_state"
"""What modules keep besides tensors, under this name behind their own."""
_COUNTED = frozenset({"running_mean", "running_var", "num_batches_tracked"})
"""Of the names in torch's own modules those that are buffers'."""
_POINTER = b"version https://git-lfs"
_DTYPES = {
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "BF16": "bfloat16",
    "BOOL": "bool",
    "C64": "complex64",
    "C128": "complex128",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""By the names that safetensors has for them."""


def describe_file(path: Path) -> Structure:
    """The structure that a file's tensors tell: names, shapes, dtypes, what is tied; modules as far as they hold a tensor.

    Neither what trains nor what is a buffer is told there: all is taken for a parameter that trains, but for the
    statistics of normalisations and what is no floating-point number. Raises ``UsageError``.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if start == _POINTER:
        raise UsageError(f"{path} is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'")
    found = _safetensors(path) if path.suffix == SAFETENSORS else _checkpoint(path)
    if not found:
        raise UsageError(f"{path} holds no tensor")
    names = stored_names([name for stored, info in found.items() for name in (stored, *info.aliases)])
    tensors = {
        names[stored]: replace(info, aliases=tuple(names[alias] for alias in info.aliases))
        for stored, info in found.items()
    }
    buffers = {name: replace(info, trainable=False) for name, info in tensors.items() if _is_counted(name, info)}
    parameters = {name: info for name, info in tensors.items() if name not in buffers}
    return Structure(parameters, buffers, dict.fromkeys(_holders(tensors), ""))


def same_memory(named: Iterable[tuple[str, torch.Tensor]]) -> dict[str, str]:
    """Each name whose tensor lies where another one's does, element for element, with the first name of that memory."""
    first: dict[tuple[Any, ...], str] = {}
    found = {}
    for name, tensor in named:
        if tensor.layout is torch.strided and tensor.numel() and not tensor.is_meta:
            key = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
            other = first.setdefault(key, name)
            if other != name:
                found[name] = other
    return found


def merged(tensors: Mapping[str, TensorInfo], aliases: Mapping[str, str]) -> dict[str, TensorInfo]:
    """The tensors without those that are another's memory, which has their names among its aliases."""
    found = {name: info for name, info in tensors.items() if name not in aliases}
    for alias, name in aliases.items():
        if name in found and alias in tensors:
            further = (*found[name].aliases, alias, *tensors[alias].aliases)
            found[name] = replace(found[name], aliases=further)
    return found


def _is_counted(name: str, info: TensorInfo) -> bool:
    return name.rpartition(".")[2] in _COUNTED or not info.dtype.startswith(("float", "bfloat", "complex"))


def _holders(names: Iterable[str]) -> list[str]:
    """The modules above the tensors, the root first."""
    paths = [ROOT]
    for name in names:
        parts = name.split(".")
        paths += [".".join(parts[:depth]) for depth in range(1, len(parts))]
    return list(dict.fromkeys(paths))


def _safetensors(path: Path) -> dict[str, TensorInfo]:
    """Its header alone is read. ``save_model`` keeps one tensor of those that are tied, and the others' names beside it."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  no mapping
            found = {name: _info(one.get_shape(), one.get_dtype()) for name, one in slices.items()}
            said = dict(file.metadata() or {})
    except (SafetensorError, struct.error) as error:
        raise UsageError(f"{path} cannot be read as safetensors: {error}") from None
    tied: dict[str, list[str]] = {}
    for alias, kept in said.items():
        if kept in found and alias not in found:
            tied.setdefault(kept, []).append(alias)
    return {name: replace(info, aliases=tuple(sorted(tied.get(name, ())))) for name, info in found.items()}


def _info(shape: Iterable[int], stored: str) -> TensorInfo:
    return TensorInfo(tuple(shape), _DTYPES.get(stored, stored.lower()), trainable=True)


def _checkpoint(path: Path) -> dict[str, TensorInfo]:
    state = _state(_loaded(path), path)
    infos = {
        name: TensorInfo(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), trainable=True)
        for name, tensor in state.items()
    }
    return merged(infos, same_memory(state.items()))


def _loaded(path: Path) -> Any:
    """Whatever is in it, if tensors and plain values are: what more a pickle may hold is code, and is refused."""
    try:
        return load_saved(path, mmap=zipfile.is_zipfile(path))
    except UnpicklingError as error:
        raise UsageError(_refused(path, error)) from None
    except Exception as error:  # noqa: BLE001  a file of another sort ends in one or another of torch's errors
        raise UsageError(f"{path} cannot be read as a checkpoint: {type(error).__name__}: {error}") from None


def _refused(path: Path, error: UnpicklingError) -> str:
    wanted = foreign_class(error)
    if not wanted:
        return f"{path} cannot be read as a checkpoint of tensors and plain values: {str(error).splitlines()[0]}"
    return (
        f"{path} is refused: it holds a {wanted}, and to build one would run code that the file chooses. Where you trust "
        f"it, keep its tensors alone: safetensors.torch.save_file(model.state_dict(), {path.stem + SAFETENSORS!r})"
    )


def _state(found: Any, path: Path) -> dict[str, torch.Tensor]:
    """The model's tensors by name, where a checkpoint keeps them."""
    if not isinstance(found, Mapping):
        raise UsageError(f"{path} holds a {type(found).__name__}, and a table of tensors by name is needed")
    tables = {str(name): _tensors(value) for name, value in found.items() if isinstance(value, Mapping)}
    held = {name: tensors for name, tensors in tables.items() if tensors and not name.endswith(_EXTRA)}
    chosen = next((name for name in _HOLDERS if name in held), None)
    if chosen is not None:
        return held[chosen]
    alone = _tensors(found)
    if len(held) + bool(alone) > 1:
        under = ", ".join([*(["its top"] if alone else []), *held])
        raise UsageError(
            f"{path} holds tensors under {under}, and none of these is called {' or '.join(_HOLDERS)}; "
            f"keep the one that is the model: safetensors.torch.save_file(checkpoint[{next(iter(held))!r}], ...)"
        )
    return alone or next(iter(held.values()), {})


def _tensors(table: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    return {str(name): value for name, value in table.items() if isinstance(value, torch.Tensor)}
