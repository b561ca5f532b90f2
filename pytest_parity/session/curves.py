"""Curves: what ``parity.assert_curve`` does in each run of a test's body: keep a training curve, judge it, or keep it aside."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_parity.capture import Streams
from pytest_parity.curves.curve import Curve
from pytest_parity.curves.files import write_curve
from pytest_parity.curves.given import curves_of
from pytest_parity.curves.judge import judge
from pytest_parity.errors import UsageError
from pytest_parity.golden.curves import KeptCurve
from pytest_parity.golden.reader import Golden
from pytest_parity.report.curves import band_words, curve_headline, parted_words, recorded_words, unfit_words
from pytest_parity.result import CurveComparison
from pytest_parity.session.asked import Asked
from pytest_parity.session.banded import ONE, further, judged, kept_run, lacking

if TYPE_CHECKING:
    from pytest_parity.session.run import Run

__all__ = ["Curves", "DrawnCurves", "JudgedCurves", "RecordedCurves", "leave_curves"]

SEEDS, DRAWS = "seeds", "draws"
"""What made the runs of a band differ."""


class Curves(ABC):
    """The curves of one run of a test's body."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._names: set[str] = set()
        self.aside = False
        """Whether what trains now is a further seed's, whose weights are its own."""

    def take(self, asked: Asked) -> None:
        """One call of ``assert_curve``."""
        if asked.name in self._names:
            raise UsageError(
                f"the curve {asked.name!r} of {self._run.settings.case} was asserted already; give each a name of its own: "
                "parity.assert_curve(losses, name='validation')"
            )
        self._names.add(asked.name)
        self._take(asked)

    @property
    @abstractmethod
    def comparisons(self) -> tuple[CurveComparison, ...]:
        """What was found so far."""

    def end(self) -> None:  # noqa: B027  but for a check there is nothing to conclude
        """The test has ended."""

    @abstractmethod
    def _take(self, asked: Asked) -> None: ...

    def _runs(self, asked: Asked, most: int | None = None) -> list[Curve]:
        """The runs that are given; of those that are to be trained the first ``most``."""
        if not asked.seeds:
            return curves_of(asked.metrics, asked.where)
        return [self._trained(asked, place, seed) for place, seed in enumerate(asked.seeds[:most])]

    def _trained(self, asked: Asked, place: int, seed: int) -> Curve:
        """Train with one seed: the generators are seeded with it, but under ``rng="off"``."""
        streams = self._run.streams
        if streams.policy != "off":
            Streams(f"{streams.case}|{asked.name}", seed=seed).seed_test()
        where = f"{asked.where}: train({seed})"
        with self._beside(aside=place > 0):
            found = curves_of(asked.metrics(seed), where)
        if len(found) > 1:
            raise UsageError(f"{where} returned {len(found)} runs, and with seeds= each call trains one")
        return found[0]

    @contextmanager
    def _beside(self, *, aside: bool) -> Iterator[None]:
        self.aside = aside
        try:
            yield
        finally:
            self.aside = False


