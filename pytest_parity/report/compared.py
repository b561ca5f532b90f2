"""Two recordings side by side as text: structure, outputs, loss, each kind with its worst sites, then the diagnosis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_parity.report.coverage import coverage_lines
from pytest_parity.report.curves import curve_lines, curves_summary
from pytest_parity.report.data import data_lines
from pytest_parity.report.environment import character_lines, difference_lines
from pytest_parity.report.lines import closest_words, compared_of
from pytest_parity.report.sentence import data_first, verdict_sentence
from pytest_parity.report.survey import KindFound, Survey
from pytest_parity.report.words import amount, counted, elided, number, pair, steps_words, verdict_word
from pytest_parity.result import Comparison, Delta, Fault, LossFound, Verdict
from pytest_parity.site import Kind

__all__ = ["compared_lines", "conclusion"]

_TITLES = {
    Kind.GRADIENT: "gradients",
    Kind.ACTIVATION_GRADIENT: "activation gradients",
    Kind.ACTIVATION: "activations",
    Kind.INPUT: "inputs",
    Kind.PROBE: "probes",
    Kind.WEIGHT: "weights",
    Kind.UPDATED_WEIGHT: "updated weights",
    Kind.OPTIMIZER: "optimizer state",
    Kind.BATCH: "batch",
}
"""In the order in which they are shown."""
_HEAD = ("", "verdict", "max abs", "mean abs", "std", "relative", "bound")
_SITE_AT_LEAST, _WIDTH = 24, 110
_SHOWN = 20
"""Outputs and losses; of many steps the last are left out."""


def compared_lines(survey: Survey) -> Iterator[str]:
    """What the two hold and how far it agrees; ``conclusion`` is what it amounts to."""
    yield f"reference: {survey.reference} ({steps_words(survey.reference_steps) or 'no step'})"
    yield f"candidate: {survey.candidate} ({steps_words(survey.candidate_steps) or 'no step'})"
    yield from _structure(survey)
    yield from _outputs(survey)
    yield from _losses(survey.losses)
    found = {one.kind: one for one in survey.kinds}
    several = len(survey.comparison.steps) > 1
    for kind, title in _TITLES.items():
        if kind.value in found:
            yield from _kind(found[kind.value], title, several=several)


def conclusion(comparison: Comparison) -> tuple[str, list[str]]:
    """The line that says it, and what stands below it."""
    counts = counted(comparison.counts) or "nothing"
    total = f"{compared_of(comparison)}: {counts}"
    curves = [curves_summary(comparison), *curve_lines(comparison)] if comparison.curves else []
    below = [*curves, *coverage_lines(comparison), *comparison.notes]
    if comparison.passed:
        closest = closest_words(comparison.closest)
        return f"no divergence: {total}", [*([closest] if closest else []), *below, *difference_lines(comparison)]
    diagnosis, data = comparison.diagnosis, comparison.data
    title = "different" if diagnosis is None else "first divergence"
    stepless = diagnosis is None or diagnosis.fault in {Fault.STRUCTURE, Fault.SKIPPED} or data_first(comparison)
    where = "" if diagnosis is None or stepless else f"step {diagnosis.step}: "
    line = f"{title}: {where}{verdict_sentence(comparison)}"
    hints = [*(diagnosis.hints if diagnosis else ()), *(data_lines(data, replay="") if data else ())]
    return line, [
        *(f"  {hint}" for hint in hints),
        total,
        *below,
        *character_lines(comparison),
        *difference_lines(comparison),
    ]


def _structure(survey: Survey) -> Iterator[str]:
    found = survey.structure
    if not found:
        return
    known = " (as the recorded tensors tell; no structure was recorded)" if found["derived"] else ""
    yield ""
    yield f"structure{known}"
    sides = [
        f"{found[f'{side}_elements']:,} parameters in {amount(found[side], 'tensor')}"
        for side in ("reference", "candidate")
    ]
    yield f"  {sides[0]} in the reference, {sides[1]} in the candidate"
    common = found["common"]
    yield (
        f"  {common:,} of {amount(found['reference'], 'tensor')} in common; of these {found['same_shape']:,} match in shape, "
        f"{found['same_dtype']:,} in dtype"
    )


def _outputs(survey: Survey) -> Iterator[str]:
    if not survey.outputs:
        return
    yield ""
    yield "outputs"
    yield from _table(survey.outputs[:_SHOWN], several=len(survey.comparison.steps) > 1)
    yield from _more(len(survey.outputs) - _SHOWN, "output")


def _losses(losses: Sequence[LossFound]) -> Iterator[str]:
    if not losses:
        return
    yield ""
    yield "loss"
    for one in losses[:_SHOWN]:
        name = "" if one.name == "loss" else f" {one.name}"
        yield f"  step {one.step}{name}: {verdict_word(one.verdict)}, {_values(one)}"
    if len(losses) > _SHOWN:
        yield f"  and {len(losses) - _SHOWN:,} more"


def _values(loss: LossFound) -> str:
    """Both values in nine digits, or as many more as it takes to see that they are two, and how far they are apart."""
    theirs, ours = ("none" if value is None else f"{value:.9g}" for value in (loss.reference, loss.candidate))
    if loss.reference is None or loss.candidate is None or loss.reference == loss.candidate:
        return f"reference {theirs}, candidate {ours}"
    if theirs == ours:
        theirs, ours = pair(loss.reference, loss.candidate)
    apart = number(abs(loss.candidate - loss.reference))
    return f"reference {theirs}, candidate {ours}, apart by {apart}"


def _kind(found: KindFound, title: str, *, several: bool) -> Iterator[str]:
    yield ""
    yield f"{title}: {found.matched:,} of {found.sites:,} match ({_share(found)}): {counted(found.counts)}"
    if found.worst:
        yield from _table(found.worst, several=several)
        yield from _more(found.moved - len(found.worst), "site")


def _share(found: KindFound) -> str:
    """Never rounded up to all, or down to none."""
    share = f"{100 * found.rate:.1f}"
    if found.matched < found.sites and share == "100.0":
        share = "above 99.9"
    elif found.matched and share == "0.0":
        share = "below 0.1"
    return f"{share}%"


def _more(count: int, noun: str) -> Iterator[str]:
    if count > 0:
        yield f"  and {amount(count, f'further {noun}')}"


def _table(deltas: Sequence[Delta], *, several: bool) -> Iterator[str]:
    rows = [_HEAD, *(_row(delta, several=several) for delta in deltas)]
    numeric = [row for row in rows if len(row) == len(_HEAD)]
    widths = [max(len(row[place]) for row in numeric) for place in range(len(_HEAD))]
    widths[0], widths[1] = (max(len(row[place]) for row in rows) for place in (0, 1))
    most = min(widths[0], max(_SITE_AT_LEAST, _WIDTH - sum(widths[1:-1]) - 2 * len(_HEAD)))
    sites = [_fitting(row[0], most) for row in rows]
    widths[0] = max(map(len, sites))
    for site, row in list(zip(sites, rows, strict=True))[0 if len(numeric) > 1 else 1 :]:
        cells = [site.ljust(widths[0]), row[1].ljust(widths[1])]
        rest = row[2:]
        if len(row) == len(_HEAD):
            rest = (*(cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:-1], strict=True)), row[-1])
        yield ("  " + "  ".join([*cells, *rest])).rstrip()


def _fitting(site: str, most: int) -> str:
    """Without the candidate's name for it where there is no room for both: two halves of names are none."""
    return site if len(site) <= most else elided(site.partition(" (")[0], most)


def _row(delta: Delta, *, several: bool) -> tuple[str, ...]:
    own = f" ({delta.candidate})" if delta.candidate and delta.verdict.fails else ""
    site = f"step {delta.step}: {delta.site}{own}" if several else f"{delta.site}{own}"
    apart, verdict = delta.apart, verdict_word(delta.verdict)
    if apart is None and delta.verdict is not Verdict.EQUAL:
        return (site, verdict, delta.detail)
    figures = (0.0,) * 4 if apart is None else (apart.max_abs, apart.mean_abs, apart.std, apart.relative_l2)
    return (site, verdict, *map(number, figures), _bound(delta))


def _bound(delta: Delta) -> str:
    """What was allowed, where it decided: at the worst element, or in multiples of the noise floor."""
    noise, metrics = delta.noise, delta.metrics
    if noise is not None:
        return f"{number(noise.ratio)} floors of {noise.factor:g}"
    if metrics is None or not delta.verdict.fails:
        return ""
    ours, theirs = pair(metrics.worst_actual, metrics.worst_expected)
    index = f"{list(metrics.worst_index)} " if metrics.worst_index else ""
    return f"{number(metrics.worst_allowed)} at {index}: {ours}, reference {theirs}".replace(" :", ":")
