"""Loop: a training loop of one's own under observation, without pytest: what ``record`` and ``check`` give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch

from pytest_parity.errors import ParityFailure, UsageError
from pytest_parity.report import moved_lines, note_lines, recorded_line, summary_line
from pytest_parity.result import Comparison, Recorded
from pytest_parity.session.parity import Parity
from pytest_parity.session.run import Run
from pytest_parity.session.watch import Keep, Watch
from pytest_parity.settings import Settings

__all__ = ["Loop", "Watched"]

_NO_FLOOR = (
    "no noise floor: the body of a with cannot be run again; make it a function of run, and give it here besides: "
    "record(..., again=train). Checks of this golden use the dtypes' default tolerances"
)


@dataclass(frozen=True, slots=True)
class Watched:
    """What a with watches while it runs."""

    model: torch.nn.Module
    optimizer: Any
    kinds: Iterable[str] | None
    tolerances: Mapping[str, Any] | None = None
    weights: bool = False


class Loop(Parity):
    """What ``record`` and ``check`` give inside their ``with``: a ``Parity`` whose model is watched, and ``steps``.

    Its helpers are those of the fixture ``parity``, with the same meaning. A failure does not end the loop: all of them
    are raised at the end of the ``with``, as one. Printed, it says what was recorded or compared.
    """

    def __init__(self, settings: Settings, watched: Watched, run: Run | None = None) -> None:
        super().__init__(settings, run)
        self.recorded: Recorded | None = None
        """After the with of ``record``: the golden that it left."""
        self.failure: ParityFailure | None = None
        """After the with of ``check``: why the candidate is not the reference, if it is not."""
        self._watched = watched
        self._compared: Comparison | None = None
        self._watching: Watch | None = None

    @property
    def step(self) -> int | None:
        """The number of the step whose batch ``steps`` has given; ``None`` outside of such a loop."""
        return None if self._watching is None else self._watching.step

    def steps(
        self, loader: Iterable[Any], *, limit: int | None = None, keep: Keep = None, free: bool = False
    ) -> Iterator[Any]:
        """The steps of the loop, as those of ``parity.watch``: recording, the loader's batches; checking, the golden's.

        Recording keeps ``limit`` steps (default: all), every ``keep``-th, or those in the list ``keep``. Checking runs
        those that were kept. Without ``steps``, everything inside the ``with`` is step 0.
        """
        if self._watching is None:
            _refuse_late(self.settings)
        return self._watching.steps(loader, limit=limit, keep=keep, free=free)

    def comparison(self) -> Comparison | None:
        """What was compared; inside the ``with``, what is known so far. ``None`` while recording.

        What fails in a step is in its ``failures``, each with ``step``, ``site``, ``verdict``, ``metrics``.
        """
        return super().comparison() if self._compared is None else self._compared

    def __str__(self) -> str:
        if self.recorded is not None:
            return "\n".join(
                [recorded_line(self.recorded), *moved_lines(self.recorded.moved), *note_lines(self.recorded)]
            )
        if self._compared is not None:
            return "\n".join([summary_line(self._compared), *note_lines(self._compared)])
        return f"{self.case}: {'not recorded' if self.recording else 'not compared'}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """The model is watched inside, and was called at its end."""
        watched = self._watched
        if watched.weights:
            self.load(watched.model)
        watch = self.watch(
            watched.model, optimizer=watched.optimizer, kinds=watched.kinds, tolerances=watched.tolerances
        )
        with watch:
            self._watching = watch
            yield
            if not watch.stepped:
                raise UsageError(
                    f"{_call(self.settings)}: its body never took a step, so nothing of the {type(watched.model).__name__} was "
                    "seen; inside the with belongs: for batch in run.steps(loader): ... (or, without steps, one call of it)"
                )

    def conclude(self, again: Callable[[Loop], object] | None = None) -> None:
        """Commit the golden, with its noise floor where the body is a function; or judge what no helper has."""
        found = self.finish(None if again is None else self._repeating(again))
        if isinstance(found, Recorded):
            self.recorded = found if again is not None else replace(found, notes=(*found.notes, _NO_FLOOR))
        else:
            self._compared = found

    def _repeating(self, again: Callable[[Loop], object]) -> Callable[[Run], None]:
        def repeat(run: Run) -> None:
            loop = Loop(self.settings, self._watched, run)
            try:
                with loop.running():
                    again(loop)
            finally:
                loop.close()

        return repeat

    def fail(self, failure: ParityFailure) -> None:
        """Keep why the candidate is not the reference, and leave what fails in ``out``."""
        self.failure = failure
        self._compared = failure.comparison
        self.put_away()

    def put_away(self) -> None:
        """After the with, whatever became of it: files are closed, and nothing further is recorded or compared."""
        if isinstance(self.__dict__.get("_run"), _Over):
            return
        self._watching = None
        if self._compared is None:
            with suppress(Exception):  # something else was raised, and that is what is to be seen
                self._compared = super().comparison()
        try:
            self.abandon()
        finally:
            self.__dict__["_run"] = _Over(self.settings)


class _Over:
    """In the place of a run that has ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> NoReturn:
        _refuse_late(self._settings)


def _refuse_late(settings: Settings) -> NoReturn:
    raise UsageError(f"the with of {_call(settings)} is over; what is to be recorded or compared belongs inside it")


def _call(settings: Settings) -> str:
    return f"{settings.mode.value}({str(settings.root)!r}, {settings.case!r}, ...)"
