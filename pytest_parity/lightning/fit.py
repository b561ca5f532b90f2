"""Fit: a callback that has one ``fit`` of a trainer recorded or checked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_parity.capture import unguarded
from pytest_parity.errors import ParityError, ParityFailure, UsageError
from pytest_parity.lightning.packages import callback_classes
from pytest_parity.lightning.ranks import first_of_all, named
from pytest_parity.lightning.settings import trainer_settings
from pytest_parity.lightning.steps import Steps, T
from pytest_parity.result import Comparison, Recorded
from pytest_parity.session.driven import Driven
from pytest_parity.session.guard import HookGuard
from pytest_parity.session.plan import Outcome, Plan
from pytest_parity.session.script import concluded, for_rank, open_case, watching

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FitCallback"]


class FitCallback:
    """What both callbacks do: the trainer's batches are the steps, numbered as it counts them over epochs, on from a checkpoint's.

    A step is one batch: with gradient accumulation most have no updated weights. Gradients are those that the optimizer
    steps by: unscaled, clipped, averaged over ranks. Sanity checking and validation are no steps. When the last step
    that is kept is over, the hooks come off.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """An object that is a callback to every Lightning package that is imported."""
        own: type[Self] = type(
            cls.__name__, (cls, *callback_classes()), {"__module__": cls.__module__, "__doc__": cls.__doc__}
        )
        return object.__new__(own)

    def __init__(self, plan: Plan, *, handed: bool = False) -> None:
        self._plan = plan
        self._handed = handed
        """Whether it comes from ``parity record|check``: nothing of it may end the script, or be raised in it."""
        self._here = plan
        """The plan of this rank."""
        self._rank = 0
        self._driven: Driven | None = None
        self._steps: Steps | None = None
        self._error: ParityError | None = None
        """What the end of the training raises."""
        self._hooks = HookGuard()
        """What a hook has raised that may not end the script, before it is told."""
        self.comparison: Comparison | None = None
        """After training, what a check compared."""
        self.recorded: Recorded | None = None
        """After training, what a recording left."""

    @classmethod
    def of_plan(cls, plan: Plan, *, handed: bool = False) -> Self:
        """The callback of a plan."""
        made = cls.__new__(cls)
        FitCallback.__init__(made, plan, handed=handed)
        return made

    def __reduce__(self) -> Any:
        """Made anew where a launcher sends it to another process: its class is not importable."""
        return _again, (type(self).__mro__[1], self._plan, self._handed)

    @property
    def case(self) -> str:
        """Of the golden."""
        return self._plan.case

    # the trainer's hooks

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002  Lightning's signature
        """Open the case, so that what is wrong with it is said before anything is trained."""
        if stage != "fit":
            return
        self._drop()
        self._error = self.comparison = self.recorded = None
        self._hooks.clear()
        self._rank = trainer.global_rank
        plan = for_rank(self._plan, self._rank)
        if plan is None or (self._handed and not plan.claim(self._rank)):
            return
        self._here = plan
        self._guarded(lambda: self._open(trainer), None)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Seed the first batch: the loader's iterator is made before training starts."""
        self._seed(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Put the model under observation; weights that a checkpoint holds are in it by now."""
        self._guarded(lambda: self._watch(trainer, pl_module), None)
        self._seed(trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Seed the epoch's first batch."""
        self._seed(trainer)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:  # noqa: ARG002
        """Take the loss, where the step does its own backward; else it is what the step returns."""
        steps = self._steps
        if steps is not None and not pl_module.automatic_optimization:
            self._guarded(lambda: steps.loss(loss), None)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """End the step."""
        if self._steps is not None:
            self._guarded(self._steps.end, None)
        if self._driven is not None and self._driven.over:
            self._guarded(self._conclude, None)
            if self._error is not None:
                first = f"{named(self._rank)}{_first_line(self._error)}"
                sys.stderr.write(f"{first}\n  what differs is shown when the training ends\n")
        self._seed(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Seed the next batch again, after validation has drawn."""
        if self._steps is not None:
            self._seed(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Conclude."""
        self._guarded(self._conclude, None)
        if not self._handed:
            self._error = first_of_all(self._error)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002
        """Raise what a check found: all else that belongs to the training is over."""
        if stage != "fit":
            return
        if self._driven is not None and any(getattr(one, "_early_exit", False) for one in trainer.callbacks):
            self._drop()  # a tuner's trial, which trains nothing: the fit is still to come
            if self._handed:
                self._plan.disclaim(self._rank)
        if self._driven is not None:
            if self._handed:
                self._give_up(self._untrained(), idle=True)
            else:
                self._drop()
                raise self._untrained()
        error, self._error = self._error, None
        if error is not None:
            raise error.with_traceback(None)  # where we found it says nothing to the script

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Give up: a recording is discarded; of a check that was over, say what it found."""
        if self._error is not None:
            sys.stderr.write(f"{self._error}\n")
            self._error = None
        if self._driven is not None:
            self._driven.run.explain(exception)
            ended = f"{self.case}: the training ended in {type(exception).__name__}: {exception}"
            self._give_up(UsageError(ended), idle=True)

    # what they lead to

    def _open(self, trainer: Any) -> None:
        ours = [one for one in trainer.callbacks if isinstance(one, FitCallback) and one is not self]
        others = [one for one in ours if not one._handed]  # noqa: SLF001  what is handed gives way
        if others:
            raise UsageError(
                f"{self.case}: a trainer has one ParityRecord or ParityCheck, and this one has another besides, of "
                f"{others[0].case}; what each has loaded and seeded would be in the other's way: fit once for each"
            )
        self._driven = open_case(replace(self._here, config=trainer_settings(trainer)))

    def _watch(self, trainer: Any, model: Any) -> None:
        if self._driven is None:
            return
        watched = watching(self._here, model, tuple(trainer.optimizers))
        self._driven.watch(watched, guarded=self._hooks if self._handed else unguarded)
        self._steps = Steps(self._driven, trainer, model, self._guarded)
        self._steps.attach()

    def _seed(self, trainer: Any) -> None:
        """Seed the batch that is drawn next; a loader without a length is asked for one more than is trained on."""
        if self._driven is not None:
            loop = trainer.fit_loop
            waiting = getattr(getattr(loop, "_data_fetcher", None), "batches", ())
            self._driven.seed_batch(loop.epoch_loop.batch_progress.total.ready + len(waiting))

    def _guarded(self, action: Callable[[], T], otherwise: T) -> T:
        """What is wrong with us ends the script where it asked for us itself; a check that differs ends nothing."""
        try:
            self._hooks.check()
            return action()
        except ParityFailure:
            return self._guarded(lambda: self._concluding(otherwise), otherwise)
        except Exception as error:
            if not self._handed:
                self._drop()
                raise
            self._give_up(error if isinstance(error, ParityError) else _inside(error))
        return otherwise

    def _untrained(self) -> UsageError:
        return UsageError(
            f"{self.case}: the trainer had nothing to train, so nothing was "
            f"{'recorded' if self._plan.recording else 'compared'}; look at its max_epochs, max_steps and limit_train_batches, "
            "and at what the checkpoint that it resumes has behind it"
        )

    def _concluding(self, otherwise: T) -> T:
        self._conclude()
        return otherwise

    def _conclude(self) -> None:
        driven = self._let_go()
        if driven is None:
            return
        try:
            outcome, result = concluded(driven, rank=self._rank)
        except BaseException:
            with suppress(OSError):
                driven.abandon()
            raise
        if isinstance(result, ParityFailure):
            self.comparison = result.comparison
        elif isinstance(result, Comparison):
            self.comparison = result
        elif isinstance(result, Recorded) and result.sites:
            self.recorded = result
        if self._handed:
            outcome.leave(self._plan)
        elif isinstance(result, ParityError) and (self._plan.raises or not isinstance(result, ParityFailure)):
            self._error = result  # which says it
        else:
            sys.stderr.write("".join(f"{named(self._rank)}{line}\n" for line in outcome.lines))

    def _give_up(self, error: ParityError, *, idle: bool = False) -> None:
        """``idle``: nothing came of this fit, and the script may fit again."""
        self._drop()
        self._hooks.clear()
        if self._handed:
            Outcome.error(error, self._plan, self._rank).leave(self._plan, idle=idle)

    def _drop(self) -> None:
        driven = self._let_go()
        if driven is not None:
            with suppress(OSError):
                driven.abandon()

    def _let_go(self) -> Driven | None:
        """The model is as it was; what was driven is still to be ended."""
        driven, self._driven = self._driven, None
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.detach()
        return driven


def _again(kind: type[FitCallback], plan: Plan, handed: bool) -> FitCallback:
    return kind.of_plan(plan, handed=handed)


def _inside(error: Exception) -> ParityError:
    """An error that is not one of ours to raise: a disk that is full, or a defect."""
    return UsageError(f"{type(error).__name__}: {error}; the script went on without us")


def _first_line(error: ParityError) -> str:
    return next(iter(str(error).splitlines()), "")
