"""What a comparison found, as plain data: no tensor, no text for people, nothing that a test report cannot carry."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

__all__ = [
    "IGNORED",
    "UNCOVERED",
    "Character",
    "Comparison",
    "Content",
    "Coverage",
    "DataDifference",
    "DataFault",
    "Delta",
    "Diagnosis",
    "Difference",
    "Fault",
    "Leaf",
    "LeafDifference",
    "Metrics",
    "Noise",
    "Pad",
    "Padding",
    "Recorded",
    "Spread",
    "Tolerance",
    "Verdict",
]


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
    EMPTY = "empty"
    """On both sides, and no element there to compare, or, of what comes out of a step, none that is finite."""
    VACUOUS = "vacuous"
    """Within a tolerance that zeros would be within: atol is not below the reference's largest magnitude, rtol not below
    1, or the declared factor takes a noise floor to the reference's norm."""
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


_FAILING = frozenset(
    {
        Verdict.DIFFERS,
        Verdict.SHAPE,
        Verdict.DTYPE,
        Verdict.NONFINITE,
        Verdict.MISSING,
        Verdict.EXTRA,
        Verdict.EMPTY,
    }
)
_NOT_COMPARED = frozenset({Verdict.MISSING, Verdict.EXTRA, Verdict.EMPTY, Verdict.UNOBSERVABLE})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``|actual - expected| <= atol + rtol * |expected|``, or a factor of the noise floor where there is a ``factor``.

    ``origin`` names where it was declared.
    """

    rtol: float
    atol: float
    origin: str = "dtype default"
    factor: float | None = None


@dataclass(frozen=True, slots=True)
class Noise:
    """How far a tensor is from the reference's, beside how far the reference itself moves: its noise floor.

    ``norm`` is ``||a-r||``, ``gain`` is ``|<a,r>/<r,r> - 1|`` (0 where the site is below noise, or ``r`` is 0). Of
    integers and booleans ``norm`` is the share of elements that are others, and there is no gain.
    """

    norm: float
    norm_floor: float
    gain: float
    gain_floor: float
    factor: float
    unstable: bool = False
    """The reference's integers flip there in every draw."""

    @property
    def norm_ratio(self) -> float:
        """The norm in multiples of its floor."""
        return _ratio(self.norm, self.norm_floor)

    @property
    def gain_ratio(self) -> float:
        """The gain in multiples of its floor."""
        return _ratio(self.gain, self.gain_floor)

    @property
    def ratio(self) -> float:
        """The larger of the two; above ``factor`` the site differs."""
        return max(self.norm_ratio, self.gain_ratio)

    @property
    def closeness(self) -> float:
        """The share of what is allowed."""
        return self.ratio / self.factor


def _ratio(error: float, floor: float) -> float:
    if error == 0:
        return 0.0
    return error / floor if floor else float("inf")


@dataclass(frozen=True, slots=True)
class Spread:
    """How far two tensors of one shape are apart, whatever is allowed: of ``d = |a-r|``, an update's of the updates.

    ``mean_abs`` is ``mean(d)``, ``rmse`` is ``sqrt(mean(d^2))``, ``relative_l2`` is ``||a-r||/||r||``. What is not finite
    is left out.
    """

    max_abs: float
    mean_abs: float
    rmse: float
    relative_l2: float

    @property
    def std(self) -> float:
        """The standard deviation of ``d``, over all elements, to about a hundredth of ``rmse``."""
        return math.sqrt(max(self.rmse**2 - self.mean_abs**2, 0.0))


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
    mean_abs: float = 0.0
    """The mean of ``|a-r|``."""

    @property
    def spread(self) -> Spread:
        """What of it does not depend on a tolerance."""
        return Spread(self.max_abs, self.mean_abs, self.rmse, self.relative_l2)

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
    noise: Noise | None = None
    """Where the noise floor decided."""
    spread: Spread | None = None
    """Of what passes and is not equal, where that was asked for; what has ``metrics`` has it there."""

    @property
    def apart(self) -> Spread | None:
        """How far the two are apart, where that is known."""
        return self.metrics.spread if self.metrics else self.spread


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
    SKIPPED = "skipped"
    """A step of the reference that the candidate never came to."""
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
class Difference:
    """A setting that had another value in the golden's run; values are as they are shown."""

    about: str
    """``constant`` of a module, ``optimizer``, ``config``, or ``streams``."""
    name: str
    golden: str
    here: str
    where: str = ""
    """The candidate's own path of the module, or the optimizer's class."""
    likely: bool = False
    """Whether it belongs to what diverges first."""


