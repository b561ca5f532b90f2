"""What was compared of what was recorded: exceptions by name, the share of module calls, what proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity import LoadError, ParityFailure, UsageError
from pytest_parity.report import note_lines
from pytest_parity.result import Comparison
from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions, Mode

Body = Callable[[Any], None]


class Net(nn.Module):
    """``extra`` is called by the reference only; ``again`` calls ``first`` once more."""

    def __init__(self, *, extra: bool = True, again: bool = False, scale: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.act = nn.Tanh()
        if extra:
            self.same = nn.Identity()
        self.again, self.scale = again, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.first(x) * self.scale)
        if hasattr(self, "same"):
            x = self.same(x)
        out: torch.Tensor = self.last(self.first(x) * 0 + x if self.again else x)
        return out


def body(make: Callable[[], nn.Module] = Net, **watch: Any) -> Body:
    def run(parity: Any) -> None:
        model = make()
        parity.load(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with parity.watch(model, optimizer=optimizer, **watch) as steps:
            for batch in steps.steps([torch.ones(3, 4), torch.zeros(3, 4)]):
                optimizer.zero_grad()
                out = model(batch)
                out.square().mean().backward()
                optimizer.step()
                parity.assert_outputs(out)

    return run


def lacking() -> nn.Module:
    return Net(extra=False)


def test_the_summary_counts_parameters_calls_and_elements(studio: Studio) -> None:
    studio.record(body())
    comparison = studio.check(body())
    elements = comparison.elements
    assert note_lines(comparison)[0] == (
        f"  parameters 4 of 4, module calls 10 of 10, elements {elements:,} of {elements:,}"
    )


def test_a_roundtrip_keeps_the_coverage(studio: Studio) -> None:
    studio.record(body())
    comparison = studio.check(body(ignore=["act"]))
    assert Comparison.from_plain(comparison.to_plain()) == comparison


def test_a_module_call_without_a_counterpart_fails(studio: Studio) -> None:
    studio.record(body())
    assert "same is never called" in str(studio.failure(body(lacking)))


def test_coverage_lets_a_share_of_the_module_calls_go_and_lists_them(studio: Studio) -> None:
    studio.record(body())
    comparison = studio.check(body(lacking, coverage=0.8))
    assert comparison.counts["uncovered"] == 4
    assert comparison.compared + 4 == comparison.expected
    assert any("without a counterpart (coverage=0.8): same" in note for note in comparison.notes)
    assert any("module calls 8 of 10" in line for line in note_lines(comparison))


def test_modules_without_a_counterpart_are_listed_as_the_reference_calls_them(studio: Studio) -> None:
    """Whatever strings hash to in this process."""

    def stack(*, identities: int) -> Callable[[Any], None]:
        def run(parity: Any) -> None:
            model = nn.Sequential(*(nn.Identity() for _ in range(identities)))
            with parity.watch(model, coverage=0.1):
                parity.assert_outputs(model(torch.ones(3)))

        return run

    studio.record(stack(identities=7))
    notes = studio.check(stack(identities=1)).notes
    assert "modules of the reference without a counterpart (coverage=0.1): 1, 2, 3, 4, 5, 6" in notes


def test_below_that_share_they_fail_and_the_share_is_said(studio: Studio) -> None:
    studio.record(body())
    text = str(studio.failure(body(lacking, coverage=0.9)))
    assert "same is never called" in text
    assert "step 0: 4 of 5 module calls have a counterpart (80.0%), and coverage=0.9 asks for more" in text


def test_coverage_forgives_no_call_of_a_module_that_is_there(studio: Studio) -> None:
    studio.record(body(lambda: Net(again=True)))
    text = str(studio.failure(body(coverage=0.5)))
    assert "first (call 2) is never called" in text


def test_coverage_forgives_no_wrong_value(studio: Studio) -> None:
    studio.record(body())
    with pytest.raises(ParityFailure, match="act"):
        studio.check(body(lambda: Net(extra=False, scale=1.1), coverage=0.8))


def test_the_marker_and_the_settings_give_a_share_too(studio: Studio) -> None:
    studio.record(body())
    assert studio.check(body(lacking), MarkerOptions(coverage=0.8)).passed
    assert studio.check(body(lacking), coverage=0.8).passed
    assert studio.failure(body(lacking), marker=MarkerOptions(coverage=1.0), coverage=0.8)


@pytest.mark.parametrize("value", [1.5, -0.1, "0.9", True, float("nan")])
def test_a_share_is_from_0_to_1(studio: Studio, value: Any) -> None:
    with pytest.raises(UsageError, match=r"watch: coverage=.*from 0 to 1"):
        studio.record(body(coverage=value))


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("activation/act", 2),
        ("activation/act#0", 2),
        ("activation/fir*", 2),
        ("act", 4),
        ("gradient", 8),
        ("gradient/*.bias", 4),
        ("first", 16),
        ("*.bias", 12),
        ("outputs", 2),
    ],
)
def test_an_ignored_site_is_not_judged_and_is_counted(studio: Studio, pattern: str, count: int) -> None:
    studio.record(body())
    comparison = studio.check(body(ignore=[pattern]))
    assert comparison.passed
    assert comparison.counts["ignored"] == count == comparison.coverage.ignored[pattern]
    assert comparison.compared + count == comparison.expected
    assert any("ignored by the test" in line for line in note_lines(comparison))


def test_what_is_wrong_there_passes_and_what_is_wrong_elsewhere_does_not(studio: Studio) -> None:
    def wrong(parity: Any) -> None:
        parity.assert_close("a", torch.ones(2) * 2)
        parity.assert_close("b", torch.ones(2))

    def right(parity: Any) -> None:
        parity.assert_close("a", torch.ones(2))
        parity.assert_close("b", torch.ones(2))

    studio.record(right)
    assert studio.check(wrong, MarkerOptions(ignore=("output/a",))).passed
    assert "output/a" in str(studio.failure(wrong, marker=MarkerOptions(ignore=("output/b",))))


def test_what_the_candidate_lacks_or_has_besides_can_be_ignored(studio: Studio) -> None:
    studio.record(body())
    assert studio.check(body(lacking, ignore=["same"])).passed
    studio.record(body(lambda: Net(again=False)))
    assert studio.failure(body(lambda: Net(again=True)))
    ignored = ["activation/first#1", "input/first#1", "gradient/first.*", "updated_weight/first*", "weight/first.*"]
    assert studio.check(body(lambda: Net(again=True), ignore=ignored)).passed


def test_a_parameter_of_the_references_alone_can_be_ignored(studio: Studio) -> None:
    class Tabled(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.ones(3))

    def run(make: Callable[[], nn.Module], **watch: Any) -> Body:
        def plain(parity: Any) -> None:
            with parity.watch(make(), **watch) as steps:
                for batch in steps.steps([torch.ones(1, 4)]):
                    steps._capture.model(batch)

        return plain

    studio.record(run(Tabled))
    assert "table" in str(studio.failure(run(Net)))
    assert studio.check(run(Net, ignore=["weight/table"])).counts["ignored"] == 1


def test_an_update_from_an_ignored_weight_is_judged_as_an_update(studio: Studio) -> None:
    def other() -> nn.Module:
        net = Net()
        with torch.no_grad():
            net.last.bias.zero_()
        return net

    def run(make: Callable[[], nn.Module], **watch: Any) -> Body:
        def plain(parity: Any) -> None:
            model = make()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            kinds = ["weight", "updated_weight"]
            with parity.watch(model, optimizer=optimizer, kinds=kinds, **watch) as steps:
                for batch in steps.steps([torch.ones(3, 4)]):
                    model(batch).sum().backward()
                    optimizer.step()

        return plain

    studio.record(run(Net))
    assert studio.check(run(other, ignore=["weight/last.bias"])).passed


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "activation/axt",
            r"ignore='activation/axt' matches no site that is compared; did you mean 'activation/act'\?",
        ),
        ("lats", r"did you mean 'last"),
        ("loss", r"ignore='loss' matches no site"),
        ("batch", r"ignore='batch' matches no site"),
        ("zzzzzz", r"sites are named as the reference's are"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(studio: Studio, pattern: str, message: str) -> None:
    studio.record(body())
    with pytest.raises(UsageError, match=message):
        studio.check(body(ignore=[pattern]))


def test_where_the_check_fails_such_a_pattern_is_said_besides(studio: Studio) -> None:
    def run(scale: float) -> Body:
        def watched(parity: Any) -> None:
            model = Net(scale=scale)
            with parity.watch(model, kinds=["activation"], ignore=["activation/axt"]):
                model(parity.input("x", lambda: torch.ones(2, 4)))

        return watched

    studio.record(run(1.0))
    text = str(studio.failure(run(1.1)))
    assert "ignore='activation/axt' matches no site that is compared" in text
    assert "act is the first module" in text or "hands to act" in text


def test_patterns_for_many_tests_need_not_match_in_each(studio: Studio) -> None:
    studio.record(body())
    comparison = studio.check(body(), ignore=("nothing/of/it", "act"))
    assert comparison.coverage.ignored == {"act": 4}


def test_ignoring_everything_is_comparing_nothing(studio: Studio) -> None:
    studio.record(lambda parity: parity.assert_close("a", torch.ones(2)))
    failure = studio.failure(
        lambda parity: parity.assert_close("a", torch.ones(2)), marker=MarkerOptions(ignore=("output",))
    )
    assert "nothing was compared: the test ignores every site that was recorded" in str(failure)


@pytest.mark.parametrize("value", ["gradient", [], [1], 3])
def test_ignore_is_a_list_of_texts(studio: Studio, value: Any) -> None:
    with pytest.raises(UsageError, match=r"watch: ignore=.*it is a list of sites, kinds or paths"):
        studio.record(body(ignore=value))


def empty(parity: Any) -> None:
    parity.assert_close("some", torch.ones(2))
    parity.assert_close("none", torch.empty(0, 4))


def test_an_empty_tensor_fails_and_the_line_says_what_to_type(studio: Studio) -> None:
    studio.record(empty)
    first = str(studio.failure(empty)).splitlines()[0]
    assert first == (
        "case: output/none has no element (shape (0, 4)), here and in the reference, so that nothing was compared there; "
        "where that is right, say so: ignore=['output/none']"
    )
    assert studio.check(empty, MarkerOptions(ignore=("output/none",))).passed


def test_an_empty_tensor_is_not_what_diverges_first(studio: Studio) -> None:
    def wrong(parity: Any) -> None:
        parity.assert_close("none", torch.empty(0, 4))
        parity.assert_close("some", torch.ones(2) * 2)

    studio.record(empty)
    failure = studio.failure(lambda parity: _collected(parity, wrong))
    assert "some" in str(failure).splitlines()[0]


def _collected(parity: Any, run: Body) -> None:
    with parity.collect():
        run(parity)


def test_none_on_both_sides_alone_is_nothing(studio: Studio) -> None:
    studio.record(lambda parity: parity.assert_close("a", None))
    assert "nothing was compared" in str(studio.failure(lambda parity: parity.assert_close("a", None)))


def test_what_is_not_finite_in_the_reference_either_is_listed(studio: Studio) -> None:
    def run(parity: Any) -> None:
        parity.assert_close("a", torch.tensor([torch.nan, 1.0, torch.inf]))

    studio.record(run)
    comparison = studio.check(run)
    (note,) = [note for note in comparison.notes if "not finite" in note]
    assert note == "not finite in the reference either: output/a (2 of 3) in step 0"


def diverged(parity: Any) -> None:
    net = Net()
    with parity.watch(net) as steps:
        for batch in steps.steps([torch.ones(3, 4)]):
            loss = net(batch).sum() * torch.nan
            loss.backward()
            parity.assert_step(loss=loss)


def test_a_loss_of_nan_compares_nothing(studio: Studio) -> None:
    studio.record(diverged)
    first = str(studio.failure(diverged)).splitlines()[0]
    assert first == (
        "case: loss/loss (as 4 sites besides) has no finite element (of 1), here and in the reference, so that nothing was "
        "compared there; where that is right, say so: ignore=['loss/loss']"
    )
    assert studio.check(diverged, MarkerOptions(ignore=("loss", "gradient"))).passed


def test_recording_says_that_a_loss_is_not_finite(studio: Studio) -> None:
    parity = Parity(studio.settings(Mode.RECORD))
    diverged(parity)
    assert "loss/loss in step 0 has no finite element, which fails a check" in parity.finish().notes


def test_infinite_gradients_of_a_step_that_was_left_out_pass(studio: Studio) -> None:
    def run(parity: Any) -> None:
        net = Net()
        scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        with parity.watch(net, optimizer=optimizer) as steps:
            for batch in steps.steps([torch.ones(3, 4)]):
                scaler.scale(net(batch).sum() * 1e3).backward()
                scaler.step(optimizer)
                scaler.update()

    studio.record(run)
    comparison = studio.check(run)
    assert any("not finite in the reference either: gradient/" in note for note in comparison.notes)


def test_a_tolerance_that_nothing_could_exceed_compares_nothing(studio: Studio) -> None:
    def run(value: float) -> Body:
        return lambda parity: parity.assert_close("a", torch.tensor([value]), rtol=0.0, atol=1.0)

    studio.record(run(1e-3))
    assert studio.check(run(1e-3)).passed  # bit for bit
    assert "case: nothing was compared: within the tolerances declared, zeros would have passed everywhere" in str(
        studio.failure(run(2e-3))
    )


def test_a_factor_that_reaches_the_references_norm_is_vacuous_and_the_summary_says_where(studio: Studio) -> None:
    studio.record(body(), draws=3)
    wrong = body(lambda: Net(scale=1.5))
    assert studio.failure(wrong)
    comparison = studio.check(wrong, MarkerOptions(factor=1e12))
    assert comparison.counts["vacuous"] > 10
    assert "below_noise" not in comparison.counts
    assert any("vacuous, zeros would have passed there: input/act#0/in.0" in line for line in note_lines(comparison))


def test_weights_that_were_given_do_not_make_up_for_it(studio: Studio) -> None:
    def run(value: float) -> Body:
        def plain(parity: Any) -> None:
            net = parity.load(Net())
            with parity.watch(net, kinds=["weight", "input"]) as steps:
                for batch in steps.steps([torch.ones(3, 4)]):
                    parity.assert_outputs(net(batch) * value, rtol=1.0, atol=0.0)

        return plain

    studio.record(run(1.0))
    assert studio.check(run(1.0)).passed
    text = str(studio.failure(run(1.5)))
    assert text.startswith("case: nothing was compared: within the tolerances declared, zeros would have passed")


def test_kinds_that_the_test_leaves_out_are_said(studio: Studio) -> None:
    studio.record(body())
    said = "kinds= leaves out what the golden has: gradient, optimizer, updated_weight"
    assert said in studio.check(body(kinds=["weight", "input", "activation", "output"])).notes
    assert not any("kinds=" in note for note in studio.check(body()).notes)


def test_a_step_that_was_not_run_is_named(studio: Studio) -> None:
    def run(limit: int) -> Body:
        def plain(parity: Any) -> None:
            net = parity.load(Net())
            with parity.watch(net) as steps:
                for batch in steps.steps([torch.ones(3, 4)] * 3, limit=limit):
                    net(batch)

        return plain

    studio.record(run(3))
    text = str(studio.failure(run(1)))
    assert text.splitlines()[0] == (
        "case: step 1 of the golden was never run; run every step that was recorded, or record it again"
    )
    assert "sites compared in step 0 (" in text


def test_a_value_that_the_test_does_not_give_is_missing(studio: Studio) -> None:
    studio.record(lambda parity: (parity.assert_close("a", torch.ones(1)), parity.assert_close("b", torch.ones(1))))
    text = str(studio.failure(lambda parity: parity.assert_close("a", torch.ones(1))))
    assert text.startswith("case step 0: the output b is missing: the reference has it, and the test gives none")


def test_a_value_that_only_the_test_has_is_extra(studio: Studio) -> None:
    studio.record(lambda parity: parity.assert_close("a", torch.ones(1)))
    text = str(studio.failure(lambda parity: parity.assert_close("b", torch.ones(1))))
    assert text.startswith("case step 0: the output b is extra: the test gives it, and the reference has none")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float16, torch.complex64])
def test_large_finite_values_are_finite(studio: Studio, dtype: torch.dtype) -> None:
    value = torch.full((64,), 400.0).to(dtype)

    def run(parity: Any) -> None:
        parity.assert_close("a", value)
        parity.assert_close("b", torch.full((9,), 3e38))

    studio.record(run)
    assert not any("not finite" in note for note in studio.check(run).notes)


def test_sparse_gradients_are_looked_through(studio: Studio) -> None:
    table = nn.Embedding(5, 3, sparse=True)

    def run(parity: Any) -> None:
        table.zero_grad()
        with parity.watch(table):
            (table(parity.input("i", lambda: torch.tensor([1, 2]))).sum() * torch.inf).backward()

    studio.record(run)
    assert any("gradient/weight (6 of 15)" in note for note in studio.check(run).notes)


def test_weights_that_the_marker_ignores_need_not_fit(studio: Studio) -> None:
    class Wide(Net):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.register_buffer("table", torch.ones(size))

    studio.record(body(lambda: Wide(3)))
    with pytest.raises(LoadError, match="table has shape"):
        studio.check(body(lambda: Wide(5)))
    assert studio.check(body(lambda: Wide(5)), MarkerOptions(ignore=("table",))).counts["ignored"] == 4
    assert studio.check(body(), MarkerOptions(ignore=("table",))).counts["ignored"] == 4
