"""Writing: every run to every sink, each sink by itself: one that fails is told of, and takes nothing from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_parity.report.sinks.logged import Logged
from pytest_parity.report.sinks.place import Sink

__all__ = ["Written", "write_sinks"]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of it."""

    lines: tuple[str, ...]
    """Of each sink that was written, what and where, and how to look at it."""
    complaints: tuple[str, ...]
    """Of each that was not, why."""


def write_sinks(sinks: Sequence[Sink], runs: Sequence[Logged]) -> Written:
    """Log ``runs`` to each of ``sinks``, in that order; nothing is written where there is no run."""
    told = [_write(sink, runs) for sink in sinks] if runs else []
    return Written(tuple(line for line, done in told if done), tuple(line for line, done in told if not done))


def _write(sink: Sink, runs: Sequence[Logged]) -> tuple[str, bool]:
    """What became of one, and whether it was written."""
    try:
        return f"{sink.option}: {_writer(sink)(sink, runs)}", True
    except Exception as error:  # noqa: BLE001  a library's own, of network, disk or account
        why = " ".join(str(error).split()) or "no reason given"
        return f"{sink.option} could not be written: {type(error).__name__}: {why}", False


def _writer(sink: Sink) -> Callable[[Sink, Sequence[Logged]], str]:
    """The function that logs, and says in a line what it did."""
    if sink.kind == "tensorboard":
        from pytest_parity.report.sinks.tensorboard import write_tensorboard  # noqa: PLC0415

        return write_tensorboard
    if sink.kind == "wandb":
        from pytest_parity.report.sinks.wandb import write_wandb  # noqa: PLC0415

        return write_wandb
    from pytest_parity.report.sinks.mlflow import write_mlflow  # noqa: PLC0415

    return write_mlflow
