"""Logged: what ``MetricsCallback`` logs of one fit, and how it was asked to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_parity.curves.writing import MetricsWriter
from pytest_parity.errors import UsageError
from pytest_parity.lightning.measured import gradient_norm, learning_rates, rows

__all__ = ["LoggedFit", "Logging", "names"]


@dataclass(frozen=True, slots=True)
class Logging:
    """The callback's arguments."""

    experiment_name: str
    save_dir: str | os.PathLike[str] | None
    model_type: str | None
    unit: str
    loss: str
    series: tuple[str, ...]
    step: str
    learning_rate: bool
    gradient_norm: bool
    throughput: bool
    overwrite: bool
    flush_seconds: float

    def writer(self, trainer: Any, module: Any, last: int) -> MetricsWriter:
        """The metrics file of a fit that goes on from a step; from 0 it begins."""
        return MetricsWriter(
            self.experiment_name,
            trainer.default_root_dir if self.save_dir is None else self.save_dir,
            model_type=type(module).__name__ if self.model_type is None else self.model_type,
            unit=self.unit,
            units={"throughput": "samples/s"} if self.throughput else None,
            resume=last or None,
            overwrite=self.overwrite and not last,
            flush_seconds=self.flush_seconds,
        )


class LoggedFit:
    """One fit: what its batches have left so far of the step that is under way."""

    def __init__(self, asked: Logging, trainer: Any, module: Any, batches: int) -> None:
        self._asked = asked
        self._trainer = trainer
        self._module = module
        self._by_batch = asked.step == "batch"
        self._stepped: int = trainer.global_step
        self._losses: list[Any] = []
        self._measured: dict[str, Any] = {}
        self._number = batches if self._by_batch else self._stepped
        """The last step that was logged."""
        self._samples = 0
        self._since: float | None = None
        """When that began which the next throughput is of."""
        self.seen: dict[str, Any] = {}
        """What each name of ``series`` was last."""
        self.writer = asked.writer(trainer, module, self._number)

    def begin_batch(self) -> None:
        """Take the learning rates: when the batch is over, a scheduler has set the next one's."""
        if self._asked.learning_rate:
            self._measured |= learning_rates(self._trainer.optimizers)
        self._since = self._since or time.perf_counter()

    def before_optimizer_step(self, optimizer: Any) -> None:
        """Take the gradients' norm."""
        if self._asked.gradient_norm:
            known = [place for place, one in enumerate(self._trainer.optimizers) if one is optimizer]
            place = known[0] if known else 0
            self._measured[f"gradient_norm/{place}" if place else "gradient_norm"] = gradient_norm(optimizer)

    def end_batch(self, number: int, batch: Any, outputs: Any) -> None:
        """Log the batch with this number, or the step of the optimizer that it completes."""
        if self._asked.throughput:
            self._samples += rows(batch) * self._trainer.world_size
        loss = self._loss(outputs)
        if loss is not None:
            self._losses.append(loss)
        before, self._stepped = self._stepped, self._trainer.global_step
        if self._by_batch or self._stepped != before:
            self._number = number if self._by_batch else self._stepped
            if self._losses:
                self.writer.log_step(self._number, sum(self._losses) / len(self._losses), self._series())
            self._losses, self._measured = [], {}

    def pause(self) -> None:
        """Take what a validation has told; it and what else is done until the next batch is not training."""
        self._since, self._samples = None, 0
        told = self._told()
        if told:
            self.writer.log_series(self._number, told)

    def end_epoch(self) -> None:
        """Log the epoch, unless it was logged before the checkpoint that this fit goes on from."""
        self.pause()
        if self.writer.steps_in_epoch:
            self.writer.log_epoch(self._trainer.current_epoch + 1)

    def _loss(self, outputs: Any) -> Any:
        """Of a batch, as one that is not accumulated would have it; None where ``training_step`` has skipped it."""
        name = self._asked.loss
        if name != "loss":
            told = self._trainer.callback_metrics
            if name not in told:
                raise UsageError(
                    f"MetricsCallback(loss={name!r}): training_step has logged no such metric; there is {names(told)}"
                )
            return told[name]
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if self._module.automatic_optimization:
            return loss if loss is None else loss * self._trainer.accumulate_grad_batches
        if loss is None:
            raise UsageError(
                "MetricsCallback: under manual optimization training_step has to return its loss; or log it, "
                "self.log('train_loss', loss), and name it: MetricsCallback(..., loss='train_loss')"
            )
        return loss

    def _series(self) -> dict[str, Any]:
        found, now = dict(self._measured), time.perf_counter()
        if self._asked.throughput and self._since is not None and now > self._since:
            found["throughput"] = self._samples / (now - self._since)
        self._samples, self._since = 0, now
        return found | self._told()

    def _told(self) -> dict[str, Any]:
        """What ``self.log`` has told of ``series`` since it was last asked."""
        found = {}
        told = self._trainer.callback_metrics if self._asked.series else {}
        for name in self._asked.series:
            value = told.get(name)
            # one that was not told again is there again, in the memory that it had; ours keeps it from being used anew
            if value is not None and (name not in self.seen or value.data_ptr() != self.seen[name].data_ptr()):
                found[name] = self.seen[name] = value
        return found


def names(metrics: Mapping[str, Any]) -> str:
    """The names that ``self.log`` has told."""
    return ", ".join(sorted(metrics)) or "none at all"
