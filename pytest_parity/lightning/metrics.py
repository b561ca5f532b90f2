"""MetricsCallback: a fit's losses, batch by batch, in a metrics file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.curves.files import metrics_path
from pytest_parity.errors import CurveError, UsageError
from pytest_parity.lightning.logged import LoggedFit, Logging, names
from pytest_parity.lightning.packages import callback_classes

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MetricsCallback"]

_STEPS = ("batch", "optimizer")


class MetricsCallback:
    """Log a training: ``Trainer(callbacks=[MetricsCallback("mdlm_wikitext", unit="nats/token")])``.

    The file is ``{experiment_name}_metrics.json`` in ``save_dir``, by default the trainer's ``default_root_dir``; see
    ``pytest_parity.MetricsWriter`` for ``model_type`` (by default the module's class), ``unit``, ``overwrite`` and
    ``flush_seconds``. Rank 0 writes, what it has itself. A ``fast_dev_run`` writes nothing.

    ``loss`` is what ``training_step`` returns, not divided by ``accumulate_grad_batches``; another name is one of
    ``self.log``. ``step="batch"`` logs each batch, counted from 1 over all epochs; with ``step="optimizer"`` a step is one
    of the optimizer, and its loss the mean of the batches that were accumulated for it. An epoch's loss is the mean of
    its steps. A fit that goes on from a checkpoint keeps what the file has up to there, and drops what came after.

    Further series: ``learning_rate`` as each batch had it; ``gradient_norm``, of all gradients, before they are clipped;
    ``throughput``, in samples a second, of all ranks if they are alike; ``series``, names of ``self.log``.
    """

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """An object that is a callback to every Lightning package that is imported."""
        own: type[Self] = type(
            cls.__name__, (cls, *callback_classes()), {"__module__": cls.__module__, "__doc__": cls.__doc__}
        )
        return object.__new__(own)

    def __init__(
        self,
        experiment_name: str,
        save_dir: str | os.PathLike[str] | None = None,
        *,
        model_type: str | None = None,
        unit: str = "",
        loss: str = "loss",
        series: Iterable[str] = (),
        step: str = "batch",
        learning_rate: bool = True,
        gradient_norm: bool = False,
        throughput: bool = False,
        overwrite: bool = False,
        flush_seconds: float = 5.0,
    ) -> None:
        metrics_path(experiment_name, ".")
        if step not in _STEPS:
            raise UsageError(f"MetricsCallback(step={step!r}): 'batch' or 'optimizer'")
        if isinstance(series, str):
            raise UsageError(f"MetricsCallback(series={series!r}): a list of names, as in series=[{series!r}]")
        self._asked = Logging(
            experiment_name,
            save_dir,
            model_type,
            unit,
            loss,
            tuple(series),
            step,
            learning_rate,
            gradient_norm,
            throughput,
            overwrite,
            flush_seconds,
        )
        self._fit: LoggedFit | None = None
        self._batches = 0
        self.path: Path | None = None
        """The metrics file, once training has started; on rank 0."""

    def __reduce__(self) -> Any:
        """Made anew where a launcher sends it to another process: its class is not importable."""
        return _again, (type(self).__mro__[1], self._asked)

    # the trainer's hooks

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002  Lightning's signature
        """Forget the fit before."""
        if stage == "fit":
            self._fit = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the file: by now it is known whether, and from where, this fit goes on from another."""
        self._batches = trainer.fit_loop.epoch_loop.batch_progress.total.processed  # those before a checkpoint
        if trainer.is_global_zero and not trainer.fast_dev_run:
            self._fit = LoggedFit(self._asked, trainer, pl_module, self._batches)
            self.path = self._fit.writer.path

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Take what the batch begins with."""
        if self._fit is not None:
            self._fit.begin_batch()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:  # noqa: ARG002
        """Take what the optimizer steps by."""
        if self._fit is not None:
            self._fit.before_optimizer_step(optimizer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Log the batch."""
        self._batches += 1
        if self._fit is not None:
            self._fit.end_batch(self._batches, batch, outputs)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Log what it has told, and do not count its time."""
        if self._fit is not None:
            self._fit.pause()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Log the epoch."""
        if self._fit is not None:
            self._fit.end_epoch()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Close the file. What cannot be written is said in ``teardown``, when all else has been saved."""
        if self._fit is None:
            return
        try:
            self._fit.writer.close()
        except CurveError:
            return
        fit, self._fit = self._fit, None
        unseen = [name for name in self._asked.series if name not in fit.seen]
        if unseen and self._batches:
            has = names(trainer.callback_metrics)
            told = f"{self.path} lacks the series {', '.join(unseen)}: self.log has told no such name; there is {has}"
            warnings.warn(told, RuntimeWarning, stacklevel=1)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Save what there is, as of a training that was broken off."""
        fit, self._fit = self._fit, None
        if fit is not None:
            fit.writer.abandon()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:  # noqa: ARG002
        """Raise ``CurveError`` where the file could not be written."""
        fit, self._fit = self._fit, None
        if fit is not None:
            fit.writer.close()


def _again(cls: type[MetricsCallback], asked: Logging) -> MetricsCallback:
    made = cls(asked.experiment_name)
    made._asked = asked
    return made