@dataclass(frozen=True, slots=True)
class Character:
    """What a failing step's errors look like taken together, told where they tell it.

    ``drift``: the environment is another, and every site moved a little. ``regression``: one module moved: sites before
    it agree or moved a little, and at ``site`` (the candidate's own name) the error jumps from ``before``, the largest
    until then, to ``here``. Errors are ``||a-r||/||r||``, or multiples of the noise floor where ``floors``; ``before``
    and ``here`` of a drift are the smallest and the largest of those measured.
    """

    drift: bool
    moved: int
    """Sites that are not bitwise equal, of ``sites``."""
    sites: int
    before: float
    here: float
    floors: bool = False
    site: str = ""


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

    @property
    def failures(self) -> tuple[Delta, ...]:
        """The deltas that fail the check."""
        return tuple(delta for delta in self.deltas if delta.verdict.fails)

    @property
    def passed(self) -> bool:
        """Whether everything that was recorded was compared and agrees, but for what the test excepts by name.

        Never true of nothing, nor where no tolerance could have failed.
        """
        excepted = sum(self.counts.get(key, 0) for key in (Verdict.UNOBSERVABLE.value, IGNORED, UNCOVERED))
        complete = self.compared > 0 and self.compared + excepted == self.expected
        return complete and not self.failures and not self.vacuous

    @property
    def vacuous(self) -> bool:
        """Whether zeros would have passed everywhere, but for what the candidate was given, and its optimizer."""
        own = {kind: count for kind, count in self.kinds.items() if kind not in _GIVEN} or self.kinds
        sites = Counter(delta.site.partition("/")[0] for delta in self.deltas if delta.verdict is Verdict.VACUOUS)
        return bool(sites) and all(sites[kind] == count for kind, count in own.items())

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
                "coverage": Coverage(**plain["coverage"]),
                "closest": plain["closest"] and _delta_from_plain(plain["closest"]),
                "differences": tuple(Difference(**one) for one in plain["differences"]),
                "character": plain["character"] and Character(**plain["character"]),
                "data": plain["data"] and DataDifference.from_plain(plain["data"]),
                "diagnosis": diagnosis
                and Diagnosis(**{**diagnosis, "fault": Fault(diagnosis["fault"]), "hints": tuple(diagnosis["hints"])}),
            }
        )


def _plain_dict(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value.value if isinstance(value, Enum) else value for name, value in items}


def _delta_from_plain(plain: dict[str, Any]) -> Delta:
    tolerance, metrics, noise, spread = plain["tolerance"], plain["metrics"], plain["noise"], plain.get("spread")
    return Delta(
        **{
            **plain,
            "verdict": Verdict(plain["verdict"]),
            "tolerance": tolerance and Tolerance(**tolerance),
            "metrics": metrics and Metrics(**{**metrics, "worst_index": tuple(metrics["worst_index"])}),
            "noise": noise and Noise(**noise),
            "spread": spread and Spread(**spread),
        }
    )


class DataFault(str, Enum):
    """In what way a batch is not the golden's: the most specific that its data proves."""

    ORDER = "order"
    """The golden's batch of another step, or its rows in another order."""
    DTYPE = "dtype"
    """The same values."""
    PADDING = "padding"
    """The same values inside of the padding."""
    SHAPE = "shape"
    CONTENT = "content"
    MISSING = "missing"
    """A tensor that the golden's batch has, or the whole batch: the loader ended before."""
    EXTRA = "extra"
    """A tensor that the golden's batch has not, or a batch after the golden's last one."""
    UNKNOWN = "unknown"
    """None of the golden's batches; of the one in its place the golden keeps only a digest."""

    def __str__(self) -> str:
        return self.value


Plain = bool | int | float | str
"""One element of a tensor; a complex one is written out."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor of a batch; ``path`` is empty where the batch itself is the tensor."""

    path: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pad:
    """How a tensor is padded along a dimension; ``value`` is ``None`` where it is not one value, or nothing is padded."""

    side: str
    """``left`` or ``right``."""
    value: Plain | None


@dataclass(frozen=True, slots=True)
class Padding:
    """Two paddings along ``dim`` of what is the same inside of them."""

    dim: int
    here: Pad
    golden: Pad


@dataclass(frozen=True, slots=True)
class Content:
    """How the elements of two tensors of one shape differ; ``gain``, ``ulps`` and ``shift`` where it is that and no more."""

    elements: int
    mismatched: int
    """Elements whose bits are others (of two dtypes: whose values are)."""
    rows: int
    """The size of the first dimension."""
    rows_mismatched: int
    nonfinite: int
    """Mismatching elements that are not finite on one side; left out of ``max_abs``."""
    max_abs: float
    index: tuple[int, ...]
    """The first mismatching element."""
    here: Plain
    golden: Plain
    gain: float | None = None
    """Every element is the golden's times this, but for rounding."""
    ulps: float | None = None
    """``max_abs`` in units in the last place of the golden's largest magnitude, where it is few."""
    shift: int | None = None
    """Of integers: every one that mismatches is the golden's plus this."""


