"""A link from a test's row in pytest-html's report to its case in ours, where a run writes both."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import pytest

from pytest_parity.plugin.options import OPTIONS
from pytest_parity.plugin.results import attached

__all__ = ["HtmlLink", "register_html_link"]


class HtmlLink:
    """Registered where tests are reported; ``report`` is ours, ``page`` is pytest-html's."""

    def __init__(self, report: Path, page: Path) -> None:
        self._address = _address(report, page.parent)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the link to what pytest-html shows beside the test."""
        result = attached(report)
        if result is None:
            return
        extras = import_module("pytest_html.extras")
        link = extras.url(f"{self._address}#{quote(result.case)}", name="parity")
        report.__dict__["extras"] = [*getattr(report, "extras", []), link]


def register_html_link(config: pytest.Config) -> None:
    """Link the first HTML report of ``--parity-report`` from the page of ``--html``, where there are both."""
    ours = next((path for path in config.stash[OPTIONS].reports if path.suffix == ".html"), None)
    page = config.getoption("htmlpath", None)
    if ours is not None and page and config.pluginmanager.hasplugin("html"):
        there = config.invocation_params.dir / Path(os.path.expandvars(page)).expanduser()
        config.pluginmanager.register(HtmlLink(ours, there), "parity-html-link")


def _address(report: Path, directory: Path) -> str:
    """The way from the page to the report: relative, so that both can be moved together; on another drive absolute."""
    try:
        return quote(Path(os.path.relpath(report, directory)).as_posix())
    except ValueError:
        return report.absolute().as_uri()
