"""The loop of a script that is no Lightning's: what its process tells of optimizers, calls and batches drives a case."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch.utils.data import dataloader

from pytest_parity.capture import pack
from pytest_parity.cli.outside import OPTIMIZER
from pytest_parity.cli.outside.case import Case
from pytest_parity.cli.outside.root import named_root, not_found, parameters, root_of, unobserved
from pytest_parity.cli.outside.steps import Steps
from pytest_parity.errors import CaptureError, UsageError
from pytest_parity.report.words import amount
from pytest_parity.session.plan import Plan
from pytest_parity.session.script import DRIVERS, open_case, watching
from pytest_parity.site import Kind

__all__ = ["Loop", "notice"]

_LOOPS: list[Loop] = []


def notice(optimizer: torch.optim.Optimizer) -> None:
    """An optimizer was made: the first one in a process says that it trains."""
    if not _LOOPS:
        plan = Plan.from_environment()
        if plan is None or DRIVERS:
            return
        plan.tell(OPTIMIZER)
        _LOOPS.append(Loop(plan))
    _LOOPS[0].made(optimizer)


class Loop(Case):
    """One process's training: what of torch is wrapped is put back when its last step that is kept is over."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._optimizers: list[ref[torch.optim.Optimizer]] = []
        self._first = ""
        self._root: torch.nn.Module | None = None
        self._steps = Steps()
        self._number = 0
        self._loaders: WeakKeyDictionary[Any, ref[Any]] = WeakKeyDictionary()
        self._scaled: tuple[torch.Tensor, torch.Tensor] | None = None
        if self._open():
            self._listen()

    @property
    def _begun(self) -> bool:
        return self._root is not None

    def made(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer was made."""
        self._first = self._first or type(optimizer).__name__
        if self._driven is not None:
            self._optimizers.append(ref(optimizer))
            if self._root is not None and not _held(self._root).isdisjoint(map(id, parameters(optimizer))):
                self._notes[
                    f"not observed: a further optimizer of the model ({type(optimizer).__name__}), made after training began"
                ] = None

    # from the beginning to the model

    def _listen(self) -> None:
        put, iterator = self._wraps.put, dataloader._BaseDataLoaderIter  # noqa: SLF001  what every loader's iterator is
        self._calls_unwrapped = put(torch.nn.Module, "__call__", self._on_call)
        put(torch.autograd, "backward", self._on_backward)
        put(torch.amp.GradScaler, "scale", self._on_scale)
        put(torch.amp.GradScaler, "step", self._on_scaler_step)
        put(iterator, "__init__", self._on_iterator)
        put(iterator, "__next__", self._on_draw)

    def _on_call(self, call: Callable[..., Any], module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self._root is None and self._driven is not None and torch.is_grad_enabled():
            self._guarded(lambda: self._look_for_root(module))
        return call(module, *args, **kwargs)

    def _look_for_root(self, module: torch.nn.Module) -> None:
        alive = self._alive()
        if not alive:
            return
        root = named_root(self._plan.model) if self._plan.model else root_of(alive[0], module)
        if root is None or all(one is not module for one in root.modules()):
            return
        self._root = root
        self._calls_unwrapped()
        self._watch()

    def _alive(self) -> list[torch.optim.Optimizer]:
        return [one for known in self._optimizers if (one := known()) is not None]

    def _watch(self) -> None:
        assert self._driven is not None
        assert self._root is not None
        held = _held(self._root)
        own = [one for one in self._alive() if not held.isdisjoint(map(id, parameters(one)))]
        self._steps.optimizers.update(own)
        capture = self._driven.watch(watching(self._plan, self._root, tuple(own)), guarded=self._hooks)
        for optimizer in own:
            self._wraps.later(optimizer.register_step_post_hook(self._on_step).remove)
        capture.modules.on_outermost_call = lambda: self._guarded(self._on_outermost_call)

    # what is told

    def _on_iterator(self, call: Callable[..., Any], iterator: Any, loader: Any, *args: Any, **kwargs: Any) -> Any:
        self._loaders[iterator] = ref(loader)
        self._guarded(self._seed)
        return call(iterator, loader, *args, **kwargs)

    def _on_draw(self, call: Callable[..., Any], iterator: Any, *args: Any, **kwargs: Any) -> Any:
        known = self._loaders.get(iterator, lambda: None)()
        loader = iterator if known is None else known  # one that nobody holds any more is as good as its iterator
        if self._steps.ends_with_draw(loader):
            self._guarded(self._end)
        self._guarded(self._seed)
        try:
            batch = call(iterator, *args, **kwargs)
        except StopIteration:
            self._steps.exhausted(iterator)
            raise
        self._guarded(lambda: self._drew(iterator, loader, batch))
        return batch

    def _drew(self, iterator: Any, loader: Any, batch: Any) -> None:
        if not self._steps.open:
            self._steps.drew(iterator, loader, self._kept(batch))

    def _kept(self, batch: Any) -> Any:
        """A copy of a batch, which the script may change before its model is called."""
        try:
            pack(batch, "a batch of the loader")
            return copy.deepcopy(batch)
        except CaptureError as error:
            self._notes[f"the batches are not kept: {error}"] = None
        except Exception as error:  # noqa: BLE001  whatever copying a tensor or an object of the script's raises
            self._notes[f"the batches are not kept: they cannot be copied ({error})"] = None
        return None

    def _on_outermost_call(self) -> None:
        assert self._root is not None
        training, gradients = self._root.training, torch.is_grad_enabled()
        if self._steps.ends_with_call(training=training):
            self._end()
        if self._driven is not None and self._steps.begins_with_call(training=training, gradients=gradients):
            batch = self._steps.begin(training=training)
            if batch is None and not self._driven.recording:
                self._miss_batch()
            self._driven.begin(self._number, batch)
            self._number += 1

    def _miss_batch(self) -> None:
        """Say why a batch of the golden's has no counterpart."""
        assert self._driven is not None
        golden = getattr(self._driven.run, "golden", None)
        if golden is not None and golden.manifest["steps"].get(str(self._number), {}).get("batch") is not None:
            self._notes[
                "the script draws no batch from a torch DataLoader, so that none can be compared; what its model is called "
                "with is: leave the batches out with --ignore 'batch/*'"
            ] = None

    def _on_scale(self, call: Callable[..., Any], scaler: Any, outputs: Any) -> Any:
        scaled = call(scaler, outputs)
        if isinstance(outputs, torch.Tensor):
            self._scaled = (scaled, outputs)
        return scaled

    def _on_backward(self, call: Callable[..., Any], tensors: Any, *args: Any, **kwargs: Any) -> Any:
        if self._steps.open:
            self._steps.trained = True
            loss = self._scaled[1] if self._scaled is not None and self._scaled[0] is tensors else tensors
            if isinstance(loss, torch.Tensor) and loss.numel() == 1:
                self._guarded(lambda: self._loss(loss.detach()))
        self._scaled = None
        return call(tensors, *args, **kwargs)

    def _loss(self, loss: torch.Tensor) -> None:
        if self._driven is not None:
            self._driven.value(Kind.LOSS, "loss", loss)

    def _on_scaler_step(self, call: Callable[..., Any], scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        result = call(scaler, optimizer, *args, **kwargs)
        if optimizer in self._steps.optimizers and self._steps.open:
            self._steps.stepped(optimizer)  # also where it was skipped
        return result

    def _on_step(self, optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        if not self._steps.stepped(optimizer) and self._driven is not None:
            self._number += 1
            self._notes[
                f"step {self._number - 1} began unseen: the script went on training with another loader or in another mode"
            ] = None

    # what comes of it

    def _seed(self) -> None:
        if self._driven is not None and not self._steps.open:
            self._driven.seed_batch(self._number)

    def _end(self) -> None:
        counts = self._steps.end()
        if self._driven is None:
            return
        if not counts:
            self._begin_anew()
            return
        self._driven.end()
        if self._driven.over:
            self._conclude(self._besides())

    def _begin_anew(self) -> None:
        """What was observed was no step: the model was tried, before it was trained."""
        assert self._driven is not None
        self._driven.abandon()
        self._number = 0
        self._driven = open_case(self._plan)
        self._watch()

    def _besides(self) -> str:
        return "" if self._root is None else unobserved(self._root, self._alive())

    def _finish(self) -> None:
        case, error = self._plan.case, sys.exc_info()[1]
        if error is not None:  # in a process of multiprocessing
            self._ended_in = f"in {type(error).__name__}: {error}"
        if self._ended_in:
            done = self._number - (self._steps.open and not self._steps.complete)
            self._fail(UsageError(f"{case}: the script ended {self._ended_in} after {amount(done, 'step')}"))
        elif self._root is None:
            self._fail(UsageError(f"{case}: {not_found(self._plan.model, self._first)}"), idle=True)
        elif not self._steps.settled and not self._steps.trained:
            name = type(self._root).__name__
            self._fail(
                UsageError(
                    f"{case}: the script's model ({name}) was called, and never trained: neither backward nor a step of its "
                    "optimizer was seen"
                ),
                idle=True,
            )
        elif waited := self._steps.awaited:
            names = ", ".join(sorted(type(one).__name__ for one in waited))
            self._fail(
                UsageError(
                    f"{case}: where a step ends cannot be told: without a torch DataLoader it ends when all optimizers of the "
                    f"model have stepped, and {names} has not, while another stepped again and again. Draw the batches from a "
                    "DataLoader, or write the loop with pytest_parity.record and check"
                )
            )
        else:
            self._steps.end()
            self._conclude(self._besides())


def _held(module: torch.nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters()}
