"""Where a browser was asked for, the report cannot pass without one."""

from __future__ import annotations

from pathlib import Path

import pytest

TEST = """
    def test_report(browser): pass
"""


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).parent
    pytester.makeconftest((here / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(TEST, chromium=(here / "chromium.py").read_text(encoding="utf-8"))
    for name in ("PARITY_BROWSER", "PARITY_NEED_BROWSER", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")


def test_without_a_browser_a_test_is_skipped(pytester: pytest.Pytester):
    result = pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*apt-get install chromium*PARITY_BROWSER*"])


@pytest.mark.parametrize("name", ["CI", "PARITY_NEED_BROWSER"])
def test_where_one_was_asked_for_it_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "1")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{name} is set, and there is no browser to test the report with*"])
