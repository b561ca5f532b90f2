"""One line about a case: what was compared and how it ended, or what was recorded."""

from __future__ import annotations

from pytest_parity.report.coverage import coverage_lines
from pytest_parity.report.curves import curves_summary
from pytest_parity.report.data import data_sentence
from pytest_parity.report.environment import passing_words
from pytest_parity.report.sentence import data_first, verdict_sentence
from pytest_parity.report.words import amount, counted, listed, number, size, steps_words
from pytest_parity.result import Comparison, Delta, Recorded, Verdict

__all__ = ["VACUOUS", "closest_words", "compared_of", "note_lines", "recorded_line", "summary_line"]

VACUOUS = "vacuous, zeros would have passed there"
"""Of sites, as a remark."""
_SHOWN = 3


def summary_line(comparison: Comparison) -> str:
    """``nest/tiny: 1,236 of 1,236 sites compared in steps 0-2: 1,200 equal, 36 close``, marked where it fails."""
    sites = f"{compared_of(comparison)}: {counted(comparison.counts) or 'nothing'}"
    curves = curves_summary(comparison)
    line = "; ".join([*([sites] if comparison.expected or not curves else []), *([curves] if curves else [])])
    if comparison.passed:
        return f"{comparison.case}: {line}"
    failed = f"{comparison.case}: FAILED: {line}"
    return (
        failed
        if comparison.diagnosis is None and not data_first(comparison) and not comparison.failing_curves
        else f"{failed}; first: {verdict_sentence(comparison)}"
    )


def note_lines(result: Comparison | Recorded) -> list[str]:
    """What there is to know besides, to stand below the case's line."""
    lines = _of_comparison(result) if isinstance(result, Comparison) else []
    return [f"  {note}" for note in (*lines, *result.notes)]


def _of_comparison(comparison: Comparison) -> list[str]:
    lines = coverage_lines(comparison)
    if comparison.passed:
        lines += [f"{data_sentence(comparison.data)}; batches are not judged here"] if comparison.data else []
        vacuous = [delta.site for delta in comparison.deltas if delta.verdict is Verdict.VACUOUS]
        lines += [f"{VACUOUS}: {listed(vacuous, _SHOWN)}"] if vacuous else []
        closest = closest_words(comparison.closest)
        otherwise = passing_words(comparison)
        lines += [one for one in (closest, otherwise) if one]
    return lines


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
    sites = [f"{amount(recorded.sites, 'site')}" + (f" in {steps}" if steps else "")]
    curves = [amount(len(recorded.curves), "curve")] if recorded.curves else []
    what = f"recorded {' and '.join([*(sites if recorded.sites or not curves else []), *curves])}"
    return f"{recorded.case}: {what}, {size(recorded.size)}, to {recorded.path}"
