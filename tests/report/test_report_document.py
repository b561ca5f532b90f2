"""The one document behind every report: as the published schema says, plain, strict JSON, no place and no user in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from parity_studio import Body, Studio
from report_schema import problems, published, read_strictly
from torch import nn

from pytest_parity.errors import ParityFailure
from pytest_parity.report import model
from pytest_parity.report.document import Told, document
from pytest_parity.report.model import Document, ModuleRow
from pytest_parity.result import (
    CallError,
    Comparison,
    Delta,
    Diagnosis,
    Fault,
    Faulty,
    Isolation,
    LossFound,
    Part,
    Trace,
    Traced,
    Verdict,
)
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode
from pytest_parity.site import Kind


class Net(nn.Module):
    """Twelve layers, so that natural order and that of letters differ; ``factor`` scales what one of them returns."""

    def __init__(self, factor: float, names: str = "layers") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.names = names
        setattr(self, names, nn.ModuleList(nn.Linear(4, 4) for _ in range(11)))
        self.act, self.factor = nn.Tanh(), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, layer in enumerate(getattr(self, self.names)):
            x = self.act(layer(x)) if place else layer(x) * self.factor
        return x


def training(factor: float = 1.0, *, steps: int = 1, since: int = 0, names: str = "layers") -> Body:
    """A test that trains; from step ``since`` on its layer 0 differs by ``factor``."""

    def body(parity: Parity) -> None:
        model = Net(1.0, names)
        parity.load(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        loader = [torch.randn(3, 4, generator=torch.Generator().manual_seed(step)) for step in range(steps)]
        with parity.watch(model, optimizer=optimizer) as run:
            for step, x in enumerate(run.steps(loader)):
                model.factor = factor if step >= since else 1.0
                out = model(x)
                loss = out.square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with parity.collect():
                    parity.assert_outputs(out)
                    parity.assert_loss(loss)

    return body


def told(studio: Studio, body: Body, **options: Any) -> Told:
    """A check as a report hears of it."""
    options = {"detail": True, "collect": True, **options}
    comparison: Comparison | None
    try:
        comparison, outcome, text = studio.check(body, **options), "passed", ""
    except ParityFailure as failure:
        comparison, outcome, text = failure.comparison, "failed", str(failure)
    return Told("case", outcome, text, comparison, manifest=studio.golden().manifest, nodeid="test_a.py::test_a")


def made(*cases: Told, places: tuple[Path, ...] = ()) -> Document:
    """The document, as it comes back from a file."""
    found = document(cases, command="check", golden="golden", versions={"python": "3.11"}, places=places)
    back: Document = read_strictly(json.dumps(found, allow_nan=False))
    assert back == found
    return back


@pytest.fixture
def recorded(studio: Studio) -> Studio:
    studio.record(training(steps=2), draws=2)
    return studio


def test_a_check_that_passes_tells_every_site_of_its_last_step(recorded: Studio):
    found = made(told(recorded, training(steps=2)))
    assert problems(found) == []
    (case,) = found["cases"]
    assert (case["outcome"], case["step"], found["run"]["passed"]) == ("passed", 1, True)
    expected = [str(entry.site) for entry in recorded.golden().entries(1) if entry.site.kind is not Kind.BATCH]
    assert sorted(site["site"] for site in case["sites"]) == sorted(expected)
    assert {site["verdict"] for site in case["sites"]} == {"equal"}
    assert [(row["step"], row["name"]) for row in case["losses"]] == [(0, "loss"), (1, "loss")]
    assert all(row["reference"] == row["candidate"] for row in case["losses"])


def test_a_check_that_fails_tells_its_first_failing_step_and_the_elements(recorded: Studio):
    found = made(told(recorded, training(1.01, steps=2)))
    assert problems(found) == []
    (case,) = found["cases"]
    assert (case["outcome"], case["step"], found["run"]["passed"]) == ("failed", 0, False)
    assert [row["step"] for row in case["steps"] if row["failing"]] == [0, 1]
    assert case["headline"] == case["message"].splitlines()[0]
    site = next(site for site in case["sites"] if site["site"] == "activation/layers.1#0")
    assert site["verdict"] == "differs"
    assert site["floors"]["norm"] > site["floors"]["factor"]
    assert 1 <= len(site["worst"]) <= 10
    assert sum(site["histogram"]["counts"]) + site["histogram"]["equal"] == site["elements"] == 12
    orders = [site["order"] for site in case["sites"]]
    assert orders == sorted(orders)


def test_a_step_that_fails_is_told_in_place_of_those_that_pass_around_it(recorded: Studio):
    found = made(told(recorded, training(1.01, steps=2, since=1)))
    assert problems(found) == []
    (case,) = found["cases"]
    assert case["step"] == 1
    assert [row["failing"] > 0 for row in case["steps"]] == [False, True]
    failing = [site for site in case["sites"] if site["verdict"] == "differs"]
    assert failing
    assert all("worst" in site and "histogram" in site for site in failing)
    assert all("worst" not in site for site in case["sites"] if site["verdict"] != "differs")


def test_without_detail_only_what_is_not_equal_or_close_is_told(recorded: Studio):
    found = made(told(recorded, training(1.01, steps=2), detail=False))
    assert problems(found) == []
    (case,) = found["cases"]
    assert case["step"] == 0
    assert {site["verdict"] for site in case["sites"]} == {"differs"}
    assert not any("worst" in site for site in case["sites"])


def test_modules_stand_as_a_tree_in_the_order_of_their_first_calls(recorded: Studio):
    (case,) = made(told(recorded, training(1.01, steps=2)))["cases"]
    layers = [f"layers.{place}" for place in range(11)]
    assert [row["path"] for row in case["modules"]] == ["(model)", "layers", *layers, "act"]
    root, container, first, *_, act = case["modules"]
    assert (root["type"], container["type"], first["type"]) == ("Net", "ModuleList", "Linear")
    assert (first["parameters"], container["parameters"], act["calls"]) == (20, 0, 10)
    assert first["verdict"] == "differs"  # its gradient
    assert (first["inherited"], first["outgoing"]) == (0.0, 0.0)
    assert act["outgoing"] > 10


def tree(fault: Fault, *faulty: Faulty, module: str = "act") -> dict[str, ModuleRow]:
    """The modules of a case whose first divergence is this one."""
    sites = tuple(
        Traced(Delta(f"activation/{path}#0", 0, k, Verdict.EQUAL, 4)) for k, path in enumerate(("act", "(model)"))
    )
    diagnosis = Diagnosis(fault, "gradient/act.weight", 0, module, module)
    isolation = Isolation(0, 2, faulty, (CallError("act", "act", 0, 0, 0.0, 0.0, 0.0),))
    found = Comparison(
        "case", 2, 2, {"differs": 1}, {}, (), diagnosis=diagnosis, isolation=isolation, trace=Trace(0, sites)
    )
    (case,) = made(Told("case", "failed", "", found))["cases"]
    return {row["path"]: row for row in case["modules"]}


BACKWARD = Faulty(Part.GRADIENT, "act", "act", 0, 0, "activation_gradient/act#0", 9, 1754744.0, 0.213)


def test_the_module_of_the_first_divergence_is_the_faulty_one():
    assert [path for path, row in tree(Fault.CUT).items() if row["faulty"]] == ["act"]


@pytest.mark.parametrize("fault", [Fault.LOOP, Fault.VALUE, Fault.UPDATE, Fault.WEIGHT, Fault.DATA])
def test_what_is_no_modules_doing_makes_none_faulty(fault: Fault):
    assert not any(row["faulty"] for row in tree(fault, module="(model)").values())


def test_a_module_that_is_wrong_in_its_backward_alone_has_introduced_that():
    found = tree(Fault.BACKWARD, BACKWARD)
    assert (found["act"]["introduced"], found["act"]["faulty"]) == (1754744.0, True)
    assert (found["(model)"]["introduced"], found["(model)"]["faulty"]) == (None, False)


def test_a_value_of_a_modules_name_is_not_the_module():
    found = tree(Fault.VALUE, replace(BACKWARD, part=Part.VALUE))
    assert (found["act"]["introduced"], found["act"]["faulty"]) == (0.0, False)


def test_modules_have_the_candidates_names_besides(recorded: Studio):
    def body(parity: Parity) -> None:
        with parity.watch(Net(1.0, "blocks"), names={"blocks.{i}": "layers.{i}", "blocks": "layers"}) as run:
            for _ in run.steps([torch.zeros(3, 4)] * 2):
                break

    (case,) = made(told(recorded, body))["cases"]
    names = {row["path"]: row["candidate"] for row in case["modules"]}
    assert (names["layers.3"], names["act"]) == ("blocks.3", "act")


def test_a_recording_is_a_case_of_its_own(studio: Studio):
    parity = Parity(studio.settings(Mode.RECORD))
    training()(parity)
    found = made(Told("case", "recorded", "", recorded=parity.finish(), manifest=studio.golden().manifest))  # type: ignore[arg-type]
    assert problems(found) == []
    (case,) = found["cases"]
    assert case["recorded"] is not None
    assert case["recorded"]["steps"] == [0]
    assert [row["path"] for row in case["modules"]][:3] == ["(model)", "act", "layers"]
    assert case["environment"]["here"]["device"] == "cpu"


def test_a_model_that_is_built_differently_is_told_by_its_parameters(recorded: Studio):
    def body(parity: Parity) -> None:
        with parity.watch(nn.Linear(4, 5)):
            pass

    found = made(told(recorded, body))
    assert problems(found) == []
    (case,) = found["cases"]
    assert {row["verdict"] for row in case["structure"]} == {"missing", "extra"}
    assert case["sites"] == []


def test_what_is_not_finite_is_a_string(recorded: Studio):
    found = made(told(recorded, training(float("inf"), steps=2)))
    assert problems(found) == []
    (case,) = found["cases"]
    assert case["losses"][0]["candidate"] == "nan"
    assert any(site.get("share") == "inf" for site in case["sites"])
    gone = [one for one in case["sites"] if "histogram" in one and one["histogram"]["nonfinite"] == one["elements"]]
    assert gone
    assert not any({"max_abs", "relative_l2", "cosine", "allowed"} & site.keys() for site in gone)  # of nothing finite
    with pytest.raises(AssertionError, match="NaN is no JSON"):
        read_strictly(json.dumps(float("nan")))


def test_a_scalar_of_numpy_is_a_number(recorded: Studio):
    case = replace(told(recorded, training(steps=2)), losses=(LossFound(0, "loss", np.float32(0.5), None, "differs"),))
    found = made(case)
    assert problems(found) == []
    assert found["cases"][0]["losses"][0]["reference"] == 0.5


def test_no_place_and_no_user_is_told(tmp_path: Path):
    text = f"{tmp_path}/golden is damaged\n{tmp_path}: gone\n{Path.home()}/data, '{tmp_path}/a/b' {tmp_path}2/c"
    found = made(Told("case", "failed", text), places=(tmp_path,))
    assert found["cases"][0]["message"] == f"golden is damaged\n.: gone\n~/data, 'a/b' {tmp_path}2/c"


def test_failing_cases_come_first():
    cases = [Told(name, outcome, name) for name, outcome in (("a", "passed"), ("b", "failed"), ("c", "failed"))]
    found = made(*cases)
    assert [case["case"] for case in found["cases"]] == ["b", "c", "a"]
    assert found["run"]["outcomes"] == {"failed": 2, "passed": 1}
    assert problems(found) == []


def test_a_comparison_with_its_trace_survives_a_trip_through_json(recorded: Studio):
    comparison = told(recorded, training(1.01, steps=2)).comparison
    assert comparison is not None
    assert comparison.trace is not None
    assert comparison.trace.sites[0].shape is not None
    assert Comparison.from_plain(json.loads(json.dumps(comparison.to_plain()))) == comparison


def test_five_thousand_sites_stay_small():
    sites = tuple(
        Traced(Delta(f"activation/encoder.layers.{k}.norm#0", 0, k, Verdict.EQUAL, 4096), (8, 512), "float32")
        for k in range(5000)
    )
    comparison = Comparison("case", 5000, 5000, {"equal": 5000}, {}, (), trace=Trace(0, sites))
    found = made(Told("case", "passed", "", comparison))
    assert len(found["cases"][0]["sites"]) == 5000
    assert len(json.dumps(found)) < 3_500_000  # module rows included, one for each


# the schema itself

ROWS = {name.removesuffix("Row").lower(): getattr(model, name) for name in model.__all__ if name.endswith("Row")}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_rows_and_schema_have_the_same_members(name: str):
    assert sorted(published()["$defs"][name]["properties"]) == sorted(get_type_hints(ROWS[name]))


def test_document_and_case_have_the_same_members_as_the_schema():
    schema = published()
    assert sorted(schema["properties"]) == sorted(get_type_hints(model.Document))
    assert sorted(schema["$defs"]["case"]["properties"]) == sorted(get_type_hints(model.CaseDocument))
    assert schema["properties"]["schema"]["const"] == model.SCHEMA


def test_the_schema_knows_every_kind_and_every_verdict():
    schema = published()["$defs"]
    assert schema["kind"]["enum"] == [kind.value for kind in Kind]
    assert sorted(schema["verdict"]["enum"]) == sorted(verdict.value for verdict in Verdict)


@pytest.mark.parametrize("change", [{"more": 1}, {"outcome": "maybe"}, {"line": -1}, {"step": 0.5}])
def test_a_document_that_is_not_as_the_schema_says_is_found(change: dict[str, Any]):
    found = made(Told("case", "failed", "why"))
    assert problems(found) == []
    found["cases"][0].update(change)  # type: ignore[typeddict-item]
    assert problems(found)
