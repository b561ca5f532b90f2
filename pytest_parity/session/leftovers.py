"""Leftovers: the candidate's failing tensors, in ``--parity-out``, as a golden of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.site import Site

__all__ = ["Leftovers"]


class Leftovers:
    """What one check leaves below ``out``; nothing is written before the first failing tensor."""

    def __init__(self, out: Path, case: str) -> None:
        self._out = out
        self._case = case
        self._writer: GoldenWriter | None = None
        self._open: int | None = None

    def add(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        """Keep a failing tensor as it is now."""
        if self._writer is None:
            if not self._out.exists():  # one that is there already is not ours to hide from git
                self._out.mkdir(parents=True, exist_ok=True)
                (self._out / ".gitignore").write_text("*\n")
            self._writer = GoldenWriter(self._out, self._case)
        self._open = step
        self._writer.write(step, order, site, value)

    def end_step(self) -> None:
        """Close the step's files."""
        if self._writer is not None and self._open is not None:
            self._writer.finish_step(self._open, {})
            self._open = None

    def conclude(self, *, failed: bool) -> None:
        """Put it in place after a check that failed; clear what an earlier one left after one that passed."""
        writer, left = self._writer, self._out / self._case
        if writer is not None:
            if failed:
                self.end_step()
                writer.commit(provenance={}, settings={"failing": True}, structure={}, history=[])
            else:
                writer.discard()
            self._writer = None
        if not failed and (left / MANIFEST).exists():
            shutil.rmtree(left)
