"""Driven: a case whose loop runs elsewhere, in a trainer or a script; whoever drives says when a step begins and ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from pytest_parity.capture import Capture, Guard, unguarded
from pytest_parity.errors import GoldenError, LoadError, ParityFailure, UsageError
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.manifest import read_manifest
from pytest_parity.result import Comparison, Recorded
from pytest_parity.session.checking import Checking, checking
from pytest_parity.session.plan import Keeping
from pytest_parity.session.recording import recording
from pytest_parity.session.run import Run, Watching
from pytest_parity.settings import Batches, Mode, Settings
from pytest_parity.site import Kind, Site

__all__ = ["Driven"]


class Driven:
    """Records or checks what others run: ``watch``, then ``begin`` and ``end`` of each step, then ``finish``.

    A step that differs stops nothing. ``weights``: a check carries the reference's over, and each of its steps starts
    from the reference's weights and optimizer state.
    """

    def __init__(
        self, settings: Settings, keeping: Keeping, *, weights: bool = False, run: Checking | None = None
    ) -> None:
        self.settings = settings
        self.recording = settings.mode is Mode.RECORD
        self._weights = weights
        self._place = 0
        self._kept: list[int] = []
        self.open: int | None = None
        """The kept step that is under way."""
        self.over = False
        """Whether no step that may come is kept."""
        self.run: Run
        if self.recording:
            self.run = recording(settings)
            self._keeping = keeping
        else:
            self.run = run = run or checking(settings)
            self._keeping = keeping.of_golden(run.golden.steps)
            run.golden.narrow(self._keeping.steps or ())
            if not weights and len(run.golden.steps) > 1:
                run.go_without_floors()
        self.drew = False
        """Whether something drew random numbers in a kept step, of which we know only that it was the code itself."""
        self._generators: list[torch.Tensor] = []
        self.leaves: Callable[[], None] | None = None
        """What concludes it in the place of ``finish``: a further run for the noise floor, which ends the process."""

    def watch(self, watching: Watching, guarded: Guard = unguarded) -> Capture:
        """Put a model under observation: its structure is compared, the reference's weights are loaded where asked for.

        ``guarded`` may keep what a hook raises from the code under observation.
        """
        if self._weights and not self.recording:
            try:
                self.run.load(watching.model, watching.names)
            except LoadError:
                self.run.make_capture(watching)  # a structure that is another is what differs, and says more
                raise
        capture = self.run.make_capture(watching)
        capture.attach(guarded)
        return capture

    @property
    def replaces(self) -> bool:
        """Whether the golden's batches take the place of those that are drawn."""
        return not self.recording and self.settings.batches is Batches.RECORDED

    def seed_batch(self, step: int) -> None:
        """Seed the generators for the batch of a step that comes; nothing under ``rng="off"``."""
        self.run.streams.seed_step(step, "batch")

    def begin(self, step: int, batch: Any) -> Any:
        """Begin a step; gives the batch to train on: the golden's, where those are given to a check."""
        keep = not self.over and self._keeping.wants(step, self._place)
        self.over = self.over or self._keeping.over(step, self._place)
        self._place += 1
        self.run.skipping = not keep
        if not keep:
            self.run.pass_by(step, batch)
            return batch
        self.open = step
        self._kept.append(step)
        given = self.run.take(step, batch)
        self._generators = self.run.streams.states()
        return given

    def value(self, kind: Kind, name: str, value: Any) -> None:
        """An output or a loss of the step; numbered where its name is there already."""
        if self.open is not None:
            with suppress(ParityFailure):  # it is in the comparison
                self.run.observe_value(self.run.numbered(Site(kind, name)), value)

    def end(self) -> None:
        """End the step: gradients and updated weights are as they will stay."""
        if self.open is not None and self.run.capture is not None:
            self.run.capture.end_step()
            self.run.settled, self.open = self.open, None
            if self.run.streams.policy == "off":
                self.drew = self.drew or not all(map(torch.equal, self._generators, self.run.streams.states()))

    def finish(self) -> Comparison | Recorded:
        """Conclude; raises ``ParityFailure`` where the candidate differs, ``UsageError`` where steps are not there."""
        self.end()
        self._detach()
        self.run.skipping = False
        if self.leaves is not None:
            self.leaves()
        if self.recording:
            self._check_reached()
        return self.run.finish()

    def abandon(self) -> None:
        """Give up: nothing is written, the old golden is untouched; what of a step is still to come is not seen."""
        self.open = None
        self._detach()
        self.run.abandon()

    def _detach(self) -> None:
        if self.run.capture is not None:
            self.run.capture.modules.end_step()
            self.run.capture.detach()

    def _check_reached(self) -> None:
        wanted = self._keeping.steps
        missing = [step for step in wanted or () if step not in self._kept]
        if missing:
            raise UsageError(
                f"{self.settings.case} was to be recorded in step {', '.join(map(str, missing))}, and the training ended "
                f"after {self._place} steps; train longer, or keep earlier steps. Nothing was written"
            )
        if not self._kept:
            raise UsageError(f"{self.settings.case} was not recorded: the training ran no step that is kept")
        before = self._steps_there()
        if not self.over and len(self._kept) < before:
            raise UsageError(
                f"{self.settings.case} was not recorded: the training ended after {self._place} steps, of which "
                f"{len(self._kept)} are kept, and the golden that is there has {before}. If it is right that it ends there, "
                f"name the steps: --steps {','.join(map(str, self._kept))}, steps={self._kept}"
            )

    def _steps_there(self) -> int:
        """How many steps the golden keeps whose place the recording takes."""
        path = self.settings.root / self.settings.case
        with suppress(GoldenError):
            return len(read_manifest(path)["steps"]) if (path / MANIFEST).is_file() else 0
        return 0
