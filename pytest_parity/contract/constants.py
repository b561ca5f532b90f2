"""The constants of modules: eps, momentum, p, dtype, what a module computes with besides its tensors."""

from __future__ import annotations

from typing import Any

import torch

from pytest_parity.contract.agreement import Names
from pytest_parity.contract.tensors import Structure
from pytest_parity.result import Difference

__all__ = ["constant_differences", "constants"]

_LONGEST = 16
"""Items of a list that is a setting; a longer one is data."""
_WITHOUT_EFFECT = frozenset({"inplace"})


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

    Only a constant that both have under one name is compared: another implementation may call it otherwise.
    """
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
