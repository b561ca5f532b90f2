"""What a sink logs of a case: its verdict, the losses of both sides, errors by step and by module, what was recorded."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from parity_studio import Body, Studio
from torch import nn

from pytest_parity.errors import ParityFailure
from pytest_parity.report.document import Told, document
from pytest_parity.report.sinks.logged import Line, Logged
from pytest_parity.report.sinks.told import told_runs
from pytest_parity.result import Comparison, CurveComparison, CurveLine, Recorded
from pytest_parity.session.parity import Parity


class Net(nn.Module):
    """Two layers, between which ``factor`` scales."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.factor = nn.Linear(4, 4), nn.Linear(4, 2), 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(x) * self.factor)


def training(factor: float = 1.0) -> Body:
    """A test that trains two steps; ``factor`` is the second's."""

    def body(parity: Parity) -> None:
        model = Net()
        parity.load(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        with parity.watch(model, optimizer=optimizer) as run:
            for step, x in enumerate(run.steps([torch.ones(3, 4), torch.full((3, 4), 0.5)])):
                model.factor = factor if step else 1.0
                optimizer.zero_grad()
                loss = model(x).square().mean()
                loss.backward()
                optimizer.step()
                with parity.collect():
                    parity.assert_loss(loss)

    return body


def logged(studio: Studio, body: Body) -> Logged:
    comparison: Comparison | None
    try:
        comparison, outcome, text = studio.check(body, detail=True, collect=True), "passed", "fine"
    except ParityFailure as failure:
        comparison, outcome, text = failure.comparison, "failed", str(failure)
    return run(Told("case", outcome, text, comparison, manifest=studio.golden().manifest, nodeid="test_a.py::test_a"))


def run(told: Told) -> Logged:
    (found,) = told_runs(document([told], command="check", golden="golden", versions={"python": "3.11"}))
    return found


def lines(found: Logged) -> dict[str, Line]:
    assert len({line.key for line in found.lines}) == len(found.lines)
    return {line.key: line for line in found.lines}


@pytest.fixture
def recorded(studio: Studio) -> Studio:
    studio.record(training(), draws=2)
    return studio


def test_a_case_that_passes(recorded: Studio):
    found = logged(recorded, training())
    told = lines(found)
    assert (found.name, found.passed, found.scalars["parity/passed"]) == ("case", True, 1.0)
    assert found.scalars["parity/compared"] == found.scalars["parity/expected"] == found.scalars["sites/equal"]
    assert told["loss/reference"].values == told["loss/candidate"].values
    assert told["parity/failing_by_step"].values == [0.0, 0.0]
    assert told["parity/worst_floors_by_step"] == Line("parity/worst_floors_by_step", [0, 1], [0.0, 0.0])
    assert found.config.items() >= {"case": "case", "golden": "golden", "python": "3.11", "outcome": "passed"}.items()
    assert "### 1 case passed" in found.text


def test_a_case_that_fails_has_its_bug_in_words_and_its_errors_as_curves(recorded: Studio):
    found = logged(recorded, training(1.01))
    told = lines(found)
    assert (found.passed, found.scalars["parity/passed"]) == (False, 0.0)
    assert found.scalars["sites/differs"] > 0
    assert told["parity/failing_by_step"].values[0] == 0.0
    assert told["parity/failing_by_step"].values[1] == found.scalars["parity/failing"] > 0
    floors = told["parity/worst_floors_by_step"].values
    assert floors[0] == 0.0
    assert floors[1] > 100
    ours, theirs = told["loss/candidate"], told["loss/reference"]
    assert (ours.steps, ours.tag, ours.side) == ([0, 1], "loss", "candidate")
    assert ours.values[0] == theirs.values[0]
    assert ours.values[1] != theirs.values[1]
    outgoing = told["modules/outgoing"]
    assert outgoing.axis == "module"
    assert found.text.count("| `last` |") == 1
    assert max(outgoing.values) > 100
    assert found.headline in found.text.replace("\\", "").replace("`", "")
    assert found.config["outcome"] == "failed"


def test_a_recording_has_its_losses_and_no_verdict(recorded: Studio):
    found = run(
        Told(
            "case",
            "recorded",
            "",
            recorded=Recorded("case", (0, 1), 40, 9000, "x"),
            manifest=recorded.golden().manifest,
        )
    )
    assert (found.passed, found.scalars) == (None, {"parity/recorded_sites": 40.0, "parity/recorded_bytes": 9000.0})
    (line,) = found.lines
    assert (line.key, line.steps) == ("loss/reference", [0, 1])
    assert all(math.isfinite(value) for value in line.values)


def test_a_case_without_a_comparison_has_its_failure(studio: Studio):
    found = run(Told("case", "failed", "case: there is no golden\nrecord it"))
    assert (found.passed, found.lines, found.headline) == (False, [], "case: there is no golden")


def test_an_asserted_curve_is_laid_over_its_band(studio: Studio):
    drawn = (
        CurveLine("this run", "candidate", (1, 2), (3.0, math.nan)),
        CurveLine("seed 0", "reference", (1, 2), (3.0, 2.0)),
        CurveLine("a/b", "reference", (1, 2), (3.1, 2.1)),
        CurveLine("band", "band", (1, 2), (2.5, 1.5), high=(3.5, 2.5)),
    )
    curve = CurveComparison("loss", 2, 1, 2, "seeds", lines=drawn)
    told = Comparison("case", 0, 0, {}, {}, (), curves=(curve,))
    found = run(Told("case", "passed", "fine", told))
    by_key: dict[str, Any] = lines(found)
    assert set(by_key) == {
        "curve/loss/candidate",
        "curve/loss/reference seed 0",
        "curve/loss/reference a_b",
        "curve/loss/band low",
        "curve/loss/band high",
    }
    assert {line.tag for line in found.lines} == {"curve/loss"}
    assert by_key["curve/loss/band high"].values == [3.5, 2.5]
    assert math.isnan(by_key["curve/loss/candidate"].values[1])
    assert found.scalars["curve/loss/passed"] == 1.0
