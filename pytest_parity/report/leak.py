"""The text of padding that leaks: which module first, and what moved."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_parity.report.table import table
from pytest_parity.report.words import amount
from pytest_parity.result import Comparison, Diagnosis, Fault
from pytest_parity.site import ROOT, Kind, Site

__all__ = ["leak_text", "sound_text"]


def sound_text(comparison: Comparison, model: str, magnitudes: Sequence[float]) -> str:
    """``Net: padding does not leak: none of 5 sites looked at moves with noise of 1 and 100 times ...``."""
    sizes = " and ".join(f"{one:g}" for one in magnitudes)
    return (
        f"{model}: padding does not leak: none of {amount(comparison.expected, 'site')} looked at moves with noise of {sizes} "
        "times the valid values' size in it"
    )


def leak_text(comparison: Comparison, model: str, *, magnitude: float, whole: frozenset[str], limit: int = 20) -> str:
    """Several lines; ``whole`` are the sites for which no valid region was declared."""
    failures = comparison.failures
    first = failures[0].site if comparison.diagnosis is None else comparison.diagnosis.site
    lines = [f"{model}: padding leaks: {_sentence(comparison.diagnosis, first)}"]
    if first in whole:
        lines.append(
            "  no valid region is declared there, so all of it counts; where it is padded, say where it is valid"
        )
    elif Site.parse(first).path == ROOT and comparison.diagnosis is not None:
        lines.append(
            "  valid={'encoder.*': Valid(...)}, the valid regions of its modules, would tell which of them it is"
        )
    told = (
        f"{len(failures):,} of {amount(comparison.expected, 'site')} looked at move; here: with noise of {magnitude:g} times "
        "the valid values' size in the padding, reference: the batch as it is"
    )
    return "\n".join([*lines, "", *table(failures, width=100, limit=limit), "", told])


def _sentence(diagnosis: Diagnosis | None, first: str) -> str:
    site = Site.parse(first)
    if diagnosis is None or diagnosis.fault not in _WORDS:
        return f"{first} moves with it"
    if diagnosis.fault is Fault.BETWEEN and site.kind is not Kind.ACTIVATION and site.path == ROOT:
        return f"what is handed to {ROOT} moves with it"
    after = f", after {diagnosis.after} did not move" if diagnosis.after else ""
    return _WORDS[diagnosis.fault].format(module=diagnosis.module, name=site.path, after=after)


_WORDS = {
    Fault.MODULE: "{module} is the first module whose valid positions move with it, while those of its inputs do not",
    Fault.BETWEEN: "{module}: the valid positions of what it hands to {name} move with it{after}",
    Fault.NOT_CALLED: "{module} is not called with other padding",
    Fault.VALUE: "the valid positions of what the call returns move with it{after}",
}
