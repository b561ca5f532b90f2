"""Training curves as text: the verdict in a sentence with the step in it, a table of all that is wrong, and what was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import inf, isfinite

from pytest_parity.report.words import amount, number
from pytest_parity.result import Comparison, CurveCheck, CurveComparison, CurveFinding

__all__ = [
    "ANOTHER",
    "CURVE_HEAD",
    "UNASSERTED",
    "band_words",
    "curve_headline",
    "curve_lines",
    "curve_table",
    "curve_word",
    "curves_summary",
    "finding_cells",
    "finding_sentence",
    "parted_words",
    "recorded_words",
    "unfit_words",
]

UNASSERTED, ANOTHER = "never asserted", "the other has none"
"""The details of a curve that is missing as a whole: in a test, and in another golden."""
_ENOUGH = 17
CURVE_HEAD = ("check", "steps", "value", "allowed", "of what is allowed")
_LEVELS = frozenset({CurveCheck.POINTWISE, CurveCheck.DRIFT})


def curve_headline(found: CurveComparison) -> str:
    """What is wrong, the likeliest first, or how near it came: ``loss leaves the band at step 212: 2.41 where ...``."""
    if not found.findings:
        return f"{found.name}: {_passed(found)}" if found.passed else f"{found.name}: {_NOTHING}"
    first = _lead(found.findings)
    others = [one for one in found.findings if one is not first]
    level = next((one for one in others if one.check is CurveCheck.LEVEL and first.check in _LEVELS), None)
    if level is None:
        return finding_sentence(first, found)
    sentence = finding_sentence(replace(first, detail=""), found)
    return f"{sentence}; its last {amount(level.count, 'step')} are {_percent(level)} on average{_detail(first)}"


def _lead(findings: Sequence[CurveFinding]) -> CurveFinding:
    """What the first line says: where a curve leaves its band, if it does, before what that is on the average.

    A wave is not the first thing to say where less than half of the distance is one.
    """
    first, *others = findings
    if first.check is not CurveCheck.OSCILLATION:
        away = (CurveCheck.DRIFT, CurveCheck.LEVEL)
        return next((one for one in others if first.check in away and one.check is CurveCheck.POINTWISE), first)
    larger = [one for one in others if one.check in _LEVELS and one.share * 2 > first.share]
    return min(larger, key=lambda one: one.check is not CurveCheck.POINTWISE, default=first)


_NOTHING = "nothing of it was compared"


def curve_word(found: CurveComparison) -> str:
    """What became of a curve of a golden in another: ``equal``, ``within`` its band or ``beyond``, ``new``, ``gone``."""
    if not found.references:
        return "new"
    if _unasserted(found):
        return "gone"
    return "equal" if found.equal and found.passed else "within" if found.passed else "beyond"


def finding_sentence(finding: CurveFinding, found: CurveComparison) -> str:
    """One finding, with the curve's name, its numbers and what is allowed."""
    return f"{found.name} {_SENTENCES[finding.check](finding, found)}"


