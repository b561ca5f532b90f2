"""What Python runs first in each process of a script under ``parity record|check -- SCRIPT``: this directory is on its path.

A ``sitecustomize`` of the environment's own, which this one hides, is run as it would have been.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def _run_hidden() -> None:
    here = Path(__file__).parent
    spec = PathFinder.find_spec(__name__, [path for path in sys.path if Path(path or ".").absolute() != here])
    if spec is not None and spec.loader is not None:
        module = sys.modules[__name__] = module_from_spec(spec)
        spec.loader.exec_module(module)


def _look() -> None:
    try:
        from pytest_parity.cli.outside import install  # noqa: PLC0415
    except ImportError as error:
        told = Path(os.environ["PARITY_OUTCOMES"])
        if told.is_dir():
            (told / f"missing.{os.getpid()}").write_text(f"{sys.executable}: {error}", encoding="utf-8")
    else:
        install()


if os.environ.get("PARITY_SCRIPT"):
    _look()
_run_hidden()
