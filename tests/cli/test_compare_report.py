"""``parity compare --report``: the same document and files as those of pytest's ``--parity-report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_command import training
from recordings import Two
from report_schema import problems, read_strictly


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_strictly(path.read_text(encoding="utf-8"))
    assert problems(found) == []
    return found


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_two_recordings_that_differ(two: Two, tmp_path: Path):
    two.record(training(steps=2), training(steps=2, hidden=1.01))
    done = two.compare("--report", "report.json", "--report", "report.md")
    assert done.status == 1, done.err
    found = document(tmp_path / "report.json")
    run, (case,) = found["run"], found["cases"]
    assert (run["command"], run["golden"], run["candidate"]) == ("compare", "golden/case", "other/golden/case")
    assert (case["outcome"], case["step"], case["headline"][:12]) == ("failed", 0, "case step 0:")
    assert [row["step"] for row in case["losses"]] == [0, 1]
    assert [row["path"] for row in case["modules"]] == ["(model)", "first", "norm", "last"]
    assert len(case["sites"]) == len(two.reference.golden().entries(0))
    assert all("histogram" in site for site in case["sites"] if site["verdict"] == "differs")
    assert str(tmp_path) not in (tmp_path / "report.json").read_text(encoding="utf-8")
    assert case["headline"] in (tmp_path / "report.md").read_text(encoding="utf-8").replace("`", "")


def test_two_recordings_that_agree(two: Two, tmp_path: Path):
    two.record(training(), training())
    assert two.compare("--report", "report.json").status == 0
    (case,) = document(tmp_path / "report.json")["cases"]
    assert (case["outcome"], {site["verdict"] for site in case["sites"]}) == ("passed", {"equal"})
    assert case["environment"]["here"]["device"] == case["environment"]["golden"]["device"] == "cpu"


def test_an_input_that_is_another_modules_output_has_its_elements_too(two: Two, tmp_path: Path):
    two.record(training(), training(hidden=1.5))
    two.compare("--report", "report.json", "--rtol", "1e-6", "--atol", "1e-6")
    (case,) = document(tmp_path / "report.json")["cases"]
    (handed,) = [site for site in case["sites"] if site["site"].startswith("input/last#0")]
    assert handed["verdict"] == "differs"
    assert handed["worst"]


def test_a_file_that_cannot_be_written_is_trouble_before_anything_is_compared(two: Two):
    two.record(training(), training())
    done = two.compare("--report", "gone/report.json")
    assert (done.status, done.out) == (2, "")
    assert "--report gone/report.json: there is no directory" in done.err
    assert two.compare("--report", "report.txt").status == 2
