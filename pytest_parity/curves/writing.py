"""MetricsWriter: a training's losses, logged step by step into a metrics file that is whole at every moment."""

from __future__ import annotations

import atexit
import os
import time
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.files import metrics_path
from pytest_parity.curves.log import EPOCH_END, Log
from pytest_parity.curves.pending import numbers_of, taken, taken_series, whole_number
from pytest_parity.curves.starting import held, started
from pytest_parity.curves.whole import write_whole
from pytest_parity.errors import CurveError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MetricsWriter"]

_SMALL, _SMALL_EPOCH = 1 << 16, 1 << 22
"""Bytes up to which the file is written whole each time, and at each epoch's end."""
_SHARE = 4
"""The journal is at most one part in this many of the file."""
_MANY = 10_000
"""Values that wait for a device; then they are read, though not written yet."""


class MetricsWriter:
    """Log a training into ``{experiment_name}_metrics.json`` in ``save_dir``.

    ::

        with MetricsWriter("mdlm_wikitext_768d", "checkpoints", model_type="MDLM", unit="nats/token") as metrics:
            for epoch in range(1, 6):
                for batch in loader:
                    step += 1
                    ...
                    metrics.log_step(step, loss, {"learning_rate": scheduler.get_last_lr()[0]})
                metrics.log_epoch(epoch)

    The file is there from the start; it is brought up to date every ``flush_seconds`` and at each epoch's end. A kill
    loses at most what came since, and there is no moment at which it is half written. What cannot be written (a full
    disk) is warned of once, kept, and tried again; only ``flush`` and ``close`` raise for it. Losses are numbers, or
    tensors with one element, of any device: those of a GPU are read when the file is written, and until then nothing
    waits for it.

    A file that is there already is an error, unless ``overwrite=True``, or ``resume=STEP`` with the last step of the
    checkpoint that training goes on from: of steps, epochs and series what came up to it is kept. ``unit`` is what the
    loss means and is measured in; ``units`` has the same of each series. Raises ``UsageError`` and ``CurveError``.
    """

    _closed = True

    def __init__(
        self,
        experiment_name: str,
        save_dir: str | os.PathLike[str] = ".",
        *,
        model_type: str = "",
        unit: str = "",
        units: Mapping[str, str] | None = None,
        resume: int | None = None,
        overwrite: bool = False,
        flush_seconds: float = 5.0,
    ) -> None:
        self.path = metrics_path(experiment_name, save_dir)
        """The metrics file."""
        if not flush_seconds >= 0:
            raise UsageError(f"flush_seconds={flush_seconds!r}: how many seconds at most are lost, or 0")
        self._seconds, self._process = flush_seconds, os.getpid()
        self._waiting: list[tuple[str, int, Any]] = []
        """What was logged and is not read yet: a table of the log, a number, and a value that was ``taken``."""
        self._failed = False
        self._saved: dict[str, int] = {}
        """How much of each table the files have."""
        head = Curve(experiment_name, model_type, _now(), unit=unit)
        with held(self.path) as self._journal:
            step = None if resume is None else whole_number("resume", resume)
            content = started(self.path, head, resume=step, overwrite=overwrite)
            self._log, self._others = Log.of(content.curve), content.others
            self._log.units |= units or {}
            self._epoch = _epoch_start(content.curve)
            """Where in the steps the epoch began that is under way."""
            self._write_whole()
        self._next = time.monotonic() + flush_seconds
        self._closed = False
        _open.add(self)

    def log_step(self, step: int, loss: Any, series: Mapping[str, Any] | None = None) -> None:
        """Log a step's loss and further metrics of it: ``learning_rate``, ``gradient_norm``, ``throughput``, your own."""
        self._check_open()
        number = whole_number("step", step)
        self._log_all(
            [("steps", number, taken(loss, f"the loss of step {number}")), *taken_series(number, series or {})]
        )

    def log_series(self, step: int, series: Mapping[str, Any]) -> None:
        """Log metrics of a step beside its loss: what was measured after it, as a validation's loss is."""
        self._check_open()
        self._log_all(taken_series(whole_number("step", step), series))

    def log_epoch(self, epoch: int, loss: Any = None) -> None:
        """Log an epoch's loss; by default the mean of the losses of its steps, those since the last epoch.

        If one of them is not finite, neither is the mean: NaN and infinity are part of it.
        """
        self._check_open()
        number = whole_number("epoch", epoch)
        given = None if loss is None else numbers_of([taken(loss, f"the loss of epoch {number}")])[0]
        self._read()
        losses = self._log.steps.arrays(self._epoch)[1]
        if given is None and not len(losses):
            raise UsageError(
                f"no step was logged in epoch {number}, so there is no mean; give log_epoch({number}, loss)"
            )
        ends = self._log.series.get(EPOCH_END, ())
        with np.errstate(all="ignore"):
            mean = float(np.mean(losses)) if given is None else given
        if len(ends) == len(self._log.epochs):  # else it goes on from a file that does not say where epochs end
            last = self._log.steps.numbers[-1] if len(self._log.steps) else 0
            self._log.table(f".{EPOCH_END}").append(last, number)
        self._log.epochs.append(number, mean)
        self._epoch = len(self._log.steps)
        self._try_to_flush(_SMALL_EPOCH)

    def flush(self) -> None:
        """Bring the file and its journal up to date. Raises ``CurveError``; what was logged is kept then."""
        if not self._elsewhere():
            try:
                self._flush(_SMALL)
            except OSError as error:
                raise CurveError(self._unwritten(error)) from None

    def close(self) -> None:
        """Write the whole file with ``end_time``: training is over. Raises ``CurveError``; call it again then."""
        if not self._elsewhere():
            self._read()
            self._close(_now())

    def abandon(self) -> None:
        """Write the whole file without ``end_time``: training was broken off. Never raises, it warns."""
        if self._elsewhere():
            return
        try:
            self._read()
        except Exception as error:  # noqa: BLE001  a device that has failed raises anything
            lost = len(self._waiting)
            self._waiting = []
            _warn(f"{self.path}: {lost} values could not be read from their device: {error}")
        try:
            self._close(None)
        except CurveError as error:
            _warn(str(error))

    @property
    def steps_in_epoch(self) -> int:
        """How many steps were logged since the last epoch: those that ``log_epoch`` would take the mean of."""
        waiting = sum(table == "steps" for table, *_ in self._waiting)
        return len(self._log.steps) - self._epoch + waiting

    @property
    def curve(self) -> Curve:
        """All that was logged so far, with what the file had before where it was resumed."""
        self._read()
        return self._log.curve()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def __del__(self) -> None:
        self.abandon()

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self.path} is written by the process that opened it; a MetricsWriter cannot be sent to another"
        )

    # how it is written

    def _elsewhere(self) -> bool:
        """Whether there is nothing to write here: it is closed, or this is a worker that was forked."""
        return self._closed or os.getpid() != self._process

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"{self.path} is closed; nothing can be logged into it any more")
        if os.getpid() != self._process:
            raise UsageError(f"{self.path} is written by the process that opened it; log there, not in a worker")

    def _log_all(self, logged: list[tuple[str, int, Any]]) -> None:
        self._waiting += logged
        if time.monotonic() >= self._next:
            self._try_to_flush(_SMALL)
        elif len(self._waiting) >= _MANY:
            self._read()

    def _read(self) -> None:
        """Put into the log what is waiting: here a GPU is waited for."""
        values = numbers_of([value for *_, value in self._waiting])
        waiting, self._waiting = self._waiting, []
        for (table, number, _), value in zip(waiting, values, strict=True):
            self._log.table(table).append(number, value)

    def _flush(self, small: int) -> None:
        self._next = time.monotonic() + self._seconds
        self._read()
        added = self._log.added(self._saved)
        if not added:
            return
        if self._size > small:
            self._journal.append(self._log.head.start_time, added)
            self._saved = self._log.lengths()
            if self._journal.size * _SHARE <= self._size:
                return
        self._write_whole()

    def _write_whole(self) -> None:
        lengths = self._log.lengths()
        self._size = write_whole(self.path, self._log.curve(), self._others)
        self._saved = lengths
        self._journal.clear()

    def _try_to_flush(self, small: int) -> None:
        try:
            self._flush(small)
            self._failed = False
        except OSError as error:
            if not self._failed:
                self._failed = True
                _warn(f"{self._unwritten(error)}; they are kept, and it is tried again")

    def _unwritten(self, error: OSError) -> str:
        count = len(self._log.steps) - self._saved["steps"]
        return f"{self.path} cannot be written: {error.strerror}; it lacks the last {count} steps"

    def _close(self, end_time: str | None) -> None:
        self._log.head = replace(self._log.head, end_time=end_time)
        try:
            self._write_whole()
        except OSError as error:
            self._log.head = replace(self._log.head, end_time=None)
            raise CurveError(self._unwritten(error)) from None
        self._journal.close()
        self._closed = True


_open: weakref.WeakSet[MetricsWriter] = weakref.WeakSet()


@atexit.register
def _abandon_all() -> None:
    """Save what a script has logged that ends without ``close``."""
    for writer in list(_open):
        writer.abandon()


def _now() -> str:
    return datetime.now().isoformat(timespec="seconds")  # noqa: DTZ005  local time, as the format has it


def _epoch_start(curve: Curve) -> int:
    """Behind the last epoch's end; behind everything where the file does not say where that is."""
    if not len(curve.epochs):
        return 0
    return int(np.sum(curve.steps <= curve.epoch_steps[-1])) if len(curve.epoch_steps) else len(curve.steps)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
