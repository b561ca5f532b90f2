"""Leftovers: the candidate's failing tensors, in ``--parity-out``, as a golden of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

from pytest_parity.errors import GoldenError
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.manifest import read_manifest
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.site import Site

__all__ = ["Leftovers"]

_NOT_LEFT = "what failed could not be left in"
_NOT_REMOVED = "what an earlier check left could not be removed from"
_FAILING = {"failing": True}
"""The settings of a golden that a check left, by which it is told from a recorded one."""


class Leftovers:
    """What one check leaves below ``out``; nothing is written before the first failing tensor.

    They are a convenience, and never decide a check: what goes wrong here is raised nowhere. ``note`` says it, and is
    empty where all went well; nothing further is left then. A directory that no check left is not touched.
    """

    def __init__(self, out: Path, case: str) -> None:
        self.note = ""
        self._out = out
        self._case = case
        self._left = out / case
        self._writer: GoldenWriter | None = None
        self._open: int | None = None

    def add(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        """Keep a failing tensor as it is now."""
        self._attempt(_NOT_LEFT, lambda: self._add(step, order, site, value))

    def end_step(self) -> None:
        """Close the step's files."""
        self._attempt(_NOT_LEFT, self._end_step)

    def conclude(self, *, failed: bool) -> None:
        """Put it in place after a check that failed; clear what an earlier one left after one that passed."""
        if failed:
            self._attempt(_NOT_LEFT, self._commit)
        else:
            self._attempt(_NOT_REMOVED, self._clear)

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        """Whatever cannot be done becomes the note, and nothing is done after it."""
        if self.note:
            return
        try:
            action()
        except (OSError, RuntimeError, GoldenError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            reason = (isinstance(cause, OSError) and cause.strerror) or cause
            self.note = f"{what} {self._out}: {reason}"
            self._writer = None  # which discarded itself

    def _add(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        if self._writer is None:
            self._writer = self._begun()
        self._open = step
        self._writer.write(step, order, site, value)

    def _begun(self) -> GoldenWriter:
        if (self._left / MANIFEST).exists():
            self._check_ours()
        if not self._out.exists():  # one that is there already is not ours to hide from git
            self._out.mkdir(parents=True, exist_ok=True)
            (self._out / ".gitignore").write_text("*\n")
        return GoldenWriter(self._out, self._case)

    def _check_ours(self) -> None:
        if read_manifest(self._left)["settings"].get("failing") is not True:
            raise GoldenError(f"{self._left} is a golden that no check left; give --parity-out another directory")

    def _end_step(self) -> None:
        if self._writer is not None and self._open is not None:
            self._writer.finish_step(self._open, {})
            self._open = None

    def _commit(self) -> None:
        self._end_step()
        if self._writer is not None:
            self._writer.commit(provenance={}, settings=_FAILING, structure={}, history=[])
            self._writer = None

    def _clear(self) -> None:
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        if (self._left / MANIFEST).exists():
            self._check_ours()
            shutil.rmtree(self._left)
