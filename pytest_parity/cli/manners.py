"""What every command of ours has: ``--color``, ``--quiet``, and a help text whose examples keep their lines."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Iterable

from pytest_parity.cli.terminal import COLORS

__all__ = ["mannered"]


def mannered(parser: argparse.ArgumentParser, commands: Iterable[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Give a parser, and its commands' parsers, what all of them take; the common options stand before or after the command."""
    for one in (parser, *commands):
        one.add_argument(
            "--color",
            choices=COLORS,
            default="auto" if one is parser else argparse.SUPPRESS,
            help="colours: auto is on a terminal only (default), and heeds NO_COLOR and FORCE_COLOR",
        )
        one.add_argument(
            "-q",
            "--quiet",
            action="store_true",
            default=False if one is parser else argparse.SUPPRESS,
            help="show no progress",
        )
        one.formatter_class = argparse.RawDescriptionHelpFormatter
        one.description, one.epilog = _filled(one.description), _filled(one.epilog)
    return parser


def _filled(text: str | None) -> str | None:
    """A text as wide as the terminal; lines that are indented, as examples are, stay as they are."""
    width = max(shutil.get_terminal_size().columns - 2, 20)
    lines = (text or "").splitlines()
    return "\n".join(line if line.startswith(" ") else textwrap.fill(line, width) for line in lines) or None
