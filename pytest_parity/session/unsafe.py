"""A saver's files: what ``torch.save`` left, read without running anything, or an error that says what to do."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

from pytest_parity.contract.saved import foreign_class, load_saved
from pytest_parity.errors import UsageError

__all__ = ["load_tensors"]

_WHY = re.compile(r"WeightsUnpickler error:\s*(.+)")


def load_tensors(path: Path) -> Any:
    """What a file holds, on the CPU.

    Raises ``UsageError``, with the class's name, where it holds an object of a class: reading that would run the
    class's code, which came with the file; and where it cannot be read at all.
    """
    try:
        return load_saved(path)
    except pickle.UnpicklingError as error:
        named = foreign_class(error)
        if not named:
            why = _WHY.search(str(error))
            raise UsageError(
                f"{path} is no file that torch.save writes: {why[1] if why else _first_line(error)}"
            ) from None
        again = "an array as torch.from_numpy(array)" if named.startswith("numpy") else "an object as vars(object)"
        raise UsageError(
            f"{path} holds a {named}, and reading that runs code of the file's choice, so nothing of it was read. "
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
