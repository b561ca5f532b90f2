"""Valid regions by lengths, and the structure of wrapped and renamed models, through a whole recording and check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity import ParityFailure, UsageError, Valid, compare_goldens
from pytest_parity.errors import NameMapError
from pytest_parity.report.coverage import coverage_lines
from pytest_parity.settings import MarkerOptions

LENGTHS = [5, 3]


class Padded(nn.Module):
    """Writes ``rubbish`` behind each example's length; what is inside does not depend on it."""

    def __init__(self, rubbish: float, inside: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lin = nn.Linear(4, 4)
        self.rubbish, self.inside = rubbish, inside

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        past = (torch.arange(x.shape[1]) >= lengths[:, None])[..., None]
        return torch.where(past, self.rubbish, self.lin(x) + self.inside)


def padding(model: nn.Module, valid: Any) -> Callable[[Any], None]:
    def body(parity: Any) -> None:
        with parity.watch(model, kinds=["weight", "activation"], valid=valid) as run:
            generator = torch.Generator().manual_seed(0)
            batch = {"x": torch.randn(2, 5, 4, generator=generator), "len": torch.tensor(LENGTHS)}
            for one in run.steps([batch]):
                out = model(one["x"], one["len"])
                parity.assert_outputs(out)

    return body


REGIONS = {"(model)": Valid(dim=1, lengths="len"), "outputs": Valid(dim=1, lengths="len")}


def test_padded_positions_are_not_compared_and_the_golden_keeps_the_region(studio: Studio) -> None:
    studio.record(padding(Padded(0.0), REGIONS))
    assert studio.golden().manifest["steps"]["0"]["valid"] == [["(model)", 1, LENGTHS], ["outputs", 1, LENGTHS]]
    comparison = studio.check(padding(Padded(9.0), REGIONS))
    assert comparison.passed
    assert studio.check(padding(Padded(9.0), None)).passed  # the golden's region


def test_without_a_region_padding_is_compared(studio: Studio) -> None:
    studio.record(padding(Padded(0.0), None))
    with pytest.raises(ParityFailure, match=r"\(model\)"):
        studio.check(padding(Padded(9.0), None))


def test_inside_the_region_everything_is_compared(studio: Studio) -> None:
    studio.record(padding(Padded(0.0), REGIONS))
    failure = studio.failure(padding(Padded(0.0, inside=1e-3), REGIONS))
    (worst, *_) = [delta.metrics for delta in failure.comparison.failures]
    assert worst is not None
    assert worst.worst_index[1] < LENGTHS[worst.worst_index[0]]
    assert worst.elements == sum(LENGTHS) * 4


def test_lengths_and_what_else_has_no_such_dimension_is_compared_whole(studio: Studio) -> None:
    everything = {"*": Valid(dim=1, lengths="len")}

    def body(lengths: list[int], rubbish: float) -> Callable[[Any], None]:
        def run(parity: Any) -> None:
            model = Padded(rubbish)
            with parity.watch(model, kinds=["input", "activation"], valid=everything) as steps:
                for one in steps.steps([{"x": torch.ones(2, 5, 4), "len": torch.tensor(LENGTHS)}]):
                    out = model(one["x"], torch.tensor(lengths))
                    parity.assert_close("outs", (out, out.sum((1, 2)) * 0, None))

        return run

    studio.record(body(LENGTHS, 0.0))
    assert studio.check(body(LENGTHS, 9.0)).passed
    assert "input/(model)#0/in.1" in str(studio.failure(body([5, 2], 0.0)))


@pytest.mark.parametrize(
    ("valid", "message"),
    [
        ({"lni": Valid(dim=1, lengths="len")}, r"valid='lni' matches no tensor .*; did you mean 'lin'\?"),
        ({"lin": Valid(dim=3, lengths="len")}, r"valid='lin' matches no tensor that has the dimensions it is about"),
        (
            {"lin": Valid(dim=2, lengths="len")},
            r"activation/lin#0: valid region of dim=2: lengths 5, 3 do not lie in 0..4",
        ),
        ({"lin": Valid(mask=torch.zeros(2, 5).bool())}, r"activation/lin#0: .* it is false everywhere"),
    ],
)
def test_a_region_that_means_nothing_is_not_recorded(studio: Studio, valid: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        studio.record(padding(Padded(0.0), valid))
    studio.record(padding(Padded(0.0), None))
    with pytest.raises(UsageError, match=message):
        studio.check(padding(Padded(0.0), valid))


def test_other_regions_than_the_goldens_are_said_to_have_no_part(studio: Studio) -> None:
    def narrower(mask: bool) -> dict[str, Valid]:
        inside = torch.arange(5).expand(2, 5) < 1
        one = Valid(mask=inside) if mask else Valid(dim=1, lengths=[1, 1])
        return {"(model)": one, "outputs": one}

    said = "valid regions are the golden's, and the test declares others; to have its own, record it again"
    for body, regions in ((padding, REGIONS), (masking, MASKS)):
        studio.record(body(Padded(0.0), regions))
        assert said not in studio.check(body(Padded(0.0), regions)).notes
        assert said in studio.check(body(Padded(0.0), narrower(body is masking))).notes
        assert studio.failure(body(Padded(0.0, inside=1e-3), narrower(body is masking)))


def test_a_step_that_was_not_run_counts_what_its_regions_hold(studio: Studio) -> None:
    def body(limit: int) -> Callable[[Any], None]:
        def run(parity: Any) -> None:
            model = Padded(0.0)
            batch = {"x": torch.ones(2, 5, 4), "len": torch.tensor(LENGTHS)}
            with parity.watch(model, kinds=["activation"], valid={"*": REGIONS["outputs"]}) as steps:
                for one in steps.steps([batch, batch], limit=limit):
                    model(one["x"], one["len"])

        return run

    studio.record(body(2))
    coverage = studio.failure(body(1)).comparison.coverage
    assert (coverage.elements_recorded, coverage.outside) == (2 * 2 * 8 * 4, 2 * 2 * 2 * 4)


def masking(model: nn.Module, valid: Any, *, seed: int = 0) -> Callable[[Any], None]:
    def body(parity: Any) -> None:
        with parity.watch(model, kinds=["weight", "activation"], valid=valid) as run:
            mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
            batch = {"x": torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(seed)), "mask": mask}
            for one in run.steps([batch]):
                parity.assert_outputs(model(one["x"], one["mask"].sum(1)))

    return body


MASKS = {"(model)": Valid(mask="mask"), "outputs": Valid(mask=lambda batch: batch["mask"].clone())}


def test_a_mask_is_kept_in_the_golden_and_takes_no_bytes_where_the_batch_holds_it(studio: Studio) -> None:
    golden = studio.record(masking(Padded(0.0), MASKS))
    assert golden.manifest["steps"]["0"]["valid"] == [["(model)", [0, 1], None], ["outputs", [0, 1], None]]
    batch = {str(e.site): (e.file, e.offset) for e in golden.entries(0) if e.site.kind.value == "batch"}
    assert batch["batch/(valid)/(model)"] == batch["batch/(valid)/outputs"] == batch["batch/loader/mask"]
    comparison = studio.check(masking(Padded(9.0), None))
    assert comparison.passed
    assert comparison.elements == comparison.coverage.elements_recorded == 20 + 40 + 2 * 8 * 4
    assert coverage_lines(comparison)[0].endswith("elements 124 of 124 (16 outside of valid regions)")
    assert studio.failure(masking(Padded(0.0, inside=1e-3), None))


def test_the_same_masks_are_the_same_bytes(studio: Studio) -> None:
    def read() -> dict[str, bytes]:
        return {str(f): f.read_bytes() for f in (studio.path / "golden").rglob("*") if f.is_file()}

    studio.record(masking(Padded(0.0), MASKS))
    first = read()
    studio.record(masking(Padded(0.0), MASKS))
    assert read() == first


def test_two_goldens_are_compared_within_the_references_mask(studio: Studio) -> None:
    first, second = studio, Studio(studio.path / "second")
    first.record(masking(Padded(0.0), MASKS))
    second.record(masking(Padded(9.0), None))
    comparison = compare_goldens(first.golden(), second.golden())
    assert comparison.passed, comparison
    assert not compare_goldens(second.golden(), first.golden()).passed


class Ours(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.out = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return self.out(x)


class Theirs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.head = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers[1](self.layers[0](x)))


def renamed(make: Callable[[], nn.Module]) -> Callable[[Any], None]:
    def body(parity: Any) -> None:
        model = make()
        parity.load(model)
        with parity.watch(model):
            model(parity.input("x", lambda: torch.randn(3, 4))).sum().backward()

    return body


RULES: list[Any] = [
    {"blocks.{i}": "layers.{i}", "out": "head"},
    lambda path: path.replace("blocks", "layers").replace("out", "head"),
]


@pytest.mark.parametrize("names", RULES, ids=["rules", "callable"])
def test_a_renamed_model_is_compared_whole(studio: Studio, names: Any) -> None:
    studio.record(renamed(Theirs))
    comparison = studio.check(renamed(Ours), MarkerOptions(names=names))
    assert comparison.compared == comparison.expected == 20
    assert comparison.passed


def test_a_regular_expression_maps_names(studio: Studio) -> None:
    import re

    studio.record(renamed(Theirs))
    names = {re.compile(r"blocks\.(\d+)(.*)"): r"layers.\1\2", "out": "head", "blocks": "layers"}
    assert studio.check(renamed(Ours), MarkerOptions(names=names)).passed


def test_without_a_map_nothing_is_loaded_and_the_error_says_what_to_give(studio: Studio) -> None:
    studio.record(renamed(Theirs))
    with pytest.raises(Exception, match="name map"):
        studio.check(renamed(Ours))


def test_a_rule_that_matches_nothing_is_an_error(studio: Studio) -> None:
    studio.record(renamed(Theirs))
    with pytest.raises(NameMapError, match="blocs"):
        studio.check(renamed(Ours), MarkerOptions(names={"blocs.{i}": "layers.{i}", "out": "head"}))


def test_failures_name_the_candidates_own_module_and_the_references(studio: Studio) -> None:
    studio.record(renamed(Theirs))

    class Scaled(Ours):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.blocks[1](self.blocks[0](x) * 1.01))

    failure = studio.failure(renamed(Scaled), marker=MarkerOptions(names=RULES[0]))
    first = str(failure).splitlines()[0]
    assert "blocks.1" in first or "(model)" in first
    wrong = studio.failure(renamed(lambda: Tanh(Ours())), marker=MarkerOptions(names=RULES[0]))
    assert "blocks.0" in str(wrong).splitlines()[0]
    assert "layers.0" in str(wrong).splitlines()[0]


def Tanh(model: Ours) -> Ours:  # noqa: N802  a fault, put in as a function
    model.blocks[0].forward = lambda x: torch.tanh(nn.functional.linear(x, model.blocks[0].weight))
    return model
