"""The command line: ``parity show``, ``verify``, ``accept``, ``prune`` and what else looks at goldens without running them.

A command is a module with ``add_parser(subparsers)`` and ``run(args) -> int``. Exit status as ``diff``: 0 all is well, 1
something differs or is wrong, 2 trouble. ``--version`` and ``--help`` import no torch; commands import it when they run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from pytest_parity.cli import accept, names, prune, show, verify
from pytest_parity.errors import ParityError

__all__ = ["main"]

COMMANDS = {"show": show, "verify": verify, "accept": accept, "prune": prune, "names": names}
TROUBLE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. An error that is not a defect of ours is one line on stderr."""
    args = _parser().parse_args(argv)
    try:
        status: int = COMMANDS[args.command].run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough; what was not said yet was not done either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    except (ParityError, OSError) as error:
        sys.stderr.write(f"parity {args.command}: {error}\n")
        return TROUBLE
    except KeyboardInterrupt:
        sys.stderr.write(f"parity {args.command}: interrupted\n")
        return TROUBLE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parity",
        description="Look at goldens, and change them on purpose. They are recorded and checked with pytest.",
        epilog="Exit status: 0 all is well, 1 something differs or is wrong, 2 trouble.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-parity {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        command.add_parser(subparsers)
    return parser


def _version() -> str:
    try:
        return version("pytest-parity")
    except PackageNotFoundError:
        return "(not installed)"
