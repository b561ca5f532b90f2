"""Inside a script that nobody changed: its optimizers are noticed as they are made; Lightning says so itself."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["INJECTED", "MISSING", "OPTIMIZER", "PYTHON", "forget", "install"]

INJECTED = Path(__file__).parent / "injected"
"""What stands first on the path of the script's processes."""
PYTHON, OPTIMIZER, MISSING = "python", "optimizer", "missing"
"""Files that say how far the script came: a Python that has us, an optimizer, a Python that has not."""

_WHERE = "torch.optim.optimizer"
_NOTICING: list[tuple[Any, Callable[..., None]]] = []
"""The class that tells, and its own ``__init__``."""


def install() -> None:
    """Have this process tell of its optimizers; nothing is imported yet."""
    told = Path(os.environ["PARITY_OUTCOMES"])
    if not told.is_dir():  # a process that has outlived the command
        return
    (told / PYTHON).touch()
    if _WHERE in sys.modules:  # someone was before us
        _notice_optimizers(sys.modules[_WHERE])
    else:
        sys.meta_path.insert(0, _AfterImport(_WHERE, _notice_optimizers))


def forget() -> None:
    """Have this process tell of no more optimizers: torch is as it was."""
    while _NOTICING:
        optimizer, own = _NOTICING.pop()
        optimizer.__init__ = own


def _notice_optimizers(module: ModuleType) -> None:
    made = module.Optimizer.__init__

    @functools.wraps(made)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        made(self, *args, **kwargs)
        from pytest_parity.cli.outside.loop import notice  # noqa: PLC0415

        notice(self)

    module.Optimizer.__init__ = __init__
    _NOTICING.append((module.Optimizer, made))


class _AfterImport:
    """Finds one module as it would be found, and calls ``then`` when it has run."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The import system's question."""
        del path, target
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run, then = spec.loader.exec_module, self._then

            def exec_module(module: ModuleType) -> None:
                run(module)
                then(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
