"""``--report FILE`` of the commands that compare: the same files as pytest's ``--parity-report``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_parity.errors import GoldenError, UsageError

if TYPE_CHECKING:
    from pytest_parity.report.document import Told

__all__ = ["add_report", "check_reports", "manifest_of", "write_reports"]


def add_report(parser: argparse.ArgumentParser) -> None:
    """``--report``."""
    parser.add_argument(
        "--report",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write what was found to a .json, .md or .html file; repeatable",
    )


def check_reports(reports: Sequence[Path]) -> None:
    """Raise ``UsageError`` for a file that could not be written at the end."""
    if not reports:
        return
    from pytest_parity.report.files import check_report  # noqa: PLC0415

    for path in reports:
        check_report(path.absolute(), f"--report {path}")


def write_reports(
    reports: Sequence[Path], cases: Sequence[Told], *, command: str, golden: Path, candidate: Path | None = None
) -> None:
    """Write the files; raises ``UsageError`` for one that cannot be written."""
    if not reports:
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
    path = reports[0]
    try:
        for path in reports:
            write_report(path.absolute(), told)
    except OSError as error:
        raise UsageError(f"--report {path} could not be written: {error.strerror}") from error


def manifest_of(case: Path) -> dict[str, Any]:
    """What a golden says of itself; nothing where that cannot be read."""
    from pytest_parity.golden.manifest import read_manifest  # noqa: PLC0415

    try:
        return read_manifest(case)
    except GoldenError:
        return {}
