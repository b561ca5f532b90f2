"""What GitHub Actions is told: one workflow command a line, whatever is in the texts."""

from __future__ import annotations

import pytest

from pytest_parity.report.document import Told, document
from pytest_parity.report.github import error_lines, on_github
from pytest_parity.report.model import Document


def made(*cases: Told) -> Document:
    return document(cases, command="check", golden="golden", versions={})


def test_a_failing_case_is_an_error_at_its_line():
    told = made(
        Told("nest/tiny", "failed", "nest/tiny: no\nmore", file="tests/test_nest.py", line=12), Told("b", "passed")
    )
    assert list(error_lines(told)) == [
        "::error file=tests/test_nest.py,line=12,title=parity%3A nest/tiny::nest/tiny: no"
    ]


def test_the_file_is_told_from_the_repository_on():
    (line,) = error_lines(made(Told("a", "failed", "no", file="test_a.py", line=1)), "packages/core/")
    assert line.startswith("::error file=packages/core/test_a.py,line=1,")


def test_what_has_no_file_is_told_without_one():
    assert list(error_lines(made(Told("a", "failed", "no")))) == ["::error title=parity%3A a::no"]
    (line,) = error_lines(made(Told("a", "failed", "no", file="test_a.py")))
    assert line.startswith("::error file=test_a.py,title=")


def test_what_means_something_to_github_is_escaped():
    told = made(Told("a,b:c%\r\nd", "failed", "50 % off, at: x\rmore", file="a,b.py", line=3))
    (line,) = error_lines(told)
    assert line == "::error file=a%2Cb.py,line=3,title=parity%3A a%2Cb%3Ac%25%0D%0Ad::50 %25 off, at: x%0Dmore"


def test_ten_are_shown_and_the_last_says_how_many_are_not():
    lines = list(error_lines(made(*(Told(f"c{k}", "failed", "no") for k in range(13)))))
    assert len(lines) == 10
    assert lines[-1].endswith("::no%0A... and 3 more failing cases, which GitHub would not show; see the job's summary")
    assert "more failing" not in "".join(lines[:-1])
    assert "more failing" not in "".join(error_lines(made(*(Told(f"c{k}", "failed", "no") for k in range(10)))))


@pytest.mark.parametrize(("value", "found"), [("true", True), ("", False), ("false", False), (None, False)])
def test_only_a_job_of_github_actions_is_one(monkeypatch: pytest.MonkeyPatch, value: str | None, found: bool):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if value is not None:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    assert on_github() is found
