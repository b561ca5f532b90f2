"""Name maps in TOML: the table ``names`` of a file, as ``parity names`` writes it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_parity.errors import NameMapError

__all__ = ["read_names"]

_TABLE = "names"


def read_names(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The rules of a file; a value is text or a table such as ``{concat = ["q", "k"], dim = 0}``.

    A relative path is relative to the working directory. Raises ``NameMapError`` for a file that is not there, is no
    TOML, or has no table ``names``.
    """
    # Python 3.10 has no TOML reader of its own; pytest depends on tomli there.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    shown = f"names={os.fspath(path)!r}"
    try:
        content = toml.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NameMapError(
            f"{shown}: there is no such file in {Path.cwd()}; `parity names` writes one, or give a table of rules"
        ) from None
    except (OSError, ValueError) as error:
        raise NameMapError(f"{shown} cannot be read: {error}") from None
    names = content.get(_TABLE)
    if not isinstance(names, dict):
        raise NameMapError(f'{shown} has no table [{_TABLE}]; its lines look like "candidate.name" = "golden.name"')
    return names
