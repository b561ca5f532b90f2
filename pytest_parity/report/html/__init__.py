"""One self-contained HTML file of a run's document: style, script and data inlined, nothing fetched, nothing from outside."""

from __future__ import annotations

from pytest_parity.report.html.page import render

__all__ = ["render"]
