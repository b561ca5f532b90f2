"""``--parity-report``, the JUnit file's properties, and what GitHub Actions gets: once a run, with and without workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from report_schema import problems, read_strictly

from pytest_parity.report import files

from .project import Run, contents


@pytest.fixture(autouse=True)
def _no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def job(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, recorded: Path) -> Path:
    """The project in a job of GitHub Actions; the file of its summary."""
    summary = tmp_path_factory.mktemp("job") / "summary.md"
    summary.write_text("# before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_WORKSPACE", str(recorded.parent))
    return summary


def document(path: Path = Path("report.json")) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    found: dict[str, Any] = read_strictly(text)
    assert problems(found) == []
    assert str(Path.cwd()) not in text
    return found


def test_a_check_that_passes_is_told(recorded: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--parity-report", "report.json").ret == 0
    found = document()
    (case,) = found["cases"]
    assert (found["run"]["command"], found["run"]["golden"], found["run"]["passed"]) == ("check", "golden", True)
    assert set(found["run"]["versions"]) == {"pytest", "pytest-parity", "python", "torch"}
    assert (case["case"], case["nodeid"], case["outcome"]) == (
        "test_one/test_value",
        "test_one.py::test_value",
        "passed",
    )
    assert (case["file"], case["line"]) == ("test_one.py", 4)
    assert [site["site"] for site in case["sites"]] == ["output/x"]
    assert case["message"].startswith("test_one/test_value: 1 of 1 site compared")


def test_a_check_that_fails_is_told_in_every_format(
    recorded: Path, run: Run, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
):
    monkeypatch.setenv("SCALE", "1.5")
    (pytester.path / "out").mkdir()
    result = run("--parity-report", "report.json", "--parity-report", "out/report.md")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*parity report: report.json*", "*parity report: out/report.md*"])
    found = document()
    (case,) = found["cases"]
    assert (case["outcome"], case["line"], found["run"]["passed"]) == ("failed", 5, False)
    assert case["headline"] == "test_one/test_value step 0: the output x is the first site that differs"
    assert case["message"].count("\n") > 3
    (site,) = case["sites"]
    assert site["worst"][0] == {"index": [3], "here": 6.0, "reference": 4.0}
    markdown = (pytester.path / "out/report.md").read_text(encoding="utf-8")
    assert f"- **{case['headline']}**" in markdown
    assert "`test_one.py:5`" in markdown


def test_a_recording_is_told(one_test: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--parity-record", "--parity-report", "report.json").ret == 0
    found = document()
    (case,) = found["cases"]
    assert (found["run"]["command"], case["outcome"], case["recorded"]["sites"]) == ("record", "recorded", 1)
    assert case["headline"].endswith("to golden/test_one/test_value")


def test_a_failure_without_a_comparison_is_told(one_test: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--parity-report", "report.json").ret == 1
    (case,) = document()["cases"]
    assert case["outcome"] == "failed"
    assert case["headline"].startswith("there is no case 'test_one/test_value' in golden, nor any other")


def test_a_case_that_breaks_outside_of_its_body_is_told(pytester: pytest.Pytester, run: Run):
    pytester.makepyfile("""
        import pytest
        @pytest.fixture
        def model():
            raise RuntimeError("no data")
        def test_it(parity, model):
            pass
        def test_other():
            assert False
    """)
    run("--parity-report", "report.json")
    told = document()["run"]
    assert told["complaints"] == [
        "test_a_case_that_breaks_outside_of_its_body_is_told.py::test_it: error at setup: RuntimeError: no data"
    ]
    assert not told["passed"]


def test_the_projects_own_lines_are_asked_for_once(recorded: Path, pytester: pytest.Pytester):
    pytester.makeconftest("""
        def pytest_parity_report(config, results):
            with open("asked", "a") as file:
                file.write("x")
            return "NEST: fine"
    """)
    result = pytester.runpytest("--parity-report", "report.json")
    assert document()["run"]["lines"] == ["NEST: fine"]
    result.stdout.fnmatch_lines(["NEST: fine"])
    assert (pytester.path / "asked").read_text(encoding="utf-8") == "x"


def test_a_report_is_written_over_by_the_next_run_and_nothing_else_is_left(recorded: Path, pytester: pytest.Pytester):
    before = contents(pytester.path / "golden")
    for _ in range(2):
        assert pytester.runpytest("--parity-report", "report.json").ret == 0
        document()
    assert contents(pytester.path / "golden") == before
    assert [path.name for path in pytester.path.glob(".report*")] == []


def test_two_runs_of_the_same_thing_write_the_same(recorded: Path, pytester: pytest.Pytester):
    for name in ("a.json", "b.json"):
        assert pytester.runpytest("--parity-report", name).ret == 0
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            "report.xml",
            "--parity-report report.xml: a report is a .json, .md or .html file; give it one of these suffixes",
        ),
        ("report", "--parity-report report: a report is a .json, .md or .html file; give it one of these suffixes"),
        (
            "gone/report.json",
            "--parity-report gone/report.json: there is no directory */gone; make it first: mkdir -p */gone",
        ),
        ("test_one.py/a.md", "--parity-report test_one.py/a.md: there is no directory */test_one.py; *"),
        ("dir.json", "--parity-report dir.json: that is a directory; name a file in it, as in *"),
        ("mine.md", "--parity-report mine.md: */mine.md is there already, and pytest-parity did not write it; *"),
        ("golden/a.json", "--parity-report golden/a.json: the goldens are in */golden; a report goes elsewhere"),
    ],
)
def test_what_could_not_be_written_is_said_before_any_test_runs(
    recorded: Path, pytester: pytest.Pytester, file: str, said: str
):
    (pytester.path / "dir.json").mkdir()
    (pytester.path / "mine.md").write_text("# mine\n", encoding="utf-8")
    result = pytester.runpytest("--parity-report", file)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{said}"])
    assert (pytester.path / "mine.md").read_text(encoding="utf-8") == "# mine\n"


def test_a_directory_that_cannot_be_written_is_said_at_the_start(
    recorded: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    shut = pytester.path / "shut"
    shut.mkdir()
    allowed = os.access  # root may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != shut and allowed(path, mode))
    result = pytester.runpytest("--parity-report", "shut/report.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*shut/report.json cannot be written; give another place*"])


def test_an_html_report_without_jinja2_says_what_to_install(
    recorded: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    result = pytester.runpytest("--parity-report", "report.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*an HTML report needs jinja2: pip install 'pytest-parity?report]'"])


def test_a_report_that_cannot_be_written_at_the_end_fails_the_run(recorded: Path, pytester: pytest.Pytester):
    pytester.makeconftest("""
        import pathlib
        def pytest_sessionstart():
            pathlib.Path("out").rename("moved")
    """)
    (pytester.path / "out").mkdir()
    result = pytester.runpytest("--parity-report", "out/report.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["--parity-report *out/report.json could not be written: No such file or directory"])


def test_collecting_alone_writes_nothing(recorded: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--collect-only", "--parity-report", "report.json").ret == 0
    assert not (pytester.path / "report.json").exists()


# JUnit


def properties(path: Path) -> dict[str, str]:
    (case,) = ET.parse(path).iter("testcase")
    names = [one.attrib["name"] for one in case.iter("property")]
    assert len(set(names)) == len(names)
    return {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}


def test_a_junit_file_has_what_was_compared(recorded: Path, pytester: pytest.Pytester):
    assert pytester.runpytest("--junitxml", "junit.xml").ret == 0
    assert properties(pytester.path / "junit.xml") == {
        "parity_case": "test_one/test_value",
        "parity_outcome": "passed",
        "parity_compared": "1",
        "parity_expected": "1",
        "parity_equal": "1",
    }


def test_a_junit_file_has_what_diverges_first(
    recorded: Path, pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCALE", "1.5")
    assert run("--junitxml", "junit.xml").ret == 1
    found = properties(pytester.path / "junit.xml")
    assert (found["parity_first"], found["parity_site"], found["parity_differs"]) == ("x", "output/x", "1")


def test_a_junit_file_keeps_the_properties_of_the_test(pytester: pytest.Pytester):
    pytester.makepyfile("""
        import torch
        def test_value(parity, record_property):
            record_property("parity_of", "mine")
            parity.assert_close("x", torch.ones(2))
    """)
    assert pytester.runpytest("--parity-record", "--junitxml", "junit.xml", "-o", "junit_family=xunit1").ret == 0
    found = properties(pytester.path / "junit.xml")
    assert (found["parity_of"], found["parity_outcome"]) == ("mine", "recorded")


# GitHub Actions


def test_a_job_gets_one_summary_and_an_annotation_for_what_fails(job: Path, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALE", "1.5")
    result = run()
    headline = "test_one/test_value step 0: the output x is the first site that differs"
    errors = [line for line in result.outlines if line.startswith("::error")]
    assert errors == [f"::error file=test_one.py,line=5,title=parity%3A test_one/test_value::{headline}"]
    text = job.read_text(encoding="utf-8")
    assert text.startswith("# before\n")
    assert text.count("## pytest-parity") == 1
    assert f"- **{headline}**" in text


def test_a_job_that_passes_gets_a_short_summary_and_no_annotation(job: Path, pytester: pytest.Pytester):
    result = pytester.runpytest()
    assert result.ret == 0
    assert not [line for line in result.outlines if line.startswith("::")]
    text = job.read_text(encoding="utf-8")
    assert "## pytest-parity: 1 case passed" in text
    assert len(text) < 500


def test_a_file_is_told_from_the_repository_on(job: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALE", "1.5")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    result = pytester.runpytest()
    result.stdout.fnmatch_lines([f"::error file={pytester.path.name}/test_one.py,line=5,*"])


def test_a_job_can_be_left_alone(job: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALE", "1.5")
    result = pytester.runpytest("-o", "parity_github=false")
    assert not [line for line in result.outlines if line.startswith("::error")]
    assert job.read_text(encoding="utf-8") == "# before\n"


def test_elsewhere_nothing_of_it_is_seen(job: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCALE", "1.5")
    monkeypatch.delenv("GITHUB_ACTIONS")
    result = pytester.runpytest()
    assert not [line for line in result.outlines if line.startswith("::error")]
    assert job.read_text(encoding="utf-8") == "# before\n"


def test_a_run_without_cases_leaves_the_summary_alone(job: Path, pytester: pytest.Pytester):
    pytester.makepyfile(test_plain="def test_it(): pass")
    assert pytester.runpytest("test_plain.py").ret == 0
    assert job.read_text(encoding="utf-8") == "# before\n"


def test_a_summary_that_is_full_is_not_written_beyond_its_limit(job: Path, pytester: pytest.Pytester):
    job.write_text("x" * ((1 << 20) - 100), encoding="utf-8")
    assert pytester.runpytest().ret == 0
    assert job.stat().st_size <= 1 << 20
