"""``--sink KIND:WHERE`` of the commands that find something: the same places as pytest's ``--parity-sink``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_parity.errors import UsageError

if TYPE_CHECKING:
    from pytest_parity.report.sinks import Sink
    from pytest_parity.report.sinks.logged import Logged

__all__ = ["add_sink", "checked_sinks", "log_to"]


def add_sink(parser: argparse.ArgumentParser) -> None:
    """``--sink``."""
    parser.add_argument(
        "--sink",
        action="append",
        default=[],
        metavar="KIND:WHERE",
        help="log what was found to tensorboard:DIR, wandb:DIR, wandb://PROJECT, mlflow:DIR or mlflow:URI; repeatable",
    )


def checked_sinks(typed: Sequence[str]) -> list[Sink]:
    """The places; raises ``UsageError`` for one that could not be written at the end."""
    if not typed:
        return []
    from pytest_parity.report.sinks import check_sinks, read_sink  # noqa: PLC0415

    sinks = [read_sink(text, "--sink", Path.cwd()) for text in typed]
    check_sinks(sinks)
    return sinks


def log_to(sinks: Sequence[Sink], runs: Sequence[Logged]) -> None:
    """Log the runs to each, and say so on stderr; raises ``UsageError`` for those that cannot be written, at the end."""
    if not sinks:
        return
    from pytest_parity.report.sinks import write_sinks  # noqa: PLC0415

    written = write_sinks(sinks, runs)
    for line in (*(note for run in runs for note in run.notes), *written.lines):
        sys.stderr.write(f"{line}\n")
    if written.complaints:
        raise UsageError("\n".join(written.complaints))
