"""Guard: hooks of ours in a script that knows nothing of us. What one of them raises ends nothing; it is told later."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["HookGuard"]


class HookGuard:
    """Wraps hooks: after the first that raises, none does anything; ``check`` raises what it raised, where that is told."""

    def __init__(self) -> None:
        self._error: Exception | None = None

    def __call__(self, hook: Callable[..., Any]) -> Callable[..., Any]:
        """A hook as it is put on a model or an optimizer."""

        @functools.wraps(hook)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self._error is None:
                try:
                    return hook(*args, **kwargs)
                except Exception as error:  # noqa: BLE001  whatever it is, the script goes on
                    self._error = error
            return None

        return guarded

    def check(self) -> None:
        """Raise what a hook has raised, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def clear(self) -> None:
        """Begin anew."""
        self._error = None
