"""Hints: what a check can say of a failure besides its deltas: rows in another order, a loop that was left, what to type."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from pytest_parity.compare.data import data_difference
from pytest_parity.errors import ParityError
from pytest_parity.golden.entry import NONE, Entry
from pytest_parity.golden.reader import Golden
from pytest_parity.report.words import listed, steps_words
from pytest_parity.result import Delta, Diagnosis, Fault, Verdict
from pytest_parity.session.run import LOADER
from pytest_parity.session.shortage import ran_out
from pytest_parity.settings import Settings
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["Hints", "explain_batch"]

_SHOWN = 8


class Hints:
    """What one check has noticed while it ran."""

    def __init__(self, golden: Golden, settings: Settings) -> None:
        self._golden = golden
        self._settings = settings
        self._rows: dict[tuple[int, str], tuple[int, ...]] = {}
        self.under_way: int | None = None
        """The step that a loop has given a batch of, and not come back from."""
        self.left: int | None = None
        """The same, once the test is over."""

    def see(self, step: int, entry: Entry | None, value: torch.Tensor | None) -> None:
        """Look at an input of the whole model that differs: its rows may be the golden's in another order."""
        if entry is None or entry.site.path != ROOT or value is None or tuple(value.shape) != entry.shape:
            return
        found = data_difference(step, [("", self._golden.tensor(entry))], [("", value.detach())], {})
        if found is not None and found.rows:
            self._rows[step, str(entry.site)] = found.rows

    def added_to(self, diagnosis: Diagnosis | None, observed: Sequence[Delta]) -> Diagnosis | None:
        """A diagnosis with what is known here of the site that it is about."""
        if diagnosis is None:
            return None
        at = (delta for delta in observed if delta.site == diagnosis.site and delta.step == diagnosis.step)
        return replace(diagnosis, hints=(*diagnosis.hints, *self._of(diagnosis, next(at, None))))

    def _of(self, diagnosis: Diagnosis, delta: Delta | None) -> Iterator[str]:
        rows = self._rows.get((diagnosis.step, diagnosis.site))
        if rows:
            moved = [row for row, place in enumerate(rows) if row != place]
            theirs = (str(rows[row]) for row in moved)
            yield (
                f"its rows are the golden's in another order: rows {listed([*map(str, moved)], _SHOWN)} here are rows "
                f"{listed([*theirs], _SHOWN)} of the golden's"
            )
        missing = delta is not None and delta.verdict is Verdict.MISSING
        if self.left is not None and (missing or diagnosis.fault is Fault.SKIPPED):
            yield (
                f"the loop was left at step {self.left} (break, return), and the golden has {steps_words(self._golden.steps)}"
            )
        if delta is not None and delta.verdict is Verdict.DTYPE:
            allow = (
                f"to compare the values all the same: {self._settings.dtype_by}; " if self._settings.dtype_by else ""
            )
            yield f"{allow}to compare in this dtype, record the reference in it: {self._settings.recorded_by}"


def explain_batch(error: BaseException, settings: Settings, golden: Golden, step: int, names: Sequence[str]) -> None:
    """Add to an error of the candidate's own, as a note, which of the golden's tensors it ran on; else it is as it was.

    ``names`` are those of the batch's values that were given. In python 3.10 the note is where pytest looks for it, and
    python does not.
    """
    if not isinstance(error, Exception) or isinstance(error, ParityError) or ran_out(error):
        return
    with suppress(ParityError, OSError):  # the candidate's error is what is to be seen
        entries = [one for one in golden.entries(step) if one.site.kind is Kind.BATCH and one.site.path in names]
        if entries:
            _add(error, _ran_on(entries, settings, step))


def _ran_on(entries: Sequence[Entry], settings: Settings, step: int) -> str:
    tensors = [f"{_name(entry.site)} {entry.dtype} {entry.shape}" for entry in entries if entry.dtype != NONE]
    return (
        f"pytest-parity: step {step} of {settings.case} ran on the golden's batch, not on one drawn here: "
        f"{listed(tensors, _SHOWN)}. Where the code takes another size for granted, give both the same batch size, and "
        f"record the reference again: {settings.recorded_by}"
    )


def _add(error: BaseException, note: str) -> None:
    if sys.version_info >= (3, 11):
        error.add_note(note)
    else:
        vars(error)["__notes__"] = [*getattr(error, "__notes__", ()), note]


def _name(site: Site) -> str:
    """A tensor of a loader's batch by its place there, an input by its name."""
    name = site.leaf if site.path == LOADER else site.path + (f".{site.leaf}" if site.leaf else "")
    return name or "the batch"
