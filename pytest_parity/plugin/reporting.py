"""Reports of a run: the files of ``--parity-report``, what GitHub Actions shows, and the places of ``--parity-sink``.

Each is written once, where tests are reported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_parity.errors import GoldenError
from pytest_parity.golden.cases import MANIFEST
from pytest_parity.golden.manifest import read_manifest
from pytest_parity.plugin.controller import Controller, case_lines
from pytest_parity.plugin.options import OPTIONS
from pytest_parity.plugin.results import attached
from pytest_parity.report.document import Told, document, relative_to, versions
from pytest_parity.report.github import error_lines, on_github

if TYPE_CHECKING:
    from pytest_parity.plugin.results import CaseResult
    from pytest_parity.report.model import Document

__all__ = ["Reporting"]

_ANNOTATE = "pytest_github_actions_annotate_failures"
"""A plugin that does so for every test that fails."""


class Reporting:
    """Registered beside the controller, whose results it tells."""

    def __init__(self, config: pytest.Config, controller: Controller) -> None:
        self._config = config
        self._options = config.stash[OPTIONS]
        self._controller = controller
        self._places: dict[str, tuple[str, int]] = {}
        """Of a test's result: its file, from the rootdir, and the line where it ended."""
        self._broken: list[str] = []
        """What a test of a case raised outside of its body, where it has no result."""
        self._annotations: list[str] = []
        self._logged: tuple[str, ...] = ()
        """What was logged to which sink."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note where a case's test is, and what of a case has no result."""
        if attached(report) is not None:
            self._places[report.nodeid] = _place(report)
        elif report.failed and report.when != "call" and "parity" in report.keywords:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = str(getattr(crash, "message", "")).partition("\n")[0]
            self._broken.append(f"{report.nodeid}: error at {report.when}: {why}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files, and the job's summary, and log to the sinks; one that cannot be written fails the run."""
        github = self._options.github and on_github()
        if self._config.option.collectonly or not (self._options.reports or self._options.sinks or github):
            return
        told = self._document()
        for path in self._options.reports:
            self._write(path, told)
        if github and told["cases"]:
            self._summarize(told)
            if not self._config.pluginmanager.has_plugin(_ANNOTATE):
                self._annotations = list(error_lines(told, _below_repository(self._config.rootpath)))
        if self._options.sinks:
            self._log(told)
        if self._controller.complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the files, and hand GitHub its annotations, each on a line of its own."""
        for path in self._options.reports:
            if path.exists() and not self._config.option.collectonly:
                terminalreporter.write_sep("-", f"parity report: {relative_to(path, Path.cwd())}")
        terminalreporter.ensure_newline()
        for line in (*self._logged, *self._annotations):
            terminalreporter.write_line(line)

    def _document(self) -> Document:
        options, controller = self._options, self._controller
        return document(
            [self._told(result) for result in controller.results],
            command="record" if options.recording else "check",
            golden=relative_to(options.root, self._config.rootpath),
            versions=versions("pytest"),
            lines=controller.project_lines,
            complaints=[*controller.complaints, *self._broken],
            places=[self._config.rootpath, self._config.invocation_params.dir, options.root.parent, options.out.parent],
        )

    def _told(self, result: CaseResult) -> Told:
        file, line = self._places.get(result.nodeid, ("", 0))
        return Told(
            case=result.case,
            outcome=result.outcome,
            text=result.text or "\n".join(case_lines(result)),
            comparison=result.comparison,
            recorded=result.recorded,
            manifest=_manifest(self._options.root / result.case),
            nodeid=result.nodeid,
            file=file,
            line=line,
        )

    def _write(self, path: Path, told: Document) -> None:
        from pytest_parity.report.files import write_report  # noqa: PLC0415  only where there is one to write

        try:
            write_report(path, told)
        except OSError as error:
            self._controller.complaints.append(f"--parity-report {path} could not be written: {error.strerror}")

    def _log(self, told: Document) -> None:
        from pytest_parity.report.sinks import write_sinks  # noqa: PLC0415
        from pytest_parity.report.sinks.told import told_runs  # noqa: PLC0415

        written = write_sinks(self._options.sinks, told_runs(told))
        self._logged = written.lines
        self._controller.complaints += written.complaints

    def _summarize(self, told: Document) -> None:
        """Append to the summary of the job's step, which is one file for all that the step runs."""
        from pytest_parity.report.markdown import SUMMARY, markdown  # noqa: PLC0415

        place = os.environ.get("GITHUB_STEP_SUMMARY")
        if not place:
            return
        try:
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(markdown(told, limit=SUMMARY - file.tell()))
        except OSError as error:
            self._controller.complaints.append(f"the job's summary could not be written: {place}: {error.strerror}")


def _place(report: pytest.TestReport) -> tuple[str, int]:
    """The test's file and the line where it failed; else the one where it begins."""
    file, begins, _ = report.location
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    here = crash is not None and str(crash.path).replace(os.sep, "/").endswith(file.replace(os.sep, "/"))
    return file.replace(os.sep, "/"), crash.lineno if here else (begins or 0) + 1


def _manifest(case: Path) -> Mapping[str, Any]:
    """The golden's, where it has one that can be read; if not, the case's failure says so."""
    try:
        return read_manifest(case) if (case / MANIFEST).is_file() else {}
    except GoldenError:
        return {}


def _below_repository(root: Path) -> str:
    """What stands before a path from the rootdir to make it one from the repository, as GitHub wants it."""
    workspace = Path(os.environ.get("GITHUB_WORKSPACE") or root)
    inside = root.is_relative_to(workspace) and root != workspace
    return f"{root.relative_to(workspace).as_posix()}/" if inside else ""
