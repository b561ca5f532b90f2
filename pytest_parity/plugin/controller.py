"""The run as a whole, in the process that reports it: results gathered, the summary, and what ``--parity-strict`` asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import pytest

from pytest_parity.golden.cases import cases
from pytest_parity.plugin.cases import CASES
from pytest_parity.plugin.complaints import covers_everything, drift_lines, idle_lines, stale_lines, unmatched_lines
from pytest_parity.plugin.options import OPTIONS
from pytest_parity.plugin.results import CaseResult, attached
from pytest_parity.plugin.selftest import untested_lines

__all__ = ["Controller", "case_lines"]


class Controller:
    """Registered where tests are reported: the only process there is, or pytest-xdist's controller."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._options = config.stash[OPTIONS]
        self.results: list[CaseResult] = []
        self._collected: set[str] | None = None
        """The cases of every test collected, deselected ones too; ``None`` where nobody told."""
        self._unseen: list[str] = []
        """Modules that were skipped or failed as a whole: any golden may be one of theirs."""
        self.complaints: list[str] = []
        """What is wrong with the run as a whole."""

    def pytest_report_header(self) -> str | None:
        """Say where the goldens are, to those who have or make some."""
        root = self._options.root
        if self._options.recording:
            return f"parity: recording to {root}{self._profile}"
        return f"parity: checking against {root}{self._profile}" if root.is_dir() else None

    @property
    def _profile(self) -> str:
        """The one that was named; what the device decides is known to the process that runs tests, later."""
        return f", profile {self._options.profile.name}" if self._options.profile else ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what was not collected."""
        if not report.passed:
            self._unseen.append(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist, the tests were collected here; xdist's controller never comes by."""
        self._collected = set(session.config.stash[CASES].owners)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """With xdist, a worker tells at its end."""
        told = getattr(node, "workeroutput", {}).get("parity_cases")
        if told is not None:
            self._collected = (self._collected or set()) | set(told)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather a case's result, which travelled on its test's report."""
        result = attached(report)
        if result is not None:
            self.results.append(result)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that passed, where ``--parity-strict`` finds something."""
        if self._options.strict:
            self.complaints += [*self._stale(), *drift_lines(self.results)]
        if self._options.selftest and not self._config.option.collectonly:
            self.complaints += untested_lines([result.power for result in self.results if result.power is not None])
        if self._collected is not None:
            self.complaints += unmatched_lines(self._options.cases, self._collected)
            if covers_everything(self._config):
                self.complaints += idle_lines(self._options.ignore, self.results, self._collected)
        if self.complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _stale(self) -> list[str]:
        if self._collected is None or self._unseen or not covers_everything(self._config):
            return []
        return stale_lines(self._options.root, set(cases(self._options.root)) - self._collected)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Section ``parity``: a line per case, what the project adds, what ``--parity-strict`` found."""
        lines = [] if self._config.option.no_summary else self._lines(quiet=self._config.get_verbosity() < 0)
        if not lines and not self.complaints:
            return
        terminalreporter.write_sep("=", "parity")
        for line in lines:
            terminalreporter.write_line(line)
        for complaint in self.complaints:
            terminalreporter.write_line(complaint, red=True)

    def _lines(self, *, quiet: bool) -> list[str]:
        shown = [result for result in self.results if not quiet or result.outcome == "failed" or _has_moved(result)]
        lines = [line for result in shown for line in case_lines(result)]
        return lines if quiet else lines + self.project_lines

    @cached_property
    def project_lines(self) -> list[str]:
        """What the project's own hook adds; it is asked once."""
        if not self.results:
            return []
        answers = self._config.hook.pytest_parity_report(config=self._config, results=tuple(self.results))
        return [line for answer in reversed(answers) for line in _as_lines(answer)]


def _has_moved(result: CaseResult) -> bool:
    """Whether another golden took one's place, which someone is to look at."""
    moved = None if result.recorded is None else result.recorded.moved
    return moved is not None and not (
        set(moved.counts) <= {"equal"} and all(curve.equal and curve.passed for curve in moved.curves)
    )


def _as_lines(answer: str | Sequence[str]) -> Iterable[str]:
    return [answer] if isinstance(answer, str) else answer


def case_lines(result: CaseResult) -> list[str]:
    """What the summary says of a case."""
    from pytest_parity.report import moved_lines, note_lines, power_lines, recorded_line, summary_line  # noqa: PLC0415

    if result.recorded is not None:
        moved = moved_lines(result.recorded.moved)
        return [recorded_line(result.recorded), *moved, *note_lines(result.recorded)]
    comparison = result.comparison
    if comparison is None:
        return [f"{result.case}: {result.message}"]
    found = comparison.failures or comparison.failing_curves
    shown = result.outcome == "passed" or found or result.power is not None
    line = summary_line(comparison) if shown else f"{result.case}: {result.message}"
    powers = [] if result.power is None else power_lines(result.case, result.power)
    return [line, *note_lines(comparison), *powers]
