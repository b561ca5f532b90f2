"""Files of ``torch.save``, of which tensors and plain containers are read, and nothing is run."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from pytest_parity.errors import UsageError

__all__ = ["load_tensors"]

_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_WHY = re.compile(r"WeightsUnpickler error:\s*(.+)")


def load_tensors(path: Path) -> Any:
    """What a file holds, on the CPU.

    Raises ``UsageError``, with the class's name, where it holds an object of a class: reading that would run the
    class's code, which came with the file; and where it cannot be read at all.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of either works, or is the error below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        if named is None:
            why = _WHY.search(str(error))
            raise UsageError(
                f"{path} is no file that torch.save writes: {why[1] if why else _first_line(error)}"
            ) from None
        again = "an array as torch.from_numpy(array)" if named[1].startswith("numpy") else "an object as vars(object)"
        raise UsageError(
            f"{path} holds a {named[1]}, and reading that runs code of the file's choice, so nothing of it was read. "
            f"Where it was written, and is trusted, save it again as tensors in dicts and lists ({again}), "
            f"or leave it out: --skip {path.name}"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        if "TorchScript" in str(error):
            raise UsageError(
                f"{path} is a TorchScript archive, which holds code; --skip {path.name} leaves it out"
            ) from None
        raise UsageError(f"{path} cannot be read, it may be cut short: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
