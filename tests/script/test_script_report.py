"""``parity check --report``: what came of a script, as a document; with the sites of a step, as a test's check has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_schema import problems, read_strictly
from running import PLAIN, Place


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_strictly(path.read_text(encoding="utf-8"))
    assert problems(found) == []
    return found


def test_a_script_that_differs_is_told_site_by_site(place: Place):
    assert place.record().status == 0
    places = ("--report", "report.json", "--sink", "tensorboard:runs")
    words = ("check", "--case", "nest/tiny", *places, "--", *PLAIN)
    assert place.parity(*words, RATE="0.02").status == 1
    assert len(list((place.path / "runs/nest/tiny").glob("*.pytest-parity"))) == 1
    found = document(place.path / "report.json")
    (case,) = found["cases"]
    assert (found["run"]["command"], case["case"], case["outcome"]) == ("check", "nest/tiny", "failed")
    assert found["run"]["golden"] == "golden"
    assert {"equal", "differs"} <= {site["verdict"] for site in case["sites"]}
    assert any("histogram" in site for site in case["sites"])


def test_a_script_that_trains_nothing_is_a_failure(place: Place):
    assert place.record().status == 0
    words = ("check", "--case", "nest/tiny", "--report", "report.json", "--", PLAIN[0], "-c", "pass")
    assert place.parity(*words).status == 2
    (case,) = document(place.path / "report.json")["cases"]
    assert case["outcome"] == "failed"
    assert "the script made no torch.optim.Optimizer" in case["headline"]
