"""Functions of torch that tell when they are called, until what they were is put back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["Wraps"]


class Wraps:
    """What was changed outside of us, so that all of it can be undone."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def put(self, owner: Any, name: str, around: Callable[..., Any]) -> Callable[[], None]:
        """Have ``around(call, *args)`` run in the place of a function; ``call`` is the function. Gives what undoes it."""
        own = vars(owner)[name]

        @functools.wraps(own)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return around(own, *args, **kwargs)

        def undo() -> None:
            if vars(owner).get(name) is wrapped:  # else someone has wrapped it after us: that one calls us
                setattr(owner, name, own)

        setattr(owner, name, wrapped)
        self.later(undo)
        return undo

    def later(self, undo: Callable[[], object]) -> None:
        """Have something else done when all is undone."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Put everything back, the last first."""
        while self._undo:
            self._undo.pop()()
