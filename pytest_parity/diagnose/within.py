"""Within: what a module holds or hands on is another value while it is called, and the very same objects after it.

The fault is in what the module computes, not in what it holds: weights, optimizers and whoever else reads the module
outside of its calls see nothing of it, and a gradient flows through the change to the parameter itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from pytest_parity.capture.tree import children, with_parts

__all__ = ["Change", "Undo", "hand_in", "hand_on", "rebuilt", "replaced_within"]

Undo = Callable[[], None]
"""Takes everything back; does nothing a second time."""

Change = tuple[Any, Any, Any]
"""A dict, a key of it, and the value that is there during the call."""


class _Within:
    """The changes of one module's calls. A module that calls itself, and a call that raises, are put back once."""

    def __init__(self, host: torch.nn.Module, changes: Callable[[], Iterable[Change]]) -> None:
        self._changes = changes
        self._running = 0
        self._kept: list[Change] = []
        self._handles = [
            host.register_forward_pre_hook(self._enter),
            host.register_forward_hook(self._leave, always_call=True),
        ]

    def _enter(self, _module: torch.nn.Module, _args: Any) -> None:
        self._running += 1
        if self._running == 1:
            for holder, place, value in self._changes():
                self._kept.append((holder, place, holder[place]))
                holder[place] = value

    def _leave(self, _module: torch.nn.Module, _args: Any, _output: Any) -> None:
        self._running = max(self._running - 1, 0)
        if not self._running:
            self._put_back()

    def _put_back(self) -> None:
        while self._kept:
            holder, place, value = self._kept.pop()
            holder[place] = value

    def undo(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._put_back()


def replaced_within(host: torch.nn.Module, changes: Callable[[], Iterable[Change]]) -> Undo:
    """Put other values in their places during each call of ``host``; ``changes`` is asked at each, one after the other."""
    return _Within(host, changes).undo


def hand_on(host: torch.nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> Undo:
    """Change every tensor of what ``host`` returns, before anything else sees it."""

    def leave(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        return rebuilt(output, change)

    return host.register_forward_hook(leave, prepend=True).remove


def hand_in(host: torch.nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> Undo:
    """Change every tensor that ``host`` is called with, after all who observe its inputs."""

    def enter(_module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return rebuilt(args, change), rebuilt(kwargs, change)

    return host.register_forward_pre_hook(enter, with_kwargs=True).remove


def rebuilt(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same tree, of the same classes, with ``change`` applied to its tensors; what holds none is the same object."""
    if isinstance(value, torch.Tensor):
        return change(value)
    parts = children(value)
    if not parts:
        return value
    new = [(key, rebuilt(part, change)) for key, part in parts]
    if all(part is old for (_, part), (_, old) in zip(new, parts, strict=True)):
        return value
    return with_parts(value, new)
