"""A comparison as text: the failure a test shows, the line a case gets in the summary."""

from __future__ import annotations

from pytest_parity.report.data import data_agreement
from pytest_parity.report.environment import difference_list
from pytest_parity.report.leak import leak_text, sound_text
from pytest_parity.report.lines import note_lines, recorded_line, summary_line
from pytest_parity.report.moved import moved_lines
from pytest_parity.report.nonfinite import nonfinite_lines
from pytest_parity.report.power import power_lines
from pytest_parity.report.text import failure_text

__all__ = [
    "data_agreement",
    "difference_list",
    "failure_text",
    "leak_text",
    "moved_lines",
    "nonfinite_lines",
    "note_lines",
    "power_lines",
    "recorded_line",
    "sound_text",
    "summary_line",
]