@dataclass(frozen=True, slots=True)
class LeafDifference:
    """How one tensor of a batch differs from its counterpart in the golden's."""

    fault: DataFault
    here: Leaf | None
    golden: Leaf | None
    padding: Padding | None = None
    content: Content | None = None
    dim: int | None = None
    """The dimension whose sizes differ, where it is one."""
    arrangement: str = ""
    """Of another shape: ``reshaped`` or ``transposed`` into it, or the shorter is the longer's ``beginning`` or ``end``
    along ``dim``."""
    swapped: str = ""
    """The path of another tensor of the golden's batch that is the one here, bit for bit."""


@dataclass(frozen=True, slots=True)
class DataDifference:
    """How the batch of a step differs from the golden's."""

    step: int
    fault: DataFault
    leaves: tuple[LeafDifference, ...] = ()
    """The tensors that differ, in the golden's order, then those that it has not; none where the batch as a whole does."""
    compared: int = 0
    """Tensors that have a counterpart."""
    batch: int | None = None
    """The golden's batch that is the one here."""
    rows: tuple[int, ...] = ()
    """For each row here its place in the golden's batch."""
    unmoved: tuple[str, ...] = ()
    """Tensors whose rows do not follow that order."""
    batches: int = 0
    """How many batches of the golden have a digest."""

    def to_plain(self) -> dict[str, Any]:
        """As dictionaries, lists, strings and numbers only."""
        return asdict(self, dict_factory=_plain_dict)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> DataDifference:
        """The inverse of ``to_plain``, also after a round trip through JSON."""
        return cls(
            **{
                **plain,
                "fault": DataFault(plain["fault"]),
                "leaves": tuple(_leaf_difference_from_plain(one) for one in plain["leaves"]),
                "rows": tuple(plain["rows"]),
                "unmoved": tuple(plain["unmoved"]),
            }
        )


def _leaf_difference_from_plain(plain: dict[str, Any]) -> LeafDifference:
    padding, content = plain["padding"], plain["content"]
    sides = {
        side: plain[side] and Leaf(**{**plain[side], "shape": tuple(plain[side]["shape"])})
        for side in ("here", "golden")
    }
    return LeafDifference(
        **{
            **plain,
            **sides,
            "fault": DataFault(plain["fault"]),
            "padding": padding and Padding(padding["dim"], Pad(**padding["here"]), Pad(**padding["golden"])),
            "content": content and Content(**{**content, "index": tuple(content["index"])}),
        }
    )


@dataclass(frozen=True, slots=True)
class SiteMoved:
    """How far a golden's value at a site moved when the golden was replaced.

    ``before`` and ``after`` are L2 norms (of an update, new minus start), or the value itself where there is one
    element; of integers and booleans the share of elements that are others stands in ``after``, and ``before`` is 0.
    ``times`` is the distance in multiples of the noise floor where there was one (``by_floor``), else of rounding.
    """

    site: str
    step: int
    before: float
    after: float
    times: float
    by_floor: bool
    exact: bool = False
    """Integers or booleans."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What another golden in a golden's place moved."""

    counts: dict[str, int]
    """Sites that are ``equal``, moved ``within`` the factor of their floor or ``beyond``, ``new``, ``gone``, ``reshaped``."""
    worst: tuple[SiteMoved, ...] = ()
    """Those that moved, the farthest first; not all of them."""
    losses: tuple[tuple[int, str, float, float], ...] = ()
    """Step, name, before and after of each loss that moved; not all of them."""
    others: tuple[str, ...] = ()
    """Which sites are new, gone or of another shape or dtype, and how; not all of them."""
    changes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """What differs between the two environments and provenances: name to (before, after)."""
    reason: str = ""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Moved:
        """The inverse of ``asdict``, also after a round trip through JSON."""
        return cls(
            **{
                **plain,
                "worst": tuple(SiteMoved(**one) for one in plain["worst"]),
                "losses": tuple((step, name, before, after) for step, name, before, after in plain["losses"]),
                "others": tuple(plain["others"]),
                "changes": {name: (pair[0], pair[1]) for name, pair in plain["changes"].items()},
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
    moved: Moved | None = None
    """Where a golden was there before."""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Recorded:
        """The inverse of ``asdict``, also after a round trip through JSON."""
        moved = plain["moved"]
        return cls(
            **{
                **plain,
                "steps": tuple(plain["steps"]),
                "notes": tuple(plain["notes"]),
                "moved": moved and Moved.from_plain(moved),
            }
        )
