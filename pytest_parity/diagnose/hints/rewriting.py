"""Rewriting: a change of operations as data, with the cause that it stands for, and the usual ways to change one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_parity.diagnose.hints.operations import Operation, Rewrite
from pytest_parity.result import Cause

__all__ = ["Change", "at", "fixed", "instead", "passed", "with_argument"]


@dataclass(frozen=True, slots=True)
class Change:
    """Operations changed, by their places; ``text`` ends where ``it agrees`` begins."""

    cause: Cause
    text: str
    rewrites: Mapping[int, tuple[str, Rewrite]]
    where: str = ""
    every: Mapping[str, Rewrite] = field(default_factory=dict)
    """Of all operations of a name, wherever they are."""


def at(cause: Cause, text: str, operation: Operation, rewrite: Rewrite) -> Change:
    """A change of one operation."""
    return Change(cause, text, {operation.place: (operation.name, rewrite)}, operation.where)


def passed(_func: Callable[..., Any], args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Any:
    """Left out: what it takes first is passed on."""
    return args[0]


def instead(function: Callable[[Any], Any]) -> Rewrite:
    """Another function of what it takes first."""
    return lambda _func, args, _kwargs: function(args[0])


def fixed(value: Any) -> Callable[[Any], Any]:
    """That value, whatever there was."""
    return lambda _: value


def with_argument(place: int, change: Callable[[Any], Any]) -> Rewrite:
    """The same operation with one of its arguments changed."""

    def rewrite(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return func(*args[:place], change(args[place]), *args[place + 1 :], **kwargs)

    return rewrite
