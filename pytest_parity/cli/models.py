"""What a command line names by ``module:name``: a model that a factory builds, a name map in a file or in a module."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["add_names", "build_model", "is_spec", "names_of"]

_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def add_names(parser: Any) -> None:
    """``--names``."""
    parser.add_argument(
        "--names",
        metavar="FILE",
        help="the candidate's names to the reference's: a TOML file as `parity names` writes it, or module:NAME",
    )


def is_spec(text: str) -> bool:
    """Whether it is written as ``module:name``."""
    return _SPEC.fullmatch(text) is not None and not Path(text).exists()


def names_of(given: str | None) -> Any:
    """The name map of ``--names``, as ``NameMap.build`` takes it; raises ``UsageError``."""
    if given is None or not is_spec(given):
        return given
    return _found(given, f"--names {given}")


def build_model(spec: str, said: str, example: str = "nest_ssl.model:build") -> torch.nn.Module:
    """The model that ``module:factory``, called without arguments, builds; ``said`` stands before every complaint.

    The working directory is on the path, as under ``python -m``. Raises ``UsageError``.
    """
    import torch  # noqa: PLC0415

    if not all(spec.partition(":")):
        raise UsageError(f"{said}: write it as module:factory, e.g. {example}")
    model = _found(spec, said, call=True)
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"{said}: it gave a {type(model).__name__}, and a torch.nn.Module is needed")
    return model


def _found(spec: str, said: str, *, call: bool = False) -> Any:
    module, _, name = spec.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found() if call else found
    except (Exception, SystemExit) as error:  # a script that was meant to be run reads our arguments, and exits
        raise UsageError(f"{said}: {type(error).__name__}: {error}") from error
    finally:
        if here in sys.path:
            sys.path.remove(here)