def curve_table(found: CurveComparison) -> list[str]:
    """Every finding as a row, aligned: the check, its steps, the value, what is allowed, and how far off that is."""
    rows = [CURVE_HEAD, *map(finding_cells, found.findings)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(CURVE_HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def curve_lines(comparison: Comparison, *, skip: CurveComparison | None = None) -> Iterator[str]:
    """The curves that fail, each with its table; the headline of ``skip`` stands somewhere already."""
    for found in comparison.curves:
        if found.passed:
            continue
        if found is not skip:
            yield curve_headline(found)
        if found.findings and not (_unasserted(found) or not found.references):
            yield from (f"  {line}" for line in curve_table(found))
        yield from (f"  {note}" for note in found.notes)


def curves_summary(comparison: Comparison) -> str:
    """``1 of 1 curve compared: 300 steps within the band of 4 runs, nearest ...``; empty where there is none."""
    curves = comparison.curves
    if not curves:
        return ""
    compared = sum(bool(one.compared) for one in curves)
    count = f"{compared} of {amount(len(curves), 'curve')} compared"
    failing = [one for one in curves if not one.passed]
    if failing:
        return f"{count}: {len(failing)} {'fails' if len(failing) == 1 else 'fail'}"
    if len(curves) == 1:
        return f"{count}: {_passed(curves[0])}"
    nearest = max(curves, key=lambda one: -1.0 if one.equal else one.share)
    return f"{count}; nearest to its bound is {nearest.name}: {_passed(nearest)}"


def recorded_words(name: str, steps: int, ends: tuple[float, float], unit: str) -> str:
    """``curve loss: 300 steps, from 2.71 to 0.93 nats/token``."""
    measured = f" {unit}" if unit else ""
    return f"curve {name}: {amount(steps, 'step')}, from {number(ends[0])} to {number(ends[1])}{measured}"


def band_words(runs: int, origin: str, unmoved: str) -> str:
    """What the band is made of; of one run that there is none, why, and what to type."""
    if origin == "draws":
        return f"  its band is of {runs} runs: this one, and {runs - 1} with weights and inputs moved by one unit in the last place"
    if runs > 1:
        return f"  its band is of {runs} runs that were given"
    return (
        f"  one run and no band{f', for {unmoved}' if unmoved else ''}: a check passes its own bits alone, or what rtol= "
        "allows. For a band, load the model, model = parity.load(make_model()), or train with several seeds, "
        "parity.assert_curve(train, seeds=range(5)); then record it again"
    )


def parted_words(name: str, lengths: Sequence[int]) -> str:
    """Why further runs make no band: they are not as long."""
    steps = ", ".join(f"{length:,}" for length in dict.fromkeys(lengths))
    return (
        f"curve {name} has other steps when weights are moved by one unit in the last place ({steps} of them), so that its "
        "runs make no band: train for a number of steps that does not hang on the loss"
    )


def unfit_words(name: str, why: str) -> str:
    """What of a recorded curve no check would let pass."""
    return f"curve {name} is recorded, but no check of it can pass: {why}"


def _passed(found: CurveComparison) -> str:
    steps = amount(found.compared, "step")
    runs = amount(found.references, "recorded run")
    if found.equal:
        which = "the recorded run" if found.references == 1 else f"one of the {runs}"
        return f"{steps}, bit for bit those of {which}"
    band = found.references > 1 and found.origin != "tolerance"
    around = "the recorded run" if found.references == 1 else f"the {runs}"
    within = f"within the band of {runs}" if band else f"within the tolerance around {around}"
    nearest = f", nearest: {found.nearest} at {number(found.share)} of what is allowed" if found.nearest else ""
    return f"{steps} {within}{nearest}"


def _unasserted(found: CurveComparison) -> bool:
    """Whether the golden has it and there is nothing to hold against."""
    return bool(found.findings) and found.findings[0].detail in {UNASSERTED, ANOTHER}


def _missing(finding: CurveFinding, found: CurveComparison) -> str:
    if finding.detail == ANOTHER:
        return (
            f"is missing: what was recorded has {amount(found.expected, 'step')} of it, and the other has no such curve"
        )
    if finding.detail == UNASSERTED:
        return (
            f"was never asserted: the golden has {amount(found.expected, 'step')} of it; "
            f"call parity.assert_curve(losses, name={found.name!r})"
        )
    missing = f"{finding.count:,} of {amount(found.expected, 'step')} {'is' if finding.count == 1 else 'are'} missing"
    if finding.detail.startswith("it ends"):
        return f"stops early: {finding.detail}, and what was recorded goes on to step {finding.last} ({missing})"
    if finding.detail.startswith("it begins"):
        return f"begins late: {finding.detail}, and what was recorded at step {finding.step} ({missing})"
    if finding.count == finding.last - finding.step + 1:
        return f"has no {_steps(finding)} ({missing})"
    return f"has gaps between step {finding.step} and {finding.last}: {missing}"


def _extra(finding: CurveFinding, found: CurveComparison) -> str:
    if not found.references:
        named = f", or give a name that it has ({finding.detail}): parity.assert_curve(losses, name=...)"
        return f"is no curve of the golden: record it again (pytest --parity-record){named if finding.detail else ''}"
    return f"has {amount(finding.count, 'step')} that the golden has not: {_steps(finding)}{_detail(finding)}"


def _order(finding: CurveFinding, _found: CurveComparison) -> str:
    further = _further(finding)
    return f"has its steps out of order: step {finding.step} comes twice, or before one that it follows{further}{_detail(finding)}"


def _nonfinite(finding: CurveFinding, _found: CurveComparison) -> str:
    return (
        f"is {number(finding.value)} at step {finding.step}, where what was recorded is finite{_further(finding)}"
        f"{_detail(finding)}"
    )


def _repeated(finding: CurveFinding, _found: CurveComparison) -> str:
    return (
        f"repeats itself at {_steps(finding)}: the losses of earlier steps, bit for bit{_detail(finding)}; "
        "a resume that trained on the same batches again looks like this"
    )


def _precision(finding: CurveFinding, _found: CurveComparison) -> str:
    return f"has lost precision that what was recorded has: {finding.detail}"


def _spike(finding: CurveFinding, found: CurveComparison) -> str:
    return f"jumps at step {finding.step}: {_allowed(finding, found)}{_further(finding)}{_detail(finding)}"


def _pointwise(finding: CurveFinding, found: CurveComparison) -> str:
    leaves = "leaves the band" if found.references > 1 else "is off"
    return f"{leaves} at step {finding.step}: {_allowed(finding, found)}{_further(finding)}{_detail(finding)}"


def _level(finding: CurveFinding, found: CurveComparison) -> str:
    return (
        f"ends {_percent(finding)}: the mean of its last {amount(finding.count, 'step')} is "
        f"{_allowed(finding, found)}{_detail(finding)}"
    )


def _drift(finding: CurveFinding, found: CurveComparison) -> str:
    side = "above" if finding.value > finding.expected else "below"
    return (
        f"stays {side} what was recorded from step {finding.step} to {finding.last}: {_allowed(finding, found)}"
        f"{_detail(finding)}"
    )


def _oscillation(finding: CurveFinding, found: CurveComparison) -> str:
    return f"swings around what was recorded, from step {finding.step} to {finding.last}: {_allowed(finding, found)}{_detail(finding)}"


def _roughness(finding: CurveFinding, found: CurveComparison) -> str:
    more = "rougher" if finding.value > finding.expected else "smoother"
    return f"is {more} from step to step than what was recorded: {_allowed(finding, found)}{_detail(finding)}"


def _slope(finding: CurveFinding, found: CurveComparison) -> str:
    slower = "more slowly" if finding.value > finding.expected else "faster"
    return f"falls {slower} at its end than what was recorded: {_allowed(finding, found)}{_detail(finding)}"


_SENTENCES: dict[CurveCheck, Callable[[CurveFinding, CurveComparison], str]] = {
    CurveCheck.MISSING: _missing,
    CurveCheck.EXTRA: _extra,
    CurveCheck.ORDER: _order,
    CurveCheck.NONFINITE: _nonfinite,
    CurveCheck.REPEATED: _repeated,
    CurveCheck.PRECISION: _precision,
    CurveCheck.SPIKE: _spike,
    CurveCheck.POINTWISE: _pointwise,
    CurveCheck.LEVEL: _level,
    CurveCheck.DRIFT: _drift,
    CurveCheck.OSCILLATION: _oscillation,
    CurveCheck.ROUGHNESS: _roughness,
    CurveCheck.SLOPE: _slope,
}


def _allowed(finding: CurveFinding, found: CurveComparison) -> str:
    """``2.41 where the 5 recorded runs allow 2.25 to 2.34``."""
    value, low, high = _figures(finding)
    if found.references > 1:
        return f"{value} where the {found.references} recorded runs allow {_range(low, high)}"
    if low == high:
        return f"{value} where {low} was recorded"
    return f"{value} where the recorded {number(finding.expected)} allows {_range(low, high)}"


def _range(low: str, high: str) -> str:
    if low == "nan":
        return ""
    if low == high:
        return low
    if low == "-inf":
        return f"at most {high}"
    return f"at least {low}" if high == "inf" else f"{low} to {high}"


def _figures(finding: CurveFinding) -> tuple[str, str, str]:
    """The value and its bounds in as many digits as it takes to see that it is outside, three at least."""
    numbers = finding.value, finding.low, finding.high
    for digits in range(3, _ENOUGH + 1):
        value, low, high = (f"{one:.{digits}g}" for one in numbers)
        apart = low != high or finding.low == finding.high
        if not isfinite(finding.value) or (apart and not float(low) <= float(value) <= float(high)):
            break
    return value, low, high


def _percent(finding: CurveFinding) -> str:
    """How far the value is from what is expected, and on which side."""
    side = "too high" if finding.value > finding.expected else "too low"
    if not finding.expected or not isfinite(finding.value):
        return side
    return f"{100 * abs(finding.value - finding.expected) / abs(finding.expected):.2g} % {side}"


def _steps(finding: CurveFinding) -> str:
    return f"step {finding.step:,}" if finding.last == finding.step else f"steps {finding.step:,} to {finding.last:,}"


def _further(finding: CurveFinding) -> str:
    more = finding.count - 1
    return f", and at {amount(more, 'further step')} up to {finding.last:,}" if more > 0 else ""


def _detail(finding: CurveFinding) -> str:
    return f" ({finding.detail})" if finding.detail else ""


def finding_cells(finding: CurveFinding) -> Sequence[str]:
    """A row below ``CURVE_HEAD``."""
    value, low, high = _figures(finding)
    steps = f"{finding.step:,}" if finding.last == finding.step else f"{finding.step:,}-{finding.last:,}"
    if finding.count not in {1, finding.last - finding.step + 1}:
        steps += f" ({finding.count:,} of them)"
    share = "" if finding.share == inf else f"{number(finding.share)} times"
    return finding.check.value, steps, value, _range(low, high), share
