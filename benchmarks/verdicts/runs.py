"""Runs: one case recorded with its noise floor, and candidates checked against it, as a user's test would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.verdicts.fusing import NAMES, calls_left_out
from benchmarks.verdicts.trace import KINDS, Trace, compiled, traced
from benchmarks.verdicts.workloads import Case, Plantable, Way
from pytest_parity.compare.floor import default_factor
from pytest_parity.errors import ParityFailure
from pytest_parity.golden.volatile import Volatile
from pytest_parity.result import Comparison, Delta
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode, Settings
from pytest_parity.site import Kind, Site

__all__ = ["Bench", "Ratio", "Seen", "others"]

DRAWS = 3
COSINE = 0.999
EVERYTHING = 1e-30
"""A factor that nothing but equality is within: every site then says how far it is off."""
WHOLE = ("weight", "gradient", "optimizer", "updated_weight")
"""What is compared where calls of modules are others."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How far one site of one run was off, in multiples of its floors."""

    kind: str
    site: str
    step: int
    norm: float
    gain: float
    elements: int
    below: bool
    """Below noise at the default factor: the gain says nothing there."""

    @property
    def larger(self) -> float:
        """What is judged."""
        return self.norm if self.below else max(self.norm, self.gain)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check said, and what two plain comparisons say of the same values."""

    passed: bool
    failures: tuple[Delta, ...]
    blamed: str
    ratios: tuple[Ratio, ...]
    differing: int
    """Sites that are not the same bits."""
    close: bool
    """Whether ``torch.testing.assert_close`` with its defaults passes at every site."""
    cosine: bool
    """Whether the cosine is at least 0.999 at every site."""


@dataclass
class Bench:
    """A case and its golden, kept in memory."""

    case: Case
    draws: int = DRAWS
    kinds: tuple[str, ...] | None = None
    """What is observed; ``None``: what is by default."""
    reference: Way = field(default_factory=Way)
    golden: Volatile = field(default_factory=Volatile)
    notes: tuple[str, ...] = ()
    recorded: Trace = field(default_factory=Trace)

    def record(self) -> None:
        """The reference, its floors, and the values for the rule."""
        parity = Parity(self._settings(Mode.RECORD))
        body = self.body(self.reference, None)
        with self.case.threads(self.reference):
            body(parity)
            self.notes = parity.finish(parity.repeating(body)).notes
        self.recorded = traced(self.case, self.reference)

    def check(self, way: Way, fault: Plantable | None = None, *, factor: float | None = None) -> Comparison:
        """A candidate's verdicts."""
        parity = Parity(self._settings(Mode.CHECK, factor=factor))
        try:
            self.body(way, fault)(parity)
            result: Any = parity.finish()
        except ParityFailure as failure:
            result = failure.comparison
        finally:
            parity.abandon()
        if not isinstance(result, Comparison):
            raise TypeError(f"a check without a comparison: {result!r}")
        return result

    def seen(self, way: Way, fault: Plantable | None = None, *, ratios: bool = True) -> Seen:
        """A candidate's verdicts, how far each site was off, and what the plain comparisons say."""
        found = self.check(way, fault)
        every = self.check(way, fault, factor=EVERYTHING) if ratios else found
        close, cosine = others(self.recorded, self.trace(way, fault))
        return Seen(
            passed=found.passed,
            failures=found.failures,
            blamed=found.diagnosis.module if found.diagnosis else "",
            ratios=tuple(self._ratio(one) for one in every.failures if one.noise is not None) if ratios else (),
            differing=len(every.failures),
            close=close,
            cosine=cosine,
        )

    def trace(self, way: Way, fault: Plantable | None = None) -> Trace:
        """A candidate's values, each step from the recorded start."""
        return traced(self.case, way, fault, self.recorded.starts)

    def body(self, way: Way, fault: Plantable | None) -> Callable[[Parity], None]:
        """The test, of one candidate or of the reference."""
        kinds = WHOLE if way.pieces > 1 else self.kinds
        fused = way.parts.fused_qkv
        names, ignore = (NAMES, calls_left_out(kinds)) if fused else (None, None)

        def test(parity: Parity) -> None:
            candidate = self.case.candidate(way)
            parity.load(candidate.model, names=names)
            if fault is not None:
                fault.put(candidate)
            watched = compiled(candidate.model) if way.compiled else candidate.model
            with (
                parity.watch(watched, optimizer=candidate.optimizer, kinds=kinds, names=names, ignore=ignore) as run,
                self.case.threads(way),
            ):
                for batch in run.steps(self.case.batches()):
                    logits, loss = candidate.step(watched, batch)
                    parity.assert_outputs(logits)
                    parity.assert_loss(loss)

        return test

    def _ratio(self, delta: Delta) -> Ratio:
        noise, site = delta.noise, Site.parse(delta.site)
        assert noise is not None
        relative = delta.metrics.relative_l2 if delta.metrics else 0.0
        entry = self.golden.golden().entry(delta.step, site)
        assert entry is not None
        factor = default_factor(entry.dtype)
        below = bool(relative) and noise.norm_floor * factor >= noise.norm / relative
        return Ratio(site.kind.value, delta.site, delta.step, noise.norm_ratio, noise.gain_ratio, delta.elements, below)

    def _settings(self, mode: Mode, *, factor: float | None = None) -> Settings:
        nowhere = Path("/nonexistent")
        return Settings(
            mode=mode,
            case=self.case.name,
            root=nowhere,
            out=nowhere,
            volatile=self.golden,
            draws=self.draws,
            factor=factor,
            collect=True,
        )


def _compared(site: Site) -> bool:
    return site.kind in KINDS - {Kind.WEIGHT} or site.kind is Kind.LOSS


def others(reference: Trace, candidate: Trace) -> tuple[bool, bool]:
    """Whether ``assert_close`` and a cosine of 0.999 pass at every site that both have."""
    close = cosine = True
    for key, expected in reference.values.items():
        actual = candidate.values.get(key)
        if actual is None or not _compared(key[1]) or actual.shape != expected.shape:
            continue
        try:
            torch.testing.assert_close(actual, expected)
        except AssertionError:
            close = False
        if expected.is_floating_point():
            ours, theirs = actual.double().flatten(), expected.double().flatten()
            lengths = float(ours.norm() * theirs.norm())
            same = float(torch.dot(ours, theirs)) / lengths if lengths else 1.0
            cosine = cosine and same >= COSINE
    return close, cosine
