"""``parity prune``: goldens that no test uses, and what killed recordings left. It only shows them, but with ``--yes``.

Which cases are used is known only from a collection, so pytest runs, with ``--collect-only``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from pytest_parity.cli.common import add_behind, add_json, say, write_json
from pytest_parity.cli.terminal import YELLOW, Style, progress
from pytest_parity.errors import UsageError
from pytest_parity.golden.cases import cases
from pytest_parity.golden.removal import find_litter, foreign, remove_golden, remove_litter
from pytest_parity.report.words import amount, listed

if TYPE_CHECKING:
    from pytest_parity.cli.common import Subparsers
    from pytest_parity.cli.terminal import Advance

__all__ = ["add_parser", "run"]

_REPORTER = "pytest_parity.plugin.collected"
_SHOWN = 5
_OFTEN = 0.05
"""Seconds between two signs of life."""
_COLLECTED = (0, 5)
"""Exit statuses of pytest that has collected tests, or none."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What pytest told: where the goldens are, the cases of all tests, and why those may not be all."""

    root: Path
    cases: frozenset[str]
    gaps: tuple[str, ...]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "prune",
        help="goldens that no test uses; shows them, and removes them with --yes",
        description="Find goldens that no test uses, and what killed recordings left. pytest collects the tests for it; "
        "what stands behind -- goes to pytest. Shows, and exits with 1 where there is something; --yes removes.",
        epilog="Example:\n  parity prune --root golden",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="where the goldens are (default: what pytest says)")
    parser.add_argument("--yes", action="store_true", help="remove them")
    add_behind(parser, "PYTEST ARGUMENT", "what pytest is given")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show what no test uses, or remove it."""
    with progress(args, "collecting the tests") as advance:
        collected = _collect([*args.behind, *(["--parity-ref", str(args.root)] if args.root else [])], advance)
    if collected.gaps:
        raise UsageError(f"not every test was collected, so nothing is known to be stale: {'; '.join(collected.gaps)}")
    there = cases(collected.root)
    stale = [case for case in there if case not in collected.cases]
    if there and not collected.cases:
        raise UsageError(
            f"no test has a case, and there are goldens in {collected.root}: {listed(there, _SHOWN)}; "
            "run this where the tests are"
        )
    litter = find_litter(collected.root)
    kept = {case: [str(path) for path in foreign(collected.root / case)] for case in stale}
    if args.yes:
        _remove(collected.root, stale, litter)
    if args.json:
        write_json({"root": str(collected.root), "stale": kept, "litter": list(map(str, litter)), "removed": args.yes})
    else:
        say(_lines(collected.root, kept, litter, Style.of(args.color, sys.stdout), removed=args.yes))
    return 1 if (stale or litter) and not args.yes else 0


def _remove(root: Path, stale: Iterable[str], litter: Iterable[Path]) -> None:
    for path in litter:
        remove_litter(path)
    for case in stale:
        remove_golden(root, case)


def _lines(
    root: Path, stale: dict[str, list[str]], litter: list[Path], style: Style, *, removed: bool
) -> Iterator[str]:
    done = "removed" if removed else f"{style('stale', YELLOW)}, no test has this case"
    for case, others in stale.items():
        yield f"{case}: {done}" + (f"; kept, since they are no golden's: {listed(others, _SHOWN)}" if others else "")
    for path in litter:
        yield f"{path}: {'removed' if removed else 'left by a recording that was killed'}"
    if not stale and not litter:
        yield f"nothing to prune in {root}"
    elif not removed:
        yield f"{amount(len(stale), 'stale golden')}, {amount(len(litter), 'leftover')}; nothing was removed, --yes removes"


def _collect(arguments: list[str], advance: Advance) -> Collected:
    """Have pytest collect, in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        told = Path(directory) / "collected.json"
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", _REPORTER, *arguments]
        done = _run(command, {**os.environ, "PARITY_COLLECTED": str(told)}, Path(directory) / "log", advance)
        plain: dict[str, Any] | None = json.loads(told.read_text(encoding="utf-8")) if told.exists() else None
    if plain is None and done.returncode in _COLLECTED:
        raise UsageError("pytest ran without the plugin parity, so nothing is known of the tests' cases")
    if plain is None:
        raise UsageError(f"pytest could not collect the tests (exit status {done.returncode}): {_why(done)}")
    return Collected(Path(plain["root"]), frozenset(plain["cases"]), tuple(plain["gaps"]))


def _run(
    command: list[str], environment: dict[str, str], log: Path, advance: Advance
) -> subprocess.CompletedProcess[str]:
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(  # noqa: S603  the user's own arguments to the user's own pytest
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        while process.poll() is None:
            advance(0)
            sleep(_OFTEN)
    return subprocess.CompletedProcess(command, process.returncode, log.read_text(encoding="utf-8", errors="replace"))


def _why(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "usage:" not in line]
    return next(iter([*errors, *lines]), "it says nothing")
