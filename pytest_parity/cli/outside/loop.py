"""The loop of a script that is no Lightning's: its steps are told by its optimizers, its model's calls, its data loaders.

A step begins with the first call of the model in training, and ends when all optimizers have stepped and the model is
called again, or when a batch is drawn: so with gradient accumulation a step is one batch, as in a loop over a loader.
"""

from __future__ import annotations

import atexit
import copy
import functools
import gc
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

import torch
from torch.utils.data import dataloader

from pytest_parity.cli.outside import OPTIMIZER
from pytest_parity.errors import ParityError, ParityFailure, UsageError
from pytest_parity.session.driven import Driven
from pytest_parity.session.script import DRIVERS, Outcome, Plan
from pytest_parity.settings import Batches
from pytest_parity.site import Kind

__all__ = ["Loop", "notice"]

_LOOPS: list[Loop] = []


def notice(optimizer: torch.optim.Optimizer) -> None:
    """An optimizer was made: the first one in a process says that it trains."""
    plan = Plan.from_environment()
    if plan is None or DRIVERS:
        return
    if not _LOOPS:
        plan.tell(OPTIMIZER)
        _LOOPS.append(Loop(plan))
    _LOOPS[0].optimizers.append(optimizer)


class Loop:
    """One process's training: what of torch is wrapped is put back when it is over."""

    def __init__(self, plan: Plan) -> None:
        self.optimizers: list[torch.optim.Optimizer] = []
        self._plan = plan
        self._rank = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
        self._process = os.getpid()
        self._driven: Driven | None = None
        self._root: torch.nn.Module | None = None
        self._batch: Any = None
        self._step = 0
        self._in_step = False
        self._called = False
        self._watched: set[torch.optim.Optimizer] = set()
        self._stepped: set[torch.optim.Optimizer] = set()
        self._raised: BaseException | None = None
        self._undo: list[Callable[[], None]] = []
        self._unwrap_calls = self._wrap(torch.nn.Module, "__call__", self._on_call)
        self._wrap(torch.Tensor, "backward", self._on_backward)
        iterator = dataloader._BaseDataLoaderIter  # noqa: SLF001  what every loader's iterator is
        self._wrap(iterator, "__init__", self._on_iterator)
        self._wrap(iterator, "__next__", self._on_draw)
        self._hook, sys.excepthook = sys.excepthook, self._on_exception
        atexit.register(self._at_exit)
        self._open()

    # what is told of by torch

    def _wrap(self, owner: type, name: str, around: Callable[..., Any]) -> Callable[[], None]:
        own = getattr(owner, name)

        @functools.wraps(own)
        def wrapped(self_: Any, *args: Any, **kwargs: Any) -> Any:
            return around(functools.partial(own, self_), self_, *args, **kwargs)

        def undo() -> None:
            setattr(owner, name, own)

        setattr(owner, name, wrapped)
        self._undo.append(undo)
        return undo

    def _on_call(self, call: Callable[..., Any], module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self._root is None and self._driven is not None and torch.is_grad_enabled() and not DRIVERS:
            self._guarded(lambda: self._look_for_root(module))
        return call(*args, **kwargs)

    def _on_backward(self, call: Callable[..., Any], loss: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self._in_step and self._driven is not None and loss.numel() == 1:
            self._driven.value(Kind.LOSS, "loss", loss.detach())
        return call(*args, **kwargs)

    def _on_iterator(self, call: Callable[..., Any], _iterator: Any, *args: Any, **kwargs: Any) -> Any:
        self._seed()
        return call(*args, **kwargs)

    def _on_draw(self, call: Callable[..., Any], _iterator: Any, *args: Any, **kwargs: Any) -> Any:
        if self._in_step and self._called:
            self._end()
        self._seed()
        batch = call(*args, **kwargs)
        if self._driven is not None and not self._in_step:
            with suppress(Exception):  # what cannot be copied is not seen
                self._batch = copy.deepcopy(batch)
        return batch

    def _on_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        self._stepped.add(optimizer)

    def _on_outermost_call(self) -> None:
        assert self._root is not None
        if self._in_step and self._stepped.issuperset(self._watched):
            self._end()
        if self._driven is not None and torch.is_grad_enabled() and self._root.training:
            if not self._in_step:
                self._begin()
            self._called = True

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self._raised = error
        self._hook(kind, error, trace)

    # what comes of it

    def _open(self) -> None:
        """Open the case, before anything is trained."""
        plan = self._plan.for_rank(self._rank)
        if plan is None or not plan.claim(self._rank):
            self._let_go()
            return
        self._plan = plan
        try:
            if plan.draw is not None:
                plan = replace(plan, batches=Batches.UNSEEN)
            if plan.batches is Batches.RECORDED:
                raise UsageError(
                    "--batches recorded: a batch can be put in the place of a script's own under Lightning only; elsewhere "
                    "the script's own are compared (--batches own), or write the loop with pytest_parity.check"
                )
            self._driven = plan.driven()
        except ParityError as error:
            self._fail(error)

    def _look_for_root(self, module: torch.nn.Module) -> None:
        root = _named(self._plan.model) if self._plan.model else _root(self.optimizers[0], module)
        if root is None or not root.training or all(one is not module for one in root.modules()):
            return
        assert self._driven is not None
        held = {id(parameter) for parameter in root.parameters()}
        self._watched = {one for one in self.optimizers if not held.isdisjoint(map(id, _parameters(one)))}
        self._root = root
        self._unwrap_calls()
        ordered = tuple(one for one in self.optimizers if one in self._watched)
        capture = self._driven.watch(self._plan.watching(root, ordered))
        for optimizer in ordered:
            self._undo.append(optimizer.register_step_post_hook(self._on_step).remove)
        capture.modules.on_outermost_call = lambda: self._guarded(self._on_outermost_call)

    def _seed(self) -> None:
        if self._driven is not None and not self._in_step:
            self._driven.seed_batch(self._step)

    def _begin(self) -> None:
        assert self._driven is not None
        self._in_step, self._called = True, False
        self._stepped.clear()
        batch, self._batch = self._batch, None
        self._driven.begin(self._step, batch)
        self._step += 1

    def _end(self) -> None:
        self._in_step = False
        if self._driven is not None:
            self._driven.end()
            if self._driven.over:
                self._conclude()

    def _conclude(self) -> None:
        driven, self._driven = self._driven, None
        self._let_go()
        if driven is not None:
            outcome, _ = Outcome.of(driven, rank=self._rank)
            outcome.leave(self._plan)

    def _guarded(self, action: Callable[[], None]) -> None:
        """What goes wrong with us is told at the end, and does not end the script."""
        try:
            action()
        except ParityFailure:
            self._conclude()
        except ParityError as error:
            self._fail(error)

    def _fail(self, error: ParityError) -> None:
        driven, self._driven = self._driven, None
        self._let_go()
        if driven is not None:
            driven.abandon()
        Outcome.error(error, self._plan, self._rank).leave(self._plan)

    def _let_go(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _at_exit(self) -> None:
        if os.getpid() != self._process or self._driven is None or DRIVERS:
            return
        case = self._plan.case
        if self._raised is not None:
            raised = f"{type(self._raised).__name__}: {self._raised}"
            self._fail(UsageError(f"{case}: the script ended in {raised} after {self._step} steps"))
        elif self._root is None:
            self._fail(
                UsageError(
                    f"{case}: the script has an optimizer ({type(self.optimizers[0]).__name__}), and no model that holds its "
                    "parameters was called in training mode, with gradients; name the model: --model MODULE:ATTRIBUTE, "
                    "as in --model __main__:model"
                )
            )
        else:
            self._conclude()


def _root(optimizer: torch.optim.Optimizer, called: torch.nn.Module) -> torch.nn.Module | None:
    """The outermost model that holds an optimizer's parameters; raises ``UsageError`` where there are several."""
    wanted = set(map(id, _parameters(optimizer)))
    modules = [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]
    holding = [one for one in modules if wanted & {id(parameter) for parameter in one.parameters()}]
    inner = {id(child) for one in holding for child in one.modules() if child is not one}
    roots = [one for one in holding if id(one) not in inner and any(child is called for child in one.modules())]
    whole = [one for one in roots if wanted <= {id(parameter) for parameter in one.parameters()}]
    roots = whole or roots
    if len(roots) > 1:
        raise UsageError(
            f"{len(roots)} models hold parameters of the script's first optimizer, a {type(optimizer).__name__}: "
            f"{', '.join(type(one).__name__ for one in roots)}; name one: --model MODULE:ATTRIBUTE, as in --model __main__:model"
        )
    return roots[0] if roots else None


def _named(name: str) -> torch.nn.Module | None:
    """The script's model by name, once it is there."""
    module, _, attribute = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is not None and not isinstance(found, torch.nn.Module):
        raise UsageError(f"--model {name}: it is a {type(found).__name__}, and a torch.nn.Module is needed")
    return found


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[torch.Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
