"""Files of ``torch.save``, of which tensors and plain containers are read, and nothing is run."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch

__all__ = ["foreign_class", "load_saved"]

_GLOBAL = re.compile(r"GLOBAL (\S+)")


def load_saved(path: Path, *, mmap: bool = False) -> Any:
    """What a file holds, on the CPU; raises what torch raises, ``UnpicklingError`` for an object of a class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch warns of either works, or is an error
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)


def foreign_class(error: BaseException) -> str:
    """The class whose code reading would have run, as ``load_saved`` was told; empty where that is not why it failed."""
    named = _GLOBAL.search(str(error))
    return "" if named is None else named[1]
