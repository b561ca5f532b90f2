"""The command line: one module a command, with ``add_parser(subparsers)`` and ``run(args) -> int``.

Exit status as ``diff``: 0 all is well, 1 something differs or is wrong, 2 trouble. Only the module of the command that is
run is imported, and none imports torch before it runs: ``--version``, ``--help`` and completion answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from pytest_parity.cli.manners import mannered
from pytest_parity.cli.terminal import RED, Style
from pytest_parity.errors import ParityError

__all__ = ["main", "make_parser", "parse"]

COMMANDS = {
    "record": "record",
    "check": "check",
    "compare": "compare",
    "import": "importing",
    "show": "show",
    "verify": "verify",
    "accept": "accept",
    "repro": "repro",
    "prune": "prune",
    "names": "names",
    "config": "config",
    "structure": "structure",
    "consistency": "consistency",
    "curves": "curves",
    "doctor": "doctor",
    "completion": "completion",
}
"""Each command's module, in the order of ``parity --help``."""
BEHIND = frozenset({"check", "prune", "record"})
"""Commands that hand what stands behind ``--`` to another program: it is their ``args.behind``, word by word."""
TROUBLE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status. An error that is not a defect of ours is one line on stderr."""
    args = parse(sys.argv[1:] if argv is None else argv)
    try:
        status: int = _module(args.command).run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough; what was not said yet was not done either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    except (ParityError, OSError) as error:
        return _trouble(args, str(error))
    except KeyboardInterrupt:
        return _trouble(args, "interrupted")
    return status


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What is asked for; exits as argparse does, 0 after ``--help`` and 2 where the words make no sense."""
    words = list(argv)
    alone = _command(words)
    behind: list[str] = []
    if alone in BEHIND and "--" in words:
        place = words.index("--")
        words, behind = words[:place], words[place + 1 :]
    args = make_parser(alone).parse_args(words)
    if args.command in BEHIND:
        args.behind += behind
    return args


def _command(words: list[str]) -> str | None:
    """The command that is asked for; none where something else than our common options stands before it."""
    rest = iter(words)
    for word in rest:
        if word == "--color":
            next(rest, None)
        elif word not in {"-q", "--quiet"} and not word.startswith("--color="):
            return word if word in COMMANDS else None
    return None


def make_parser(alone: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands, or of one alone."""
    parser = argparse.ArgumentParser(
        prog="parity",
        allow_abbrev=False,
        description="Look at goldens, compare them, and change them on purpose.",
        epilog="Exit status: 0 all is well, 1 something differs or is wrong, 2 trouble.\n"
        "Each command explains itself, with an example: parity verify --help",
    )
    parser.add_argument("--version", action="version", version=f"pytest-parity {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS if alone is None else [alone]:
        _module(command).add_parser(subparsers)
    return mannered(parser, subparsers.choices.values())


def _module(command: str) -> ModuleType:
    return import_module(f"{__name__}.{COMMANDS[command]}")


def _trouble(args: argparse.Namespace, message: str) -> int:
    style = Style.of(args.color, sys.stderr)
    sys.stderr.write(f"{style(f'parity {args.command}:', RED)} {message}\n")
    return TROUBLE


def _version() -> str:
    try:
        return version("pytest-parity")
    except PackageNotFoundError:
        return "(not installed)"
