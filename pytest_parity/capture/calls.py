"""Which call of which module this is: the module stack, call indices, and the recompute of a checkpoint.

A module object can stand under several names, so a call is named by its caller: the alias nearest to the path of the
module that is running. Calls are counted by path, from 0 in each step. A checkpoint runs a stretch of the forward
again during backward; those calls are no new ones, they take the indices of the stretch they repeat, so that the
random streams keyed by them repeat too.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch

from pytest_parity.site import ROOT

__all__ = ["Call", "CallStack", "in_backward"]

_CHECKPOINT = "torch/utils/checkpoint.py"


@dataclass(slots=True, eq=False)
class Call:
    """One call of a module. ``repeats`` is the call of the forward that a recompute runs again."""

    path: str
    index: int
    module: torch.nn.Module
    recompute: bool = False
    repeats: Call | None = None
    children: list[Call] = field(default_factory=list)
    pending: list[Call] = field(default_factory=list)
    differentiable: bool = False
    """Whether a tensor that it returned carries a gradient."""
    exception: BaseException | None = None
    """The exception being handled when the call began."""
    streams: list[torch.Tensor] | None = None
    """The caller's random streams, to be handed back."""
    fresh: list[torch.Tensor] | None = None
    """Its own streams as they began, where a draw in the module's own code is to be noticed."""
    repeated: bool = False
    handed: list[tuple[torch.Tensor, torch.Tensor, int]] = field(default_factory=list)
    """While it runs: what the caller gave, what was put in its place, and that one's version."""


class CallStack:
    """The calls in progress, and those of the step so far. ``aliases`` gives every module object its paths."""

    def __init__(self, aliases: dict[torch.nn.Module, list[str]]) -> None:
        self._aliases = aliases
        self._nearest: dict[tuple[torch.nn.Module, str], str] = {}
        self._running: list[Call] = []
        self.reset()

    def reset(self) -> None:
        """Begin a step: every count is 0 again."""
        self._running.clear()
        self._counts: dict[str, int] = defaultdict(int)
        self._calls: dict[str, list[Call]] = defaultdict(list)
        self._regions: list[list[Call]] = []
        self._region_frame: FrameType | None = None
        self._repeat_frame: FrameType | None = None
        self._repeat_rest: list[Call] = []

    @property
    def idle(self) -> bool:
        """Whether no module is running."""
        return not self._running

    @property
    def called(self) -> set[str]:
        """The paths called in this step."""
        return set(self._counts)

    def enter(self, module: torch.nn.Module) -> Call:
        """Begin a call of ``module``."""
        caller = self._running[-1] if self._running else None
        path = self._path(module, caller)
        call = self._repeat(module, path, caller) if in_backward() else self._first(module, path, caller)
        call.exception = sys.exc_info()[1]
        self._running.append(call)
        return call

    def leave(self, module: torch.nn.Module) -> Call | None:
        """End the innermost running call of ``module``, and those inside it that never ended."""
        for depth in range(len(self._running) - 1, -1, -1):
            if self._running[depth].module is module:
                call = self._running[depth]
                del self._running[depth:]
                return call
        return None

    def _path(self, module: torch.nn.Module, caller: Call | None) -> str:
        aliases = self._aliases[module]
        if len(aliases) == 1 or caller is None:
            return aliases[0]
        key = (module, caller.path)
        if key not in self._nearest:
            self._nearest[key] = max(aliases, key=lambda alias: _common(alias, caller.path))
        return self._nearest[key]

    def _first(self, module: torch.nn.Module, path: str, caller: Call | None) -> Call:
        index = self._counts[path]
        self._counts[path] = index + 1
        call = Call(path, index, module)
        self._calls[path].append(call)
        if caller is not None:
            caller.children.append(call)
        frame = _checkpoint_frame(within_caller=caller is not None)
        if frame is None:
            self._region_frame = None
        elif frame is self._region_frame:
            self._regions[-1].append(call)
        else:  # the frame is kept, so that the next one cannot be at the same address
            self._region_frame = frame
            self._regions.append([call])
        return call

    def _repeat(self, module: torch.nn.Module, path: str, caller: Call | None) -> Call:
        rest = caller.pending if caller is not None and caller.recompute else self._outer_rest(path)
        original = next((call for call in rest if call.path == path), None)
        if original is not None:
            rest.remove(original)
        else:  # a checkpoint of another make: last in, first out
            calls = self._calls[path]
            original = next((call for call in reversed(calls) if not call.repeated), calls[-1] if calls else None)
        index = self._counts[path] if original is None else original.index
        call = Call(path, index, module, recompute=True, repeats=original)
        if original is not None:
            original.repeated = True
            call.pending = list(original.children)
        return call

    def _outer_rest(self, path: str) -> list[Call]:
        """What is still to be repeated of the checkpoint that is being run again."""
        frame = _checkpoint_frame(within_caller=False)
        if frame is None or frame is not self._repeat_frame:
            self._repeat_frame = frame
            starting = [region for region in self._regions if region[0].path == path]
            fresh = [region for region in starting if not region[0].repeated]
            self._repeat_rest = list((fresh or starting or [[]])[-1]) if frame is not None else []
        return self._repeat_rest


def _common(alias: str, caller: str) -> int:
    """How many leading components an alias shares with the caller's path."""
    if caller == ROOT:
        return 0
    shared = 0
    for one, other in zip(alias.split("."), caller.split("."), strict=False):
        if one != other:
            break
        shared += 1
    return shared


def in_backward() -> bool:
    """Whether autograd is running backward in this thread: a forward there is a checkpoint's recompute."""
    return bool(torch._C._current_graph_task_id() != -1)  # noqa: SLF001  there is no public name


def _checkpoint_frame(*, within_caller: bool) -> FrameType | None:
    """The innermost running frame of ``torch.utils.checkpoint``, looking no further out than the calling module."""
    frame: Any = sys._getframe(2)  # noqa: SLF001
    modules = 0
    while frame is not None:
        code = frame.f_code
        if code.co_filename.endswith(_CHECKPOINT):
            found: FrameType = frame
            return found
        if code.co_name == "_call_impl":
            modules += 1
            if within_caller and modules == 2:  # noqa: PLR2004  the call itself, then its caller
                return None
        frame = frame.f_back
    return None
