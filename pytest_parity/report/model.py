"""Model: one run as one document of plain data, which every report is a rendering of; ``docs/report.schema.json`` is its schema.

A number that JSON has not is a string: ``"inf"``, ``"-inf"``, ``"nan"``. What is not known of a site is left out. Nothing in
it tells a host, a user, a time or an absolute path: two runs of the same thing give the same document.
"""

from __future__ import annotations

from typing import Any, TypedDict

from pytest_parity.report.curve_model import CurveRow, FindingRow, LineRow
from pytest_parity.report.strict import Number

__all__ = [
    "SCHEMA",
    "CallRow",
    "CaseDocument",
    "CauseRow",
    "CoverageRow",
    "CurveRow",
    "DiagnosisRow",
    "DifferenceRow",
    "Document",
    "EnvironmentRow",
    "FaultyRow",
    "FindingRow",
    "FloorsRow",
    "HistogramRow",
    "IsolationRow",
    "LineRow",
    "LossRow",
    "ModuleRow",
    "Number",
    "RunRow",
    "SettingRow",
    "SiteRow",
    "StepRow",
    "StructureRow",
    "WorstRow",
]

SCHEMA = 1


class RunRow(TypedDict):
    """The run as a whole."""

    command: str
    """``check``, ``record`` (also where only some cases were recorded) or ``compare``."""
    passed: bool
    outcomes: dict[str, int]
    """Cases by outcome."""
    golden: str
    """Where the goldens are, relative to the project; of ``compare`` the reference."""
    candidate: str
    """Of ``compare`` the candidate's recording, else empty."""
    versions: dict[str, str]
    """Of pytest-parity, python, pytest (unless a script was run) and torch."""
    device: str
    """Where the models were; empty where nothing was compared."""
    dtypes: dict[str, str]
    """What decides about precision: default dtype, autocast, TF32."""
    lines: list[str]
    """What the project's hook ``pytest_parity_report`` adds."""
    complaints: list[str]
    """What is wrong with the run as a whole, as ``--parity-strict`` finds it."""


class CoverageRow(TypedDict):
    """How much of what was recorded, in the steps that the check came to, was compared."""

    parameters: int
    parameters_recorded: int
    calls: int
    calls_recorded: int
    elements: int
    elements_recorded: int
    outside: int
    """Elements outside of valid regions."""
    ignored: dict[str, int]
    """Sites that the test excepts, by pattern."""


class DifferenceRow(TypedDict):
    """What of the environment is not as in the golden's run."""

    name: str
    golden: str
    here: str


class EnvironmentRow(TypedDict):
    """What numbers depend on; a side that is not known is empty."""

    golden: dict[str, str]
    here: dict[str, str]
    differences: list[DifferenceRow]
    """The likeliest cause of other numbers first."""


class SettingRow(DifferenceRow):
    """What model, optimizer or configuration were set to otherwise."""

    about: str
    """``constant`` of a module, ``optimizer``, ``config`` or ``streams``."""
    where: str
    """The candidate's own path of the module, or the optimizer's class."""
    likely: bool
    """Whether it belongs to what diverges first."""


class CauseRow(TypedDict):
    """Why, in closed form, tested on the data."""

    cause: str
    text: str


class DiagnosisRow(TypedDict):
    """The first divergence."""

    fault: str
    module: str
    """The candidate's own name of the module, the parameter, the batch's field or the optimizer."""
    reference: str
    site: str
    step: int
    candidate: str
    """The candidate's own name of the site, where it is another; else empty."""
    after: str
    """The last site in execution order that agreed, where that helps; of ``cut`` the child in front of it."""
    to: str
    """Of ``cut`` the child behind it."""
    others: int
    """How many sites fail besides."""
    hints: list[str]
    causes: list[CauseRow]


class FaultyRow(TypedDict):
    """One thing that is wrong by itself."""

    part: str
    module: str
    reference: str
    call: int
    step: int
    site: str
    order: int
    floors: Number
    """In multiples of isolation's own floor."""
    factor: float
    """Floors above which it fails a check that passes otherwise."""
    relative: Number
    """``||a-r||/||r||``."""
    candidate: str
    """The candidate's own name of the site, where it is another; else empty."""
    after: str
    to: str
    text: str
    """A sentence that says it."""
    hints: list[CauseRow]


class CallRow(TypedDict):
    """One module call's error in multiples of the noise floor; ``None``: nobody measured it."""

    module: str
    reference: str
    call: int
    order: int
    inherited: Number | None
    introduced: Number | None
    """By isolation, in its own floors."""
    outgoing: Number | None


class IsolationRow(TypedDict):
    """Each module fed the reference's inputs, alone."""

    step: int
    calls: int
    """How many module calls were isolated."""
    faulty: list[FaultyRow]
    errors: list[CallRow]
    refused: str
    """Why it could not be done; else empty."""


