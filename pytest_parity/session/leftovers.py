"""Leftovers: what a failing check leaves in ``--parity-out``, as a golden of its own: what ``parity accept`` promotes.

Left are the candidate's tensors at the sites that fail. What a parameter's step starts from and leads to (weight,
gradient, optimizer state, updated weight) hangs together: an update is judged by stepping from the golden's start. So
where one of these fails, the parameter's others are left too, with what the optimizer was set to.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from pytest_parity.compare.comparator import Comparator
from pytest_parity.compare.tally import Found
from pytest_parity.errors import CurveError, GoldenError
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.manifest import read_manifest
from pytest_parity.golden.writer import GoldenWriter
from pytest_parity.result import Comparison, Verdict
from pytest_parity.site import Kind, Site

__all__ = ["Leftovers"]

_NOT_LEFT = "what failed could not be left in"
_NOT_REMOVED = "what an earlier check left could not be removed from"
_STEP = frozenset({Kind.WEIGHT, Kind.GRADIENT, Kind.OPTIMIZER, Kind.UPDATED_WEIGHT})
_UNSEEN = (Verdict.MISSING, Verdict.EXTRA, Verdict.UNOBSERVABLE)


class Leftovers:
    """What one check leaves below ``out``; nothing is written before the first failing tensor.

    They are a convenience, and never decide a check: what goes wrong here is raised nowhere. ``note`` says it, and is
    empty where all went well; nothing further is left then. A directory that no check left is not touched.
    ``golden`` is the digest of the golden that is compared with, ``collect`` whether failing helpers let the test go on.
    """

    def __init__(self, out: Path, case: str, golden: str = "", *, collect: bool = False) -> None:
        self.note = ""
        self._out = out
        self._case = case
        self._golden = golden
        self._collect = collect
        self._left = out / case
        self._writer: GoldenWriter | None = None
        self._open: int | None = None
        self._concluded = False
        self._ended = False
        self._obstacles: list[str] = []
        """Why what is left cannot be promoted as it is."""
        self._stepped: set[int] = set()
        """Steps in which something fails that an update starts from or leads to."""
        self._restarted: set[int] = set()
        """Steps that began where the golden says, and not where the candidate's step before ended."""

    def add(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        """Keep a failing tensor as it is now."""
        self._attempt(_NOT_LEFT, lambda: self._add(step, order, site, value))

    def begin(self) -> None:
        """See whether something can be left, while there is still time to say that it cannot."""
        self._attempt(_NOT_LEFT, self._begin)

    def restarted(self, step: int) -> None:
        """Note a step that began where the golden's did, while the candidate's step before ended somewhere else."""
        self._restarted.add(step)

    def take(self, comparator: Comparator, own: Mapping[str, Any]) -> None:
        """Keep what the step that is about to end has found; ``own`` is what the candidate's optimizers did in it."""
        self._attempt(_NOT_LEFT, lambda: self._take(comparator, own))

    def end_step(self, info: Mapping[str, Any] | None = None) -> None:
        """Close the step's files."""
        self._attempt(_NOT_LEFT, lambda: self._end_step(info or {}))

    def ended(self, comparison: Comparison, unwatched: Iterable[str]) -> None:
        """The test went on to its end; ``unwatched`` are kinds that the golden has and that were not compared."""
        self._ended = True
        unwatched = sorted(unwatched)
        if unwatched:
            self._obstacles.append(f"the check did not watch {', '.join(unwatched)}")
        other = {str(verdict): comparison.counts.get(verdict.value, 0) for verdict in _UNSEEN}
        if any(other.values()):
            counts = ", ".join(f"{count} {verdict}" for verdict, count in other.items() if count)
            self._obstacles.append(f"the candidate has other sites than the golden ({counts})")

    def cannot(self, obstacle: str) -> None:
        """What is left cannot be promoted, and why."""
        self._obstacles.append(obstacle)

    def conclude(
        self,
        *,
        failed: bool,
        environment: Callable[[], Mapping[str, str]] = dict,
        beside: Callable[[Path], None] = lambda _: None,
    ) -> None:
        """Put it in place after a check that failed; clear what an earlier one left where this one leaves nothing.

        ``beside`` writes what belongs into the same directory.
        """
        if self._concluded:
            return
        self._concluded = True
        if failed and (self._writer is not None or self.note):
            self._attempt(_NOT_LEFT, lambda: self._commit(environment, beside))
        else:
            self._attempt(_NOT_REMOVED, self._clear)
        if failed and self.note:  # what an earlier check left must not be taken for this one's
            with suppress(OSError, GoldenError):
                self._clear()

    def _attempt(self, what: str, action: Callable[[], object]) -> None:
        """Whatever cannot be done becomes the note, and nothing is done after it."""
        if self.note:
            return
        try:
            action()
        except (OSError, RuntimeError, GoldenError, CurveError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            reason = (isinstance(cause, OSError) and cause.strerror) or cause
            self.note = f"{what} {self._out}: {reason}"
            self._writer = None  # which discarded itself

    def _take(self, comparator: Comparator, own: Mapping[str, Any]) -> None:
        found = {site: one for site, one in comparator.found.items() if isinstance(one, Found)}
        failing = [site for site, one in found.items() if one.verdict.fails]
        parameters = {
            site.path
            for site in failing
            if site.kind in _STEP and comparator.entry(Site(Kind.UPDATED_WEIGHT, site.path)) is not None
        }
        together = [site for site in found if site.path in parameters and site.kind in _STEP]
        for site in dict.fromkeys([*failing, *together]):
            self._take_site(comparator, site, found[site])
        if parameters:
            self._stepped.add(comparator.step)
        if parameters and not comparator.keeps:
            self._obstacles.append("a step is larger than parity_memory, so what its updates start from was not kept")
        self._end_step({"own": own} if parameters else {})

    def _take_site(self, comparator: Comparator, site: Site, found: Found) -> None:
        value = comparator.observed(site) if comparator.keeps else None
        if value is not None:
            self._add(comparator.step, found.entry.order, site, value)
        if found.verdict.fails and (found.replayed or (value is None and comparator.keeps)):
            self._obstacles.append(
                f"{site} of step {comparator.step} fails, and there is no tensor of the candidate's own"
            )

    def _add(self, step: int, order: int, site: Site, value: torch.Tensor | None) -> None:
        writer = self._begin()
        self._open = step
        writer.write(step, order, site, value)

    def _begin(self) -> GoldenWriter:
        if self._writer is None:
            if (self._left / MANIFEST).exists():
                self._check_ours()
            if not self._out.exists():  # one that is there already is not ours to hide from git
                self._out.mkdir(parents=True, exist_ok=True)
                (self._out / ".gitignore").write_text("*\n")
            self._writer = GoldenWriter(self._out, self._case)
        return self._writer

    def _check_ours(self) -> None:
        if read_manifest(self._left)["settings"].get("failing") is not True:
            raise GoldenError(f"{self._left} is a golden that no check left; give --parity-out another directory")

    def _end_step(self, info: Mapping[str, Any]) -> None:
        if self._writer is not None and self._open is not None:
            self._writer.finish_step(self._open, info)
            self._open = None

    def _commit(self, environment: Callable[[], Mapping[str, str]], beside: Callable[[Path], None]) -> None:
        self._end_step({})
        if self._writer is not None:
            settings = {"failing": True, "golden": self._golden, "obstacle": self._obstacle()}
            self._writer.commit(
                provenance={"environment": dict(environment())}, settings=settings, structure={}, history=[]
            )
            self._writer = None
            beside(self._left)

    def _obstacle(self) -> str:
        """Why it cannot be promoted, and what to type; empty where it can."""
        again = f"record it again: pytest --parity-record --parity-case '{self._case}' --parity-reason TEXT"
        if not self._ended and self._collect:
            return f"the check stopped at something that it cannot go on after; {again}"
        if not self._ended:
            return (
                "the check stopped at a failure, and has not seen what comes after; "
                f"run it to its end: pytest --parity-collect --parity-case '{self._case}'"
            )
        hanging = sorted(step for step in self._stepped if {step, step + 1} & self._restarted)
        obstacles = list(self._obstacles)
        if hanging:
            obstacles.append(
                f"in step {hanging[0]} something fails that the weights depend on, and each step was checked from where "
                "the golden's began, so the later ones are not the candidate's own"
            )
        if not obstacles:
            return ""
        return f"{'; '.join(dict.fromkeys(obstacles))}; {again}"

    def _clear(self) -> None:
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        if (self._left / MANIFEST).exists():
            self._check_ours()
            shutil.rmtree(self._left)