class RecordedCurves(Curves):
    """Keeps them for the golden. ``kept`` by name."""

    def __init__(self, run: Run, keep_start: Callable[[], None]) -> None:
        super().__init__(run)
        self.kept: dict[str, KeptCurve] = {}
        self._keep_start = keep_start
        self._unfit: list[str] = []

    @property
    def comparisons(self) -> tuple[CurveComparison, ...]:
        """Nothing is judged."""
        return ()

    @property
    def banded(self) -> bool:
        """Whether each has several runs, so that none is to be drawn."""
        return all(curve.origin != ONE for curve in self.kept.values())

    def notes(self, unmoved: str) -> Iterator[str]:
        """What was kept of each; ``unmoved`` says why no further run of the test was made, or none that counts."""
        for name, curve in self.kept.items():
            losses = curve.runs[0].judged[1]
            yield recorded_words(name, len(losses), (float(losses[0]), float(losses[-1])), curve.unit)
            yield band_words(len(curve.runs), curve.origin, unmoved)
        yield from self._unfit

    def add(self, drawn: Mapping[str, Sequence[Curve]]) -> None:
        """The curves of further runs, for those that are alone."""
        for name, curves in drawn.items():
            kept, runs = self.kept[name], tuple(map(kept_run, curves))
            if not all(run.alongside(kept.runs[0]) for run in runs):
                self._unfit.append(parted_words(name, [len(run.judged[0]) for run in (*kept.runs, *runs)]))
            elif kept.origin == ONE and runs:
                self.kept[name] = replace(kept, runs=(*kept.runs, *runs), origin=DRAWS)

    def _take(self, asked: Asked) -> None:
        runs = self._runs(asked)
        for run in runs:
            if not (len(run.steps) or len(run.epochs)):
                raise UsageError(f"{asked.where}: the curve has no step, so there is nothing to record")
        self._keep_start()
        self.kept[asked.name] = KeptCurve(
            tuple(map(kept_run, runs)), SEEDS if len(runs) > 1 else ONE, _unit(runs, asked.where), asked.seeds
        )
        self._unfit += self._unfit_of(asked.name, runs)

    def _unfit_of(self, name: str, runs: list[Curve]) -> Iterator[str]:
        """What is wrong with what is recorded, by its own band."""
        try:
            found = [judge(run, runs, name=name, origin=SEEDS) for run in runs]
        except UsageError as error:
            yield unfit_words(name, str(error))
            return
        yield from (f"  {note}" for note in found[0].notes)
        yield from (unfit_words(name, curve_headline(one)) for one in found if not one.passed)


class JudgedCurves(Curves):
    """Judges them by the golden's."""

    def __init__(self, run: Run, golden: Golden) -> None:
        super().__init__(run)
        self._golden = golden
        self._found: list[CurveComparison] = []
        self.failed: dict[str, Curve] = {}
        """Those that fail, by name."""

    @property
    def comparisons(self) -> tuple[CurveComparison, ...]:
        """Those judged so far, and at the end those that the test never asserted."""
        return tuple(self._found)

    def end(self) -> None:
        """The test has ended: what the golden has besides was never asserted."""
        for name, kept in self._golden.curves.items():
            if name not in self._names:
                self._names.add(name)
                self._found.append(lacking(name, kept))

    def _take(self, asked: Asked) -> None:
        runs, kept = self._runs(asked, asked.checked), self._golden.curves.get(asked.name)
        found = [further(asked.name, runs[0], self._golden.curves)] if kept is None else judged(asked, runs, kept)
        self._found += found
        self.failed.update({one.name: run for one, run in zip(found, runs, strict=False) if not one.passed})


class DrawnCurves(Curves):
    """Keeps those of a further run of the test, whose curves are alone; judges nothing."""

    def __init__(self, run: Run, golden: Golden, *, keeps: bool) -> None:
        super().__init__(run)
        self._golden = golden
        self._keeps = keeps
        self.found: dict[str, Curve] = {}

    @property
    def kept_here(self) -> bool:
        """Whether there is a curve to keep."""
        return self._keeps and any(kept.origin == ONE for kept in self._golden.curves.values())

    @property
    def comparisons(self) -> tuple[CurveComparison, ...]:
        """As if each agreed: what a further run is there for is not its verdict."""
        return tuple(
            CurveComparison(name, kept.length, kept.length, len(kept.runs), kept.origin)
            for name, kept in self._golden.curves.items()
        )

    def _take(self, asked: Asked) -> None:
        kept = self._golden.curves.get(asked.name)
        if self._keeps and kept is not None and kept.origin == ONE:
            self.found[asked.name] = self._runs(asked, 1)[0]


def leave_curves(left: Path, curves: JudgedCurves) -> None:
    """Leave the curves that fail as metrics files, to be looked at. Raises ``CurveError``, ``OSError``."""
    for name, curve in curves.failed.items():
        file = re.sub(r"[^\w.-]+", "_", name).strip("_")
        write_curve(replace(curve, experiment_name=file), left, overwrite=True)


def _unit(runs: Iterable[Curve], where: str) -> str:
    units = dict.fromkeys(run.unit for run in runs if run.unit)
    if len(units) > 1:
        raise UsageError(f"{where}: the runs declare different units of the loss: {', '.join(units)}")
    return next(iter(units), "")
