"""``--report FILE`` and ``--sink KIND:WHERE`` of the commands that compare, as pytest's ``--parity-report`` and ``--parity-sink``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.sinks import add_sink, checked_sinks, log_to
from pytest_parity.errors import GoldenError, UsageError

if TYPE_CHECKING:
    from pytest_parity.report.document import Told

__all__ = ["add_report", "check_reports", "manifest_of", "write_reports"]


def add_report(parser: argparse.ArgumentParser) -> None:
    """``--report``, ``--sink``."""
    parser.add_argument(
        "--report",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write what was found to a .json, .md or .html file; repeatable",
    )
    add_sink(parser)


def check_reports(reports: Sequence[Path], sinks: Sequence[str]) -> None:
    """Raise ``UsageError`` for a file or a place that could not be written at the end."""
    checked_sinks(sinks)
    if not reports:
        return
    from pytest_parity.report.files import check_report  # noqa: PLC0415

    for path in reports:
        check_report(path.absolute(), f"--report {path}")


def write_reports(
    reports: Sequence[Path],
    sinks: Sequence[str],
    cases: Sequence[Told],
    *,
    command: str,
    golden: Path,
    candidate: Path | None = None,
) -> None:
    """Write the files, and log to the places; raises ``UsageError`` for one that cannot be written."""
    if not (reports or sinks):
        return
    from pytest_parity.report.document import document, relative_to, versions  # noqa: PLC0415
    from pytest_parity.report.files import write_report  # noqa: PLC0415

    here = Path.cwd()
    told = document(
        cases,
        command=command,
        golden=relative_to(golden, here),
        candidate="" if candidate is None else relative_to(candidate, here),
        versions=versions(),
        places=[here, *(path.absolute().parent for path in (golden, candidate) if path is not None)],
    )
    path = Path()
    try:
        for path in reports:
            write_report(path.absolute(), told)
    except OSError as error:
        raise UsageError(f"--report {path} could not be written: {error.strerror}") from error
    if sinks:
        from pytest_parity.report.sinks.told import told_runs  # noqa: PLC0415

        log_to(checked_sinks(sinks), told_runs(told))


def manifest_of(case: Path) -> dict[str, Any]:
    """What a golden says of itself; nothing where that cannot be read."""
    from pytest_parity.golden.manifest import read_manifest  # noqa: PLC0415

    try:
        return read_manifest(case)
    except GoldenError:
        return {}
