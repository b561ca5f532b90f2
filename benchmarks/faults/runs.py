"""Runs: a subject recorded with its activation gradients and its floors, and checked with isolation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.faults.workloads import ONE
from benchmarks.verdicts.runs import Bench
from benchmarks.verdicts.workloads import Plantable, Way
from pytest_parity.errors import ParityFailure
from pytest_parity.result import Comparison
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode
from pytest_parity.site import Kind

__all__ = ["Isolating"]

EVERY = tuple(kind.value for kind in Kind if kind is not Kind.PROBE)
"""Activation gradients too, so that a fault in a backward pass can be told from those behind it."""


@dataclass
class Isolating(Bench):
    """A bench whose checks end with isolation, as ``--parity-isolate`` has them."""

    kinds: tuple[str, ...] | None = EVERY
    reference: Way = field(default_factory=lambda: ONE)

    def check(self, way: Way, fault: Plantable | None = None, *, factor: float | None = None) -> Comparison:
        """A candidate's verdicts, and what isolation found."""
        parity = Parity(self._settings(Mode.CHECK, factor=factor))
        body = self.body(way, fault)
        try:
            body(parity)
            result: Any = parity.finish()
        except ParityFailure as failure:
            result = failure.comparison
        finally:
            parity.abandon()
        if not isinstance(result, Comparison):
            raise TypeError(f"a check without a comparison: {result!r}")
        return parity.isolated(result, parity.repeating(body))
