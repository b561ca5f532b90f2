"""One self-contained HTML file of a run's document, or of curves: style, script and data inlined, nothing from outside."""

from __future__ import annotations

from pytest_parity.report.html.page import curves_page, render

__all__ = ["curves_page", "render"]
