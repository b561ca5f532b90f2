"""Training curves in a run's document and in what is rendered from it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from report_schema import problems, published, read_strictly

from pytest_parity.errors import UsageError
from pytest_parity.plugin.results import CaseResult
from pytest_parity.report.curve_model import CurvesDocument
from pytest_parity.report.curve_rows import curve_row
from pytest_parity.report.curves import curve_headline
from pytest_parity.report.document import Told, document
from pytest_parity.report.github import error_lines
from pytest_parity.report.html import page
from pytest_parity.report.markdown import markdown
from pytest_parity.report.model import Document
from pytest_parity.result import Comparison, CurveCheck, CurveComparison, CurveFinding, CurveLine

SPIKE = CurveFinding(CurveCheck.SPIKE, 212, 212, 1, 9.0, 2.3, 2.1, 2.5, 33.5)
NAN = CurveFinding(CurveCheck.NONFINITE, 100, 300, 7, math.nan, 2.9, 2.9, 2.9, math.inf, "of 7")
LINES = (
    CurveLine("here", "candidate", (1, 2, 3), (3.0, math.nan, math.inf)),
    CurveLine("band", "band", (1, 3), (2.9, 2.8), (3.1, 3.0)),
)
FAILED = CurveComparison("loss", 400, 393, 5, "seeds", (NAN, SPIKE), unit="nats/token", lines=LINES)
PASSED = replace(FAILED, name="validation", compared=400, findings=(), nearest="level", share=0.31)


def made(*curves: CurveComparison, headline: str = "") -> Document:
    """The document of a run with these curves and nothing else, through JSON."""
    comparison = Comparison("lm/tiny", 0, 0, {}, {}, (), curves=curves)
    failing = [one for one in curves if not one.passed]
    text = headline or (f"lm/tiny: {curve_headline(failing[0])}\n\na table, aligned" if failing else "")
    told = Told("lm/tiny", "failed" if failing else "passed", text, comparison, file="test_lm.py", line=7)
    found = document([told], command="check", golden="golden", versions={})
    back: Document = read_strictly(json.dumps(found, allow_nan=False))
    assert problems(back) == []
    return back


def test_a_curve_that_fails_has_its_findings_in_words_and_in_numbers():
    (curve,) = made(FAILED)["cases"][0]["curves"]
    assert (curve["name"], curve["passed"], curve["unit"], curve["references"]) == ("loss", False, "nats/token", 5)
    assert curve["headline"].startswith("loss is nan at step 100")
    first, second = curve["findings"]
    assert second["text"].startswith("loss jumps at step 212: 9 where the 5 recorded runs allow 2.1 to 2.5")
    assert (second["check"], second["value"], second["low"], second["share"]) == ("spike", 9.0, 2.1, 33.5)
    assert (first["step"], first["last"], first["count"], first["detail"]) == (100, 300, 7, "of 7")


def test_what_is_not_finite_is_a_string():
    (curve,) = made(FAILED)["cases"][0]["curves"]
    assert curve["lines"][0]["values"] == [3.0, "nan", "inf"]
    nan = curve["findings"][0]
    assert (nan["value"], nan["expected"], nan["share"]) == ("nan", 2.9, "inf")


def test_lines_are_as_they_are_drawn():
    band = curve_row(FAILED)["lines"][1]
    assert band == {"label": "band", "role": "band", "steps": [1, 3], "values": [2.9, 2.8], "high": [3.1, 3.0]}


def test_curves_that_fail_come_first():
    names = [curve["name"] for curve in made(PASSED, FAILED, replace(PASSED, name="z"))["cases"][0]["curves"]]
    assert names == ["loss", "validation", "z"]


def test_a_curve_that_was_never_asserted_fails_and_is_told():
    never = CurveComparison(
        "loss",
        400,
        0,
        1,
        "tolerance",
        (CurveFinding(CurveCheck.MISSING, 1, 400, 400, 0, 400, 400, 400, math.inf, "never asserted"),),
    )
    (curve,) = made(never)["cases"][0]["curves"]
    assert not curve["passed"]
    assert "was never asserted" in curve["headline"]


def test_a_curve_that_passes_says_how_near_it_came():
    case = made(PASSED)["cases"][0]
    assert case["outcome"] == "passed"
    assert "level at 0.31 of what is allowed" in case["curves"][0]["headline"]
    assert "level at 0.31 of what is allowed" in case["headline"]


def test_the_schema_knows_every_check():
    assert published()["$defs"]["finding"]["properties"]["check"]["enum"] == [check.value for check in CurveCheck]


def test_markdown_has_a_table_of_what_is_wrong_and_a_line_of_what_passed():
    text = markdown(made(FAILED, PASSED))
    assert text.count("loss is nan at step 100") == 1  # the headline says it already
    assert "| curve loss | steps | value | allowed | of what is allowed |" in text
    assert "| nonfinite (of 7) | 100-300 (7 of them) | nan | 2.9 |  |" in text
    assert "| spike | 212 | 9 | 2.1 to 2.5 | 33.5 times |" in text
    assert "\nvalidation: 400 steps within the band of 5 recorded runs, nearest: level at 0.31" in text
    assert "a table, aligned" not in text


def test_markdown_keeps_what_the_terminal_said_where_it_was_something_else():
    text = markdown(made(FAILED, headline="lm/tiny: RuntimeError: out of memory\n\na traceback"))
    assert "a traceback" in text
    assert "loss is nan at step 100" in text


def test_markdown_names_several_that_passed_in_one_line():
    text = markdown(made(FAILED, PASSED, replace(PASSED, name="accuracy")))
    assert "\n2 curves within what was recorded: validation, accuracy\n" in text


def test_github_shows_the_curve_beside_the_test():
    (line,) = error_lines(made(FAILED))
    assert line.startswith("::error file=test_lm.py,line=7,title=parity%3A lm/tiny::lm/tiny: loss is nan at step 100")


@pytest.mark.parametrize(("curves", "told"), [((FAILED, PASSED), "loss"), ((PASSED,), None)])
def test_junit_names_the_curves_that_fail(curves: tuple[CurveComparison, ...], told: str | None):
    comparison = Comparison("lm/tiny", 0, 0, {}, {}, (), curves=curves)
    found = dict(CaseResult("test_lm.py::test_train", "lm/tiny", "failed", comparison).properties())
    assert found.get("parity_curves") == told


def test_without_jinja2_the_page_of_curves_says_what_to_type(monkeypatch: pytest.MonkeyPatch):
    def missing(_name: str) -> Any:
        return None

    monkeypatch.setattr(page, "find_spec", missing)
    nothing = CurvesDocument(
        title="", experiments=[], losses=[], series=[], differences=[], judged=[], against="", notes=[]
    )
    with pytest.raises(UsageError, match=r"needs jinja2: pip install 'pytest-parity\[report\]'"):
        page.curves_page(nothing)


def test_a_page_of_curves_may_hold_what_json_has_not():
    judged = curve_row(FAILED)
    text = page.curves_page(
        CurvesDocument(
            title="Curves",
            experiments=[],
            losses=[],
            series=[],
            differences=[],
            judged=[judged],
            against="golden",
            notes=[],
        )
    )
    assert '"values":[3.0,"nan","inf"]' in text
