"""pytest-html's page leads to the case in ours."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

pytest.importorskip("pytest_html")

TEST = """
    import torch

    def test_value(parity):
        parity.assert_close("value", torch.ones(3))

    def test_other():
        pass
"""
OURS, THEIRS = "--parity-report=reports/parity report.html", "--html=pages/tests.html"


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_model=TEST)
    (pytester.path / "reports").mkdir()
    assert pytester.runpytest("--parity-record").ret == 0


def links(pytester: pytest.Pytester) -> dict[str, list[str]]:
    """Each test of pytest-html's page to where its links lead."""
    page = (pytester.path / "pages" / "tests.html").read_text(encoding="utf-8")
    blob = re.search(r'data-jsonblob="([^"]*)"', page)
    assert blob is not None
    rows = json.loads(unescape(blob[1]))["tests"]
    return {test.rpartition("::")[2]: [one["content"] for one in row[0]["extras"]] for test, row in rows.items()}


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "xdist"])
def test_a_case_has_a_link_and_another_test_has_none(pytester: pytest.Pytester, workers: tuple[str, ...]):
    result = pytester.runpytest(OURS, THEIRS, *workers)
    assert result.ret == 0
    assert links(pytester) == {
        "test_value": ["../reports/parity%20report.html#test_model/test_value"],
        "test_other": [],
    }
    assert (pytester.path / "reports" / "parity report.html").exists()


def test_a_failure_has_one_too(pytester: pytest.Pytester):
    source = Path(pytester.path / "test_model.py")
    source.write_text(source.read_text(encoding="utf-8").replace("ones", "zeros"), encoding="utf-8")
    assert pytester.runpytest(OURS, THEIRS).ret == 1
    assert links(pytester)["test_value"] == ["../reports/parity%20report.html#test_model/test_value"]


def test_without_an_html_report_of_ours_there_is_no_link(pytester: pytest.Pytester):
    assert pytester.runpytest("--parity-report=reports/parity.json", THEIRS).ret == 0
    assert links(pytester)["test_value"] == []


def test_without_theirs_nothing_is_missing(pytester: pytest.Pytester):
    assert pytester.runpytest(OURS, "-p", "no:html").ret == 0
