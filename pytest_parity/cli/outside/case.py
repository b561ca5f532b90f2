"""The case of a script's process, from its opening to what is left of it: nothing of it may end or change the script."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from _sitebuiltins import Quitter
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any

import torch

from pytest_parity.cli.outside import forget
from pytest_parity.cli.outside.wraps import Wraps
from pytest_parity.errors import ParityError, ParityFailure, UsageError
from pytest_parity.session.driven import Driven
from pytest_parity.session.guard import HookGuard
from pytest_parity.session.plan import Outcome, Plan
from pytest_parity.session.script import ASIDE, concluded, for_rank, open_case
from pytest_parity.settings import Batches

__all__ = ["Case"]


class Case(ABC):
    """A case in a script's process; who finds the script's steps drives it while it is open: ``_driven``."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._rank = _rank()
        self._driven: Driven | None = None
        self._notes: dict[str, None] = {}
        self._wraps = Wraps()
        self._ended_in = ""
        """How the script has ended, where that was not at the end of its code."""
        self._hooks = HookGuard()

    @property
    @abstractmethod
    def _begun(self) -> bool:
        """Whether a training was found."""

    @abstractmethod
    def _finish(self) -> None:
        """Conclude at the script's end."""

    def _open(self) -> bool:
        """Open the case, before anything is trained; false where this process has no part in it."""
        plan = for_rank(self._plan, self._rank)
        if plan is None or not plan.claim(self._rank):
            self._let_go()
            return False
        self._plan = plan
        try:
            if plan.draw is not None:
                plan = replace(plan, batches=Batches.UNSEEN)
            if plan.batches is Batches.RECORDED:
                raise UsageError(
                    "--batches recorded: a batch can be put in the place of a script's own under Lightning only; elsewhere "
                    "the script's own are compared (--batches own), or write the loop with pytest_parity.check"
                )
            self._driven = open_case(plan)
        except ParityError as error:
            self._fail(error)
            return False
        self._wraps.put(sys, "exit", self._on_exit)
        self._wraps.put(Quitter, "__call__", self._on_quit)
        self._wraps.put(sys, "excepthook", self._on_exception)
        atexit.register(self._at_exit)
        self._wraps.later(lambda: atexit.unregister(self._at_exit))
        Finalize(None, self._at_exit, exitpriority=0)  # a process of multiprocessing ends without atexit
        ASIDE.append(self._step_aside)
        os.register_at_fork(after_in_child=self._forked)
        return True

    def _conclude(self, *notes: str) -> None:
        driven, self._driven = self._driven, None
        if driven is not None:
            said = tuple(filter(None, (*self._notes, *notes)))
            outcome, _ = concluded(driven, rank=self._rank, notes=said)
            outcome.leave(self._plan)
        self._let_go()

    def _guarded(self, action: Callable[[], object]) -> None:
        """What goes wrong with us is told at the end, and does not end the script."""
        if self._driven is None:
            return
        if action != self._finish:
            self._ended_in = ""  # it has not ended
        try:
            self._hooks.check()
            action()
        except ParityFailure:
            self._guarded(self._conclude)
        except ParityError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  a defect of ours, or a disk that is full
            self._fail(_inside(error))

    def _fail(self, error: ParityError, *, idle: bool = False) -> None:
        driven, self._driven = self._driven, None
        if driven is not None:
            with suppress(OSError):
                driven.abandon()
        Outcome.error(error, self._plan, self._rank).leave(self._plan, idle=idle)
        self._let_go()

    def _let_go(self) -> None:
        self._wraps.undo()
        forget()

    def _step_aside(self) -> None:
        """Another drives the script's training: this one, where it has not begun, leaves it to that."""
        if self._driven is not None and not self._begun:
            driven, self._driven = self._driven, None
            driven.abandon()
            self._plan.disclaim(self._rank)
            self._let_go()

    def _forked(self) -> None:
        """This process is a copy of the one that trains: what is written belongs to that."""
        if self._driven is not None:
            self._inherited, self._driven = self._driven, None  # kept: its end would remove what the other writes
            if self._inherited.run.capture is not None:
                self._inherited.run.capture.detach()
            self._let_go()

    def _on_exception(
        self, call: Callable[..., Any], kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self._ended_in = f"in {kind.__name__}: {error}"
        call(kind, error, trace)

    def _on_exit(self, call: Callable[..., Any], status: Any = None, /) -> None:
        if status:
            self._ended_in = f"with sys.exit({status!r})"
        call(status)

    def _on_quit(self, call: Callable[..., Any], quitter: Any, code: Any = None) -> None:
        if code:
            self._ended_in = f"with {quitter.name}({code!r})"  # exit and quit, which call no sys.exit
        call(quitter, code)

    def _at_exit(self) -> None:
        self._guarded(self._finish)


def _rank() -> int:
    """This process's place in a distributed run."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank()
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)


def _inside(error: Exception) -> ParityError:
    """An error that is not one of ours to raise, with where it arose."""
    if isinstance(error, OSError):
        return UsageError(f"{error}; the script went on without us")
    where = "".join(traceback.format_exception(error)).rstrip()
    return UsageError(
        f"a defect of pytest-parity, please report it: {type(error).__name__}: {error}; the script went on without us\n{where}"
    )
