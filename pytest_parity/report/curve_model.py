"""Curve model: training curves as plain data, for a run's document and for the page of ``parity curves``.

A number that JSON has not may stand here as a float: ``strict`` makes a string of it when the document is written.
"""

from __future__ import annotations

from typing import TypedDict

from pytest_parity.report.strict import Number

__all__ = [
    "CurveRow",
    "CurvesDocument",
    "DrawnRow",
    "ExperimentRow",
    "FindingRow",
    "LineRow",
    "PanelRow",
]


class LineRow(TypedDict):
    """What is drawn of a curve, few enough points for a screen; ``values[i]`` at ``steps[i]``."""

    label: str
    role: str
    """``candidate``, ``reference``, ``mean`` or ``band``; of ``parity curves`` also ``run``, one run by itself."""
    steps: list[int]
    values: list[Number]
    """Of a band: its lower edge."""
    high: list[Number]
    """Of a band: its upper edge; else empty."""


class FindingRow(TypedDict):
    """One thing that is wrong with a curve."""

    check: str
    text: str
    """A sentence that says it."""
    step: int
    """The first step where it shows."""
    last: int
    count: int
    """How many steps show it."""
    value: Number
    """Of the curve; it is outside of ``low`` to ``high``, which is around ``expected``."""
    expected: Number
    low: Number
    high: Number
    share: Number
    """How far off as a share of what is allowed."""
    detail: str


class CurveRow(TypedDict):
    """One training curve held against recorded ones."""

    name: str
    unit: str
    """Of the loss; empty where it is not declared."""
    passed: bool
    headline: str
    """A sentence: what is wrong, or what was compared."""
    expected: int
    """Steps of the golden's curve."""
    compared: int
    references: int
    """How many recorded curves it was held against."""
    origin: str
    """What made them differ: ``seeds``, ``draws`` or ``tolerance``."""
    equal: bool
    """Whether it is bit for bit one of them."""
    nearest: str
    """Of what passes: the check that came nearest to its bound."""
    share: Number
    """How near: the statistic as a share of what is allowed."""
    findings: list[FindingRow]
    """The likeliest explanation of the others first."""
    lines: list[LineRow]
    notes: list[str]


class DrawnRow(LineRow):
    """A line of one experiment among several."""

    experiment: str
    """Its name, as ``ExperimentRow`` has it: lines of one experiment have one colour."""


class PanelRow(TypedDict):
    """One pair of axes: curves of one meaning in one unit, each as it is, smoothed, and by epoch, where there is such."""

    metric: str
    """``loss``, or a further series: ``learning_rate``, ``gradient_norm``."""
    unit: str
    """Empty where it is not declared."""
    steps: list[DrawnRow]
    smoothed: list[DrawnRow]
    """The moving average of all points, thinned afterwards; where empty, the page averages the points that it draws."""
    window: int
    """Of the moving average, in points."""
    epochs: list[DrawnRow]


class ExperimentRow(TypedDict):
    """One experiment: a run, or several with other seeds. ``None``: it has nothing of the kind."""

    name: str
    model_type: str
    unit: str
    runs: int
    steps: int
    """The last step of all its runs."""
    epochs: int
    first: Number | None
    """Its first loss; of several runs their mean, as in what follows."""
    last: Number | None
    """Its last loss."""
    smoothed: Number | None
    """The moving average at its end."""
    lowest: Number | None
    lowest_step: int | None
    epoch: Number | None
    """The loss of its last epoch."""
    spread: Number | None
    """Of several runs the standard deviation of ``epoch``, or without epochs of ``smoothed``."""
    nonfinite: int
    """Steps whose loss is NaN or infinite, of all runs."""
    hours: float | None
    """From start to end, on average; ``None`` while it goes on."""


class CurvesDocument(TypedDict):
    """What ``parity curves`` shows of its metrics files."""

    title: str
    """``Training curves - WikiText-103-v1``."""
    experiments: list[ExperimentRow]
    """In the order in which they are told and coloured."""
    losses: list[PanelRow]
    """One for each unit: losses of different meaning are not on one axis."""
    series: list[PanelRow]
    """Learning rate, gradient norm: one for each metric and unit."""
    differences: list[str]
    """A sentence for each pair of experiments: whether they differ, or that it is undecided and what would decide."""
    judged: list[CurveRow]
    """With ``--against``: each curve's verdict."""
    against: str
    """What they were held against, as it was typed; else empty."""
    notes: list[str]
    """What there is to know besides: a torn line, a run that goes on."""
