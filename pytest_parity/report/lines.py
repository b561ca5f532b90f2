"""One line about a case: what was compared and how it ended, or what was recorded."""

from __future__ import annotations

from pytest_parity.report.coverage import coverage_lines
from pytest_parity.report.sentence import verdict_sentence
from pytest_parity.report.words import amount, counted, number, size, steps_words
from pytest_parity.result import Comparison, Delta, Recorded

__all__ = ["closest_words", "compared_of", "note_lines", "recorded_line", "summary_line"]


def summary_line(comparison: Comparison) -> str:
    """``nest/tiny: 1,236 of 1,236 sites compared in steps 0-2: 1,200 equal, 36 close``, marked where it fails."""
    line = f"{compared_of(comparison)}: {counted(comparison.counts) or 'nothing'}"
    if comparison.passed:
        return f"{comparison.case}: {line}"
    failed = f"{comparison.case}: FAILED: {line}"
    return failed if comparison.diagnosis is None else f"{failed}; first: {verdict_sentence(comparison)}"


def note_lines(result: Comparison | Recorded) -> list[str]:
    """What there is to know besides, to stand below the case's line."""
    closest = closest_words(result.closest) if isinstance(result, Comparison) and result.passed else ""
    covered = coverage_lines(result) if isinstance(result, Comparison) else []
    return [f"  {note}" for note in (*covered, *([closest] if closest else []), *result.notes)]


def closest_words(closest: Delta | None) -> str:
    """Which site came nearest to what the noise floor allows; empty where it decided about nothing that moved."""
    if closest is None or closest.noise is None:
        return ""
    noise = closest.noise
    return (
        f"nearest to its bound of {noise.factor:g} noise floors: {closest.site} in step {closest.step}, "
        f"norm {number(noise.norm_ratio)}, gain {number(noise.gain_ratio)}"
    )


def compared_of(comparison: Comparison) -> str:
    """``1,236 of 1,236 sites compared in steps 0-2``."""
    steps = steps_words(comparison.steps)
    line = f"{comparison.compared:,} of {amount(comparison.expected, 'site')} compared"
    return f"{line} in {steps}" if steps else line


def recorded_line(recorded: Recorded) -> str:
    """``nest/tiny: recorded 1,236 sites in steps 0-2, 12.3 MB, to golden/nest/tiny``."""
    steps = steps_words(recorded.steps)
    what = f"recorded {amount(recorded.sites, 'site')}" + (f" in {steps}" if steps else "")
    return f"{recorded.case}: {what}, {size(recorded.size)}, to {recorded.path}"
