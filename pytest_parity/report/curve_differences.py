"""Whether experiments differ, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_parity.report.words import amount, listed, number
from pytest_parity.result.curve_difference import CurveDifference, Doubt, Outcome

__all__ = ["difference_lines"]

_FEW = 3
"""Runs on a side below which the spread between them is hardly known."""
_NAMED = 5
"""Experiments of many that are named."""


def difference_lines(found: Sequence[CurveDifference]) -> list[str]:
    """A sentence a pair and statistic; one for all pairs that cannot be told apart yet, one for those of different meaning.

    A single pair of either has a sentence of its own.
    """
    few = [one for one in found if one.doubt is Doubt.RUNS]
    apart = [one for one in found if one.outcome is Outcome.NOT_COMPARABLE]
    few = few if len({(one.first, one.second) for one in few}) > 1 else []
    apart = apart if len(apart) > 1 else []
    lines = [_sentence(one) for one in found if one not in few and one not in apart]
    return [*lines, *([_alone(few)] if few else []), *([_apart(apart)] if apart else [])]


def _alone(found: Sequence[CurveDifference]) -> str:
    """Which experiments have too few runs to tell."""
    needed = {
        name: count for one in found for name, count in zip((one.first, one.second), one.needed, strict=True) if count
    }
    pairs = len({(one.first, one.second) for one in found})
    return (
        f"{Outcome.UNDECIDED}, {pairs} pairs: it takes 2 runs of each experiment at least to see what the seed alone does: "
        f"train {listed([f'{count} more of {name}' for name, count in needed.items()], _NAMED)}"
    )


def _apart(found: Sequence[CurveDifference]) -> str:
    """Which experiments have which meaning."""
    kinds: dict[tuple[str, str], dict[str, None]] = {}
    for one in found:
        for name, kind in zip((one.first, one.second), one.meanings, strict=True):
            kinds.setdefault(kind, {})[name] = None
    listing = "; ".join(f"{', '.join(names)} ({_meaning(*kind)})" for kind, names in kinds.items())
    return (
        f"{Outcome.NOT_COMPARABLE}: {listing}: the losses of these {len(kinds)} groups mean different things, so no axis has two of them; "
        "if they mean the same, declare it: --unit NAME"
    )


def _sentence(one: CurveDifference) -> str:
    pair = f"{one.first} and {one.second}"
    if one.outcome is Outcome.NOT_COMPARABLE:
        first, second = (
            f"{name} ({_meaning(*kind)})" for name, kind in zip((one.first, one.second), one.meanings, strict=True)
        )
        return (
            f"{pair}: {one.outcome}: the losses of {first} and {second} mean different things, so no axis has both; "
            "if they mean the same, declare it: --unit NAME"
        )
    head = f"{pair}: {one.outcome}, {_where(one)}: "
    if one.outcome is Outcome.UNDECIDED:
        return head + _undecided(one)
    between = f"{one.low:+.3g} to {one.high:+.3g}"
    confidence = f"{one.confidence:.0%} interval" + (f" for {one.pairs} pairs together" if one.pairs > 1 else "")
    if one.outcome is Outcome.NOT_FOUND:
        told = f"{_levels(one)}; {one.second} minus {one.first} may still be {between}{_unit(one)} ({confidence}), p = {number(one.p)}"
    else:
        near, far = sorted((abs(one.low), abs(one.high)))
        told = (
            f"{one.lower} is lower by {number(abs(one.difference))}{_unit(one)} "
            f"({number(near)} to {number(far)}: {confidence}), p = {number(one.p)}; {_levels(one)}"
        )
    return head + told + _caveat(one)


def _undecided(one: CurveDifference) -> str:
    if one.doubt is Doubt.NOTHING:
        return "there is no step, or epoch, that every run of both has"
    levels = _levels(one)
    if one.doubt is Doubt.NOT_FINITE:
        return f"{levels}; a run's loss is not finite there, and a mean without it would be of the lucky runs"
    if one.doubt is Doubt.NO_SPREAD:
        return (
            f"{levels}; runs of one experiment are all at the same loss, so nothing is known of what another seed does"
        )
    more = [f"{count} more of {name}" for count, name in zip(one.needed, (one.first, one.second), strict=True) if count]
    return f"{levels}; it takes 2 runs of each at least to see what the seed alone does: train {' and '.join(more)}"


def _levels(one: CurveDifference) -> str:
    sides = zip((one.first, one.second), one.means, one.runs, strict=True)
    return ", ".join(f"{name} {mean:.4g} ({amount(runs, 'run')})" for name, mean, runs in sides)


def _where(one: CurveDifference) -> str:
    first, last = one.span
    if one.statistic == "last epoch":
        return f"epoch {last:,}"
    return f"final level, steps {first:,} to {last:,}" if last else "final level"


def _meaning(kind: str, value: str) -> str:
    if kind == "unit":
        return f"unit {value!r}"
    return f"model type {value!r}, no unit" if value else "no model type, no unit"


def _unit(one: CurveDifference) -> str:
    return f" {one.unit}" if one.unit else ""


def _caveat(one: CurveDifference) -> str:
    few = min(one.runs)
    return f"; {few} runs tell little of their spread, 5 of each are better" if few < _FEW else ""
