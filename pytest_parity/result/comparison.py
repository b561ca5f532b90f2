"""Comparison: a case's check, what was compared out of what was recorded."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_parity.result.curve import CurveComparison
from pytest_parity.result.data import DataDifference
from pytest_parity.result.delta import Delta, Verdict, delta_from_plain
from pytest_parity.result.diagnosis import Character, Diagnosis, Difference, Fault
from pytest_parity.result.isolation import Isolation, hint_of
from pytest_parity.result.plain import plain_dict
from pytest_parity.result.trace import Trace

__all__ = ["IGNORED", "UNCOVERED", "Comparison", "Coverage"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of what was recorded, in the steps that a check came to, was compared.

    Parameters by name, module calls by step, name and index; of a parameter or a call that counts as compared every
    recorded site was. Elements are those inside of valid regions; how many were compared is ``Comparison.elements``.
    ``outside`` counts those that valid regions leave out.
    """

    parameters: int = 0
    parameters_recorded: int = 0
    calls: int = 0
    calls_recorded: int = 0
    elements_recorded: int = 0
    outside: int = 0
    ignored: dict[str, int] = field(default_factory=dict)
    """Each pattern of ``ignore`` that has found a site, to the number of recorded sites that it excepts."""


_GIVEN = frozenset({"batch", "weight", "input", "optimizer", "updated_weight"})
"""Kinds that agree whatever a model computes, where each step starts from the reference's and is stepped by its gradients."""

IGNORED = "ignored"
"""Among a comparison's counts: recorded sites that the test excepts by name."""
UNCOVERED = "uncovered"
"""Among a comparison's counts: sites of module calls that have no counterpart, and by ``coverage`` need none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case's check: what was compared out of what was recorded, and every site that is not equal or close."""

    case: str
    expected: int
    compared: int
    counts: dict[str, int]
    """Sites by verdict."""
    kinds: dict[str, int]
    """Compared sites by kind."""
    deltas: tuple[Delta, ...]
    """Those that are neither ``equal`` nor ``close``, in execution order."""
    steps: tuple[int, ...] = ()
    elements: int = 0
    diagnosis: Diagnosis | None = None
    environment: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What differs between the golden's environment and this one: name to (golden's, this one's)."""
    differences: tuple[Difference, ...] = ()
    """What the model, its optimizers and the configuration were set to differently, the likeliest explanation first."""
    character: Character | None = None
    data: DataDifference | None = None
    """How the first batch of the candidate's own that is not the golden's differs."""
    notes: tuple[str, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    closest: Delta | None = None
    """Of what passes by the noise floor, the site nearest to its bound."""
    isolation: Isolation | None = None
    """What each module adds of its own, where the test was run again for that."""
    trace: Trace | None = None
    """One step told in full, where a report is asked for."""
    curves: tuple[CurveComparison, ...] = ()
    """Each training curve that was recorded or asserted; one that was not asserted has nothing compared."""

    @property
    def failures(self) -> tuple[Delta, ...]:
        """The deltas that fail the check."""
        return tuple(delta for delta in self.deltas if delta.verdict.fails)

    @property
    def failing_curves(self) -> tuple[CurveComparison, ...]:
        """The training curves that fail the check."""
        return tuple(curve for curve in self.curves if not curve.passed)

    @property
    def passed(self) -> bool:
        """Whether everything that was recorded was compared and agrees, but for what the test excepts by name.

        Never true of nothing, nor where no tolerance could have failed.
        """
        excepted = sum(self.counts.get(key, 0) for key in (Verdict.UNOBSERVABLE.value, IGNORED, UNCOVERED))
        something = self.compared > 0 or bool(self.curves)
        complete = something and self.compared + excepted == self.expected
        alone = self.isolation is not None and any(one.sure for one in self.isolation.faulty)
        return complete and not (self.failures or self.failing_curves or self.vacuous or self.other_data or alone)

    @property
    def other_data(self) -> bool:
        """Whether the batch of a step that the golden does not keep is another: no site is there to say so."""
        return self.data is not None and self.data.step not in self.steps

    @property
    def vacuous(self) -> bool:
        """Whether zeros would have passed everywhere, but for what the candidate was given, and its optimizer."""
        own = {kind: count for kind, count in self.kinds.items() if kind not in _GIVEN} or self.kinds
        sites = Counter(delta.site.partition("/")[0] for delta in self.deltas if delta.verdict is Verdict.VACUOUS)
        return bool(sites) and all(sites[kind] == count for kind, count in own.items())

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only (what a pytest report may carry)."""
        return asdict(self, dict_factory=plain_dict)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Comparison:
        """The inverse of ``to_plain``, also after a round trip through JSON."""
        diagnosis = plain["diagnosis"]
        return cls(
            **{
                **plain,
                "deltas": tuple(delta_from_plain(delta) for delta in plain["deltas"]),
                "steps": tuple(plain["steps"]),
                "environment": {name: (pair[0], pair[1]) for name, pair in plain["environment"].items()},
                "notes": tuple(plain["notes"]),
                "coverage": Coverage(**plain["coverage"]),
                "closest": plain["closest"] and delta_from_plain(plain["closest"]),
                "differences": tuple(Difference(**one) for one in plain["differences"]),
                "character": plain["character"] and Character(**plain["character"]),
                "data": plain["data"] and DataDifference.from_plain(plain["data"]),
                "diagnosis": diagnosis and _diagnosis(diagnosis),
                "isolation": plain["isolation"] and Isolation.from_plain(plain["isolation"]),
                "trace": plain["trace"] and Trace.from_plain(plain["trace"]),
                "curves": tuple(map(CurveComparison.from_plain, plain["curves"])),
            }
        )


def _diagnosis(plain: dict[str, Any]) -> Diagnosis:
    return Diagnosis(
        **{
            **plain,
            "fault": Fault(plain["fault"]),
            "hints": tuple(plain["hints"]),
            "causes": tuple(map(hint_of, plain["causes"])),
        }
    )
