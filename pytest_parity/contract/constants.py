"""The constants of modules: eps, momentum, p, dtype, what a module computes with besides its tensors; and its class."""

from __future__ import annotations

from typing import Any

import torch

from pytest_parity.contract.agreement import Names
from pytest_parity.contract.tensors import Structure
from pytest_parity.result import Difference

__all__ = ["CLASS", "class_differences", "constant_differences", "constants"]

_LONGEST = 16
"""Items of a list that is a setting; a longer one is data."""
_WITHOUT_EFFECT = frozenset({"inplace"})
CLASS = "class"
"""The name of a difference in a module's class."""
_CONTAINERS = frozenset({"ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"})
_DROPOUTS = frozenset({"AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"})


def constants(module: torch.nn.Module) -> dict[str, Any]:
    """A module's public attributes that are plain: numbers, flags, dtypes, ``None``, short lists of them.

    Texts count in torch's own modules alone (``padding_mode``, ``approximate``): elsewhere they may be paths and names
    of this machine. ``training`` is one of them: dropout and batch normalisation read it.
    """
    own = _is_torchs(module)
    names = dict.fromkeys((*vars(module), *getattr(type(module), "__constants__", ())))
    found = {}
    for name in sorted(names):
        if not name.startswith("_") and name not in _WITHOUT_EFFECT:
            value = getattr(module, name, ...)
            plain = _plain(value, texts=own)
            if plain is not ...:
                found[name] = plain
    return found


def constant_differences(reference: Structure, candidate: Structure, names: Names) -> tuple[Difference, ...]:
    """What modules that are each other's counterparts are set to differently, by the candidate's names.

    Only a constant that both have under one name is compared: another implementation may call it otherwise. Classes are,
    where both are torch's own: a ``GELU`` for a ``ReLU``.
    """
    classes = class_differences(reference, candidate, names)
    return (
        *(one for one in classes if _is_told(one, reference, candidate, names)),
        *_constants(reference, candidate, names),
    )


def class_differences(reference: Structure, candidate: Structure, names: Names) -> tuple[Difference, ...]:
    """Modules that are each other's counterparts, and of classes of two names, as an own implementation's are mostly."""
    there = ((path, reference.modules.get(names.path(path), ""), own) for path, own in candidate.modules.items())
    return tuple(
        Difference("constant", CLASS, before, own, path)
        for path, before, own in there
        if before and own and before != own
    )


def _is_told(one: Difference, reference: Structure, candidate: Structure, names: Names) -> bool:
    """Whether two classes of torch's own may compute two things; a dropout of nothing is an identity."""
    if {one.golden, one.here} & _CONTAINERS or not all(map(_named_by_torch, (one.golden, one.here))):
        return False
    rates = {
        found.get("p")
        for name, found in (
            (one.golden, reference.constants.get(names.path(one.where), {})),
            (one.here, candidate.constants.get(one.where, {})),
        )
        if name in _DROPOUTS
    }
    return not (rates and {one.golden, one.here} <= {*_DROPOUTS, "Identity"} and rates <= {0.0})


def _named_by_torch(name: str) -> bool:
    return isinstance(getattr(torch.nn, name, None), type)


def _constants(reference: Structure, candidate: Structure, names: Names) -> tuple[Difference, ...]:
    return tuple(
        Difference("constant", name, str(recorded[name]), str(value), path)
        for path, own in candidate.constants.items()
        if (recorded := reference.constants.get(names.path(path)))
        for name, value in own.items()
        if name in recorded and str(recorded[name]) != str(value)
    )


def _is_torchs(module: torch.nn.Module) -> bool:
    bases = set(type(module).__mro__) - set(torch.nn.Module.__mro__)
    return any(base.__module__.startswith("torch.") for base in bases)


def _plain(value: Any, *, texts: bool) -> Any:
    """The value as JSON has it; ``...`` where it is no constant."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, str):
        return value if texts and not {"/", "\\"} & set(value) else ...
    if isinstance(value, (list, tuple)) and len(value) <= _LONGEST:
        items = [_plain(item, texts=texts) for item in value]
        return ... if ... in items else items
    return ...
