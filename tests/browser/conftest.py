"""A browser that opens reports, and holds every one of them to the rule: no console message, nothing asked of anyone.

Debian's chromium does, or one that ``PARITY_BROWSER`` is the path of. Where there is none the tests are skipped, but under
``CI`` or ``PARITY_NEED_BROWSER``, where they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import NAMES, Open, executable, flags

from pytest_parity.report.html import render

WIDE = {"width": 1200, "height": 900}


def without(reason: str) -> None:
    """Skip, or fail where a browser was asked for."""
    asked = next((name for name in ("PARITY_NEED_BROWSER", "CI") if os.environ.get(name)), None)
    if asked:
        pytest.fail(f"{asked} is set, and there is no browser to test the report with: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    path = executable()
    if path is None:
        without(f"none of {', '.join(NAMES)} is installed; apt-get install chromium, or set PARITY_BROWSER")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        without("Playwright is not installed; pip install playwright")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=flags())
        yield started
        started.close()


class Watched:
    """What a page says and asks for."""

    def __init__(self, page: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a document's report, or what it is ``made`` into, in a page of its own; afterwards looks at what the pages said and asked for."""
    opened: list[tuple[Any, Watched, str]] = []

    def opener(document: Any, at: str = "", *, quiet: bool = True, made: Any = render, **settings: Any) -> Any:
        path = tmp_path / "report.html"
        path.write_text(made(document), encoding="utf-8")
        page = browser.new_page(**{"viewport": WIDE, **settings})
        watched = Watched(page)
        page.goto(path.as_uri() + at)
        opened.append((page, watched, path.as_uri() if quiet else ""))
        return page

    yield opener
    for page, watched, address in opened:
        page.close()
        if address:
            assert watched.said == []
            assert {asked.partition("#")[0] for asked in watched.asked} == {address}
