"""What a comparison found, as plain data: no tensor, no text for people, nothing that a test report cannot carry."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Comparison", "Delta", "Diagnosis", "Fault", "Metrics", "Recorded", "Tolerance", "Verdict"]


class Verdict(str, Enum):
    """What was decided about one site."""

    EQUAL = "equal"
    """Bit for bit."""
    CLOSE = "close"
    """Within the tolerance."""
    DIFFERS = "differs"
    SHAPE = "shape"
    DTYPE = "dtype"
    NONFINITE = "nonfinite"
    """A NaN or an infinity where the reference has another value."""
    MISSING = "missing"
    """In the golden, not in the candidate."""
    EXTRA = "extra"
    """In the candidate, not in the golden."""
    VACUOUS = "vacuous"
    """Within a tolerance that could not have failed: atol is not below the reference's largest magnitude."""
    BELOW_NOISE = "below_noise"
    UNOBSERVABLE = "unobservable"
    """Inside a compiled region, where no hook fires."""

    def __str__(self) -> str:
        return self.value

    @property
    def fails(self) -> bool:
        """Whether a site with this verdict fails the check."""
        return self in _FAILING

    @property
    def compared(self) -> bool:
        """Whether values of both sides were looked at."""
        return self not in _NOT_COMPARED


_FAILING = frozenset({Verdict.DIFFERS, Verdict.SHAPE, Verdict.DTYPE, Verdict.NONFINITE, Verdict.MISSING, Verdict.EXTRA})
_NOT_COMPARED = frozenset({Verdict.MISSING, Verdict.EXTRA, Verdict.UNOBSERVABLE})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``|actual - expected| <= atol + rtol * |expected|``; ``origin`` names where it was declared."""

    rtol: float
    atol: float
    origin: str = "dtype default"


@dataclass(frozen=True, slots=True)
class Metrics:
    """How far two tensors of one shape are apart; every number is a Python scalar.

    ``max_rel`` is the largest ``|a-r|/|r|`` over elements with ``r != 0`` (infinity if a mismatch sits on a zero),
    ``rmse`` is ``sqrt(mean((a-r)^2))``, ``relative_l2`` is ``||a-r||/||r||``, ``cosine`` is ``<a,r>/(||a|| ||r||)``.
    The worst element is the one that exceeds its allowance the most. Non-finite elements are counted, and left out of
    the other statistics.
    """

    elements: int
    mismatched: int
    max_abs: float
    max_rel: float
    rmse: float
    relative_l2: float
    cosine: float
    reference_max: float
    worst_index: tuple[int, ...]
    worst_actual: float
    worst_expected: float
    worst_allowed: float
    nonfinite_actual: int
    nonfinite_expected: int

    @property
    def share(self) -> float:
        """Mismatching elements, as a share of all."""
        return self.mismatched / self.elements if self.elements else 0.0


@dataclass(frozen=True, slots=True)
class Delta:
    """What comparing one site found. ``order`` is the site's place in the step's execution order."""

    site: str
    step: int
    order: int
    verdict: Verdict
    elements: int = 0
    tolerance: Tolerance | None = None
    metrics: Metrics | None = None
    candidate: str = ""
    """The candidate's own name of the site, where it is another."""
    detail: str = ""
    """What the verdict is about where no metrics are: two shapes, two dtypes."""


class Fault(str, Enum):
    """In what way the first divergence diverges."""

    STRUCTURE = "structure"
    """Names, shapes, dtypes or what trains, before any number."""
    DATA = "data"
    """The batch."""
    WEIGHT = "weight"
    """The weights at the step's start."""
    MODULE = "module"
    """A module whose inputs agree and whose output does not."""
    BETWEEN = "between"
    """The code of a module between the calls of its children."""
    NOT_CALLED = "not_called"
    """A module of the reference that the candidate never called."""
    VALUE = "value"
    """An output or the loss, while every module call agrees."""
    BACKWARD = "backward"
    """A gradient, while everything of the forward agrees."""
    NO_GRADIENT = "no_gradient"
    """A gradient that the reference has and the candidate has not, while the forward agrees."""
    UPDATE = "update"
    """The optimizer's step, stepped from the reference's own weights, state and gradients."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The first divergence: which module went wrong first, and what is known about why."""

    fault: Fault
    site: str
    step: int
    module: str
    """The candidate's own name of the module (or the parameter, the batch field, the optimizer) to look at."""
    reference: str
    """The reference's name of the same."""
    after: str = ""
    """The last site in execution order that agreed, where that helps."""
    others: int = 0
    """How many sites fail besides."""
    hints: tuple[str, ...] = ()


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
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[Delta, ...]:
        """The deltas that fail the check."""
        return tuple(delta for delta in self.deltas if delta.verdict.fails)

    @property
    def passed(self) -> bool:
        """Whether everything that was recorded was compared and agrees; never true of nothing."""
        unobservable = self.counts.get(Verdict.UNOBSERVABLE.value, 0)
        return self.compared > 0 and self.compared + unobservable == self.expected and not self.failures

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only (what a pytest report may carry)."""
        return asdict(self, dict_factory=_plain_dict)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Comparison:
        """The inverse of ``to_plain``, also after a round trip through JSON."""
        diagnosis = plain["diagnosis"]
        return cls(
            **{
                **plain,
                "deltas": tuple(_delta_from_plain(delta) for delta in plain["deltas"]),
                "steps": tuple(plain["steps"]),
                "environment": {name: (pair[0], pair[1]) for name, pair in plain["environment"].items()},
                "notes": tuple(plain["notes"]),
                "diagnosis": diagnosis
                and Diagnosis(**{**diagnosis, "fault": Fault(diagnosis["fault"]), "hints": tuple(diagnosis["hints"])}),
            }
        )


def _plain_dict(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}


def _delta_from_plain(plain: dict[str, Any]) -> Delta:
    tolerance, metrics = plain["tolerance"], plain["metrics"]
    return Delta(
        **{
            **plain,
            "verdict": Verdict(plain["verdict"]),
            "tolerance": tolerance and Tolerance(**tolerance),
            "metrics": metrics and Metrics(**{**metrics, "worst_index": tuple(metrics["worst_index"])}),
        }
    )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording left: a golden of ``sites`` observations in ``steps``, ``size`` bytes on disk at ``path``."""

    case: str
    steps: tuple[int, ...]
    sites: int
    size: int
    path: str
    notes: tuple[str, ...] = ()