class ModuleRow(TypedDict):
    """One module of the reference; parents stand before their children, children in the order of their first calls."""

    path: str
    """``(model)`` is the root."""
    candidate: str
    """The candidate's own name, the same where it has no other."""
    type: str
    """The reference's class; empty where it is not known."""
    parameters: int
    """Elements of its own parameters, those of its children left out."""
    calls: int
    """In the step that ``sites`` tell."""
    sites: int
    """Of its own: inputs, outputs, their gradients, and what there is to its own parameters."""
    failing: int
    verdict: str
    """The worst of its own sites' verdicts; empty where it has none."""
    inherited: Number | None
    """The worst of its calls, in multiples of the noise floor: what came in."""
    introduced: Number | None
    """What isolation found that it adds; ``None`` where it was not isolated."""
    outgoing: Number | None
    """What went out."""
    faulty: bool
    """Whether isolation, or where there was none the diagnosis, names it."""


class FloorsRow(TypedDict):
    """An error in multiples of the site's noise floor; the site differs where one of the two is above ``factor``."""

    norm: Number
    gain: Number
    factor: float


class WorstRow(TypedDict):
    """One of the elements that are the farthest apart."""

    index: list[int]
    here: Number | bool
    reference: Number | bool


class HistogramRow(TypedDict):
    """Elements by ``log10|a-r|``: ``counts[i]`` are those from ``start + i*width`` to ``start + (i+1)*width``."""

    start: float
    width: float
    counts: list[int]
    equal: int
    """Elements that do not differ."""
    nonfinite: int
    """Elements that differ and are not finite on one side."""


class _Site(TypedDict):
    site: str
    """The reference's name."""
    kind: str
    verdict: str


class SiteRow(_Site, total=False):
    """One site; what is not known of it is left out. The error of one that is ``equal`` is 0."""

    order: int
    """In the reference's execution order; the candidate's alone have none."""
    candidate: str
    """The candidate's own name, where it is another."""
    module: str
    """The reference's path of the module that it belongs to."""
    elements: int
    """How many were compared."""
    shape: list[int]
    """Of the reference's."""
    dtype: str
    floors: FloorsRow
    """Where the noise floor decided, and the two are not equal."""
    max_abs: Number
    mean_abs: Number
    relative_l2: Number
    cosine: Number
    mismatched: int
    share: Number
    """The error as a share of what is allowed; above 1 it fails."""
    rtol: float
    atol: float
    origin: str
    """Where the tolerance was declared."""
    allowed: Number
    """By ``rtol`` and ``atol``, at the worst element."""
    detail: str
    replayed: bool
    """The recorded output took the place of its own."""
    isolated: bool
    """An update that was stepped from the reference's own start."""
    worst: list[WorstRow]
    """Of a site that fails, up to ten, the worst first."""
    histogram: HistogramRow
    """Of a site that fails."""


class _Step(TypedDict):
    step: int
    failing: int


class StepRow(_Step, total=False):
    """One step of the check."""

    floors: Number
    """The largest error of its sites in multiples of their noise floors; left out where none is known."""


class LossRow(TypedDict):
    """One loss of one step; ``None`` where that side has none, or it was not compared."""

    step: int
    name: str
    reference: Number | None
    candidate: Number | None
    verdict: str
    """Empty where it was not compared."""


class StructureRow(TypedDict):
    """A parameter or buffer that is built differently."""

    site: str
    candidate: str
    verdict: str
    detail: str


class CaseDocument(TypedDict):
    """One case."""

    case: str
    nodeid: str
    """The test's; empty where a script was run, or recordings were compared."""
    file: str
    """The test's file, relative to the project; empty where there is none."""
    line: int
    """Where it failed, from 1; 0 where that is not known."""
    outcome: str
    """``passed``, ``failed`` or ``recorded``."""
    headline: str
    """Of a failure its first line, which is the bug as far as it is known; else what was compared or recorded."""
    message: str
    """All of what the terminal says."""
    expected: int
    compared: int
    """Sites."""
    counts: dict[str, int]
    """Sites by verdict, and those that were ``ignored`` or ``uncovered``."""
    kinds: dict[str, int]
    """Compared sites by kind."""
    coverage: CoverageRow | None
    steps: list[StepRow]
    environment: EnvironmentRow
    settings: list[SettingRow]
    remarks: list[str]
    """How the batches differ, how much was compared, whether it looks like drift or a regression."""
    notes: list[str]
    diagnosis: DiagnosisRow | None
    isolation: IsolationRow | None
    structure: list[StructureRow]
    losses: list[LossRow]
    curves: list[CurveRow]
    """Each training curve that was asserted or recorded; those that fail first."""
    modules: list[ModuleRow]
    step: int | None
    """The step whose sites are told: the first that fails, else the last that was compared."""
    sites: list[SiteRow]
    """All of that step in execution order, those of the candidate alone at the end."""
    history: list[dict[str, Any]]
    """Of the golden: each time that it was recorded again, the reason, what moved, and by which versions."""
    recorded: dict[str, Any] | None
    """Of a recording: ``steps``, ``sites``, ``size`` in bytes, and what ``moved`` where a golden was there before."""


class Document(TypedDict):
    """A run."""

    schema: int
    written_by: str
    """``pytest-parity``."""
    run: RunRow
    cases: list[CaseDocument]
    """Failed ones first, then in the order in which they ended."""
