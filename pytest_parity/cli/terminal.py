"""Colours and progress, where someone looks: on a terminal, never in a pipe, never in what a program reads."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TextIO

from pytest_parity.report.words import amount, elided, size

__all__ = ["BOLD", "COLORS", "GREEN", "RED", "YELLOW", "Advance", "Style", "progress"]

COLORS = ("auto", "always", "never")
BOLD, RED, GREEN, YELLOW = "1", "31", "32", "33"

Advance = Callable[[int], None]
"""Told how much more of some work is done, in bytes or in pieces."""

_PATIENCE = 0.5
"""Seconds of work about which nothing is said."""
_OFTEN = 0.1
"""Seconds between two updates."""


@dataclass(frozen=True, slots=True)
class Style:
    """Whether what goes to a stream may be coloured, and how it is."""

    on: bool

    @classmethod
    def of(cls, color: str, stream: TextIO) -> Style:
        """As ``--color``, else the environment, else the stream say; ``NO_COLOR`` counts where it is not empty."""
        if color != "auto":
            return cls(color == "always")
        if os.environ.get("NO_COLOR"):
            return cls(on=False)
        if any(os.environ.get(name, "0") not in {"", "0"} for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
            return cls(on=True)
        return cls(_looked_at(stream))

    def __call__(self, text: str, *codes: str) -> str:
        """The text in these colours; nothing is added to an empty one."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.on and text and codes else text


@contextmanager
def progress(args: argparse.Namespace, what: str, total: int = 0, noun: str = "") -> Iterator[Advance]:
    """One line on stderr while work goes on that takes long, gone at its end; silent in a pipe and with ``--quiet``.

    ``total`` is in bytes, or in pieces that ``noun`` names, and 0 where nobody knows it. The context gives a function
    that is told of each part done; it may be called as often as one likes.
    """
    if args.quiet or not _looked_at(sys.stderr):
        yield _ignore
        return
    line = _Line(what, total, noun)
    try:
        yield line.advance
    finally:
        line.clear()


class _Line:
    """The line of one piece of work."""

    def __init__(self, what: str, total: int, noun: str) -> None:
        self._what, self._total, self._noun = what, total, noun
        self._done = 0
        self._begun = monotonic()
        self._next = self._begun + _PATIENCE
        self._shown = False

    def advance(self, count: int) -> None:
        """So much more is done."""
        self._done += count
        now = monotonic()
        if now >= self._next:
            self._next = now + _OFTEN
            self._shown = True
            text = elided(self._text(now - self._begun), shutil.get_terminal_size().columns - 1)
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave no trace."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _text(self, seconds: float) -> str:
        done = amount(self._done, self._noun) if self._noun else size(self._done)
        if not self._total:
            return f"{self._what}: {done}" if self._done else f"{self._what} ... {seconds:.0f} s"
        share = min(self._done / self._total, 1.0)
        whole = f"{self._total:,}" if self._noun else size(self._total)
        left = f", {seconds / share - seconds:.0f} s left" if share else ""
        return f"{self._what}: {share:4.0%}, {done} of {whole}{left}"


def _looked_at(stream: TextIO) -> bool:
    """Whether a stream is a terminal that knows colours, and can take back what stands in a line."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _ignore(_count: int) -> None:
    """Nobody looks."""
