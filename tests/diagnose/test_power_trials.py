"""A body run again with faults in its model: what is caught, what escapes, and what is left behind: nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from parity_studio import Body, Studio
from power_models import state, tower
from torch import nn

from pytest_parity.capture import Streams
from pytest_parity.diagnose.faults import Planted, put
from pytest_parity.golden.reader import Golden
from pytest_parity.report.power import CAUGHT, ERROR, ESCAPED, NO_EFFECT, Power
from pytest_parity.session.parity import Parity
from pytest_parity.session.power import Selftest, Trial
from pytest_parity.session.run import Run
from pytest_parity.settings import Mode, Settings
from pytest_parity.site import Kind, Site


def body(make: Callable[[], nn.Module] = tower, **watching: object) -> Body:
    def run(parity: Parity) -> None:
        model = parity.load(make())
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        with parity.watch(model, optimizer=optimizer, **watching) as steps:
            for value in steps.steps([torch.randn(2, 4, 6) for _ in range(2)]):
                optimizer.zero_grad()
                out = model(value)
                loss = out.square().mean()
                loss.backward()
                optimizer.step()
                parity.assert_step(outputs=out, loss=loss)

    return run


def selftest(studio: Studio, run: Body, limit: int | None = None, checked: Body | None = None) -> Power:
    golden = studio.record(run)
    settings = studio.settings(Mode.CHECK)
    parity = Parity(settings)
    try:
        return Selftest(settings, golden, parity.repeating(checked or run), limit).run()
    finally:
        parity.abandon()


def end(power: Power, fault: str, module: str) -> str:
    return next(one.end for one in power.tried if (one.fault, one.module) == (fault, module))


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Power:
    return selftest(Studio(tmp_path_factory.mktemp("tight")), body(tolerances={"*": (1e-6, 1e-7)}))


def test_a_tight_check_catches_everything(tight: Power):
    assert len(tight.tried) > 30
    assert tight.ended(ESCAPED) == []
    assert tight.passed


def test_a_sloppy_check_lets_faults_escape(studio: Studio):
    power = selftest(studio, body(tolerances={"*": (0.1, 0.1)}))
    assert "weight times 1.0001" in {one.fault for one in power.ended(ESCAPED)}
    assert not power.passed


def test_what_caught_a_fault_is_told_by_kind_of_site(tight: Power):
    gradient = next(one for one in tight.tried if one.fault == "gradient times 1.01" and one.module == "rnn")
    assert set(gradient.kinds) <= {"gradient", "activation_gradient", "optimizer"}
    assert gradient.kinds["gradient"] > 1


def test_every_helper_is_heard_and_not_only_the_first_that_fails(tight: Power):
    output = next(one for one in tight.tried if one.fault == "output times 1.01" and one.module == "(model)")
    assert {"activation", "output", "loss", "gradient"} <= set(output.kinds)


def test_what_only_kinds_that_are_left_out_show_has_escaped(studio: Studio):
    power = selftest(studio, body(kinds=("weight", "activation")), 11)
    gradients = [one for one in power.tried if one.fault.startswith("gradient")]
    assert {one.end for one in gradients} == {ESCAPED}


def test_a_fault_that_changes_no_bit_is_neither_caught_nor_escaped(studio: Studio):
    def run(parity: Parity) -> None:
        model = parity.load(nn.Linear(3, 3))
        with parity.watch(model):
            out = model(parity.input("x", lambda: torch.randn(2, 3)))
        parity.assert_outputs(out)

    power = selftest(studio, run)
    assert end(power, "weight times 1.01", "(model)") == CAUGHT
    assert end(power, "gradient times 1.01", "(model)") == NO_EFFECT
    assert power.passed


def test_a_fault_that_the_test_itself_falls_over_is_caught(studio: Studio):
    def run(parity: Parity) -> None:
        model = parity.load(nn.Linear(3, 3))
        with parity.watch(model):
            out = model(parity.input("x", lambda: torch.ones(2, 3)))
        if not parity.recording:
            assert torch.equal(out, studio.tensor("activation/(model)#0"))
        parity.assert_outputs(out)

    power = selftest(studio, run)
    assert all(one.kinds.get(ERROR) == 1 for one in power.ended(CAUGHT))
    assert {one.error.partition(":")[0] for one in power.ended(CAUGHT)} == {"AssertionError"}


def test_a_body_that_raises_in_the_middle_leaves_the_model_bit_for_bit(studio: Studio):
    model, calls = tower(), []

    def run(parity: Parity) -> None:
        parity.load(model)
        value = parity.input("x", lambda: torch.randn(2, 4, 6))
        model.zero_grad()
        with parity.watch(model):
            out = model(value)
            calls.append(out)
            if len(calls) > 4:
                raise RuntimeError("in the middle")
        parity.assert_outputs(out)

    studio.record(run)
    before = state(model)
    power = selftest(studio, run, 22)
    assert {one.error for one in power.tried} == {"RuntimeError: in the middle"}
    assert _values(state(model)) == _values(before)


def test_a_model_that_others_use_later_is_left_bit_for_bit(studio: Studio):
    model = tower()

    def run(parity: Parity) -> None:
        parity.load(model)
        with parity.watch(model):
            parity.assert_outputs(model(parity.input("x", lambda: torch.randn(2, 4, 6))))

    studio.record(run)
    model.eval()
    before, torch_state = state(model), torch.get_rng_state()
    power = selftest(studio, run, 22)
    assert len(power.tried) == 22
    assert _values(state(model)) == _values(before)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_the_golden_and_what_a_failing_check_left_are_not_touched(studio: Studio):
    golden = studio.path / "golden"
    studio.record(body())
    left = studio.path / "out" / "case"
    left.mkdir(parents=True)
    (left / "note").write_text("mine")
    before = _files(golden)
    settings = studio.settings(Mode.CHECK)
    power = Selftest(settings, studio.golden(), Parity(settings).repeating(body()), 5).run()
    assert len(power.tried) == 5
    assert _files(golden) == before
    assert _files(studio.path / "out") == {"case/note": b"mine"}


def test_over_the_limit_is_counted(studio: Studio):
    power = selftest(studio, body(), limit=3)
    assert (len(power.tried), power.runs) == (3, 5)
    assert power.left_out > 30


def test_without_a_watch_there_is_nothing_to_put_a_fault_in(studio: Studio):
    power = selftest(studio, lambda parity: parity.assert_close("x", torch.arange(3.0)))
    assert "no model is watched" in power.refused
    assert power.excused
    assert power.passed


def test_a_check_that_fails_without_a_fault_is_refused(studio: Studio):
    power = selftest(studio, body(), checked=body(lambda: nn.Sequential(tower())))
    assert power.refused.startswith("run again without a fault, the test")
    assert not power.passed


def test_a_test_that_draws_on_its_own_is_refused_and_the_site_named(studio: Studio):
    source = torch.Generator().manual_seed(0)

    def run(parity: Parity) -> None:
        model = parity.load(nn.Linear(3, 3))
        with parity.watch(model, tolerances={"*": (0.5, 0.01)}):
            model(torch.ones(2, 3) + 1e-3 * torch.rand(2, 3, generator=source))

    power = selftest(studio, run)
    assert power.refused.startswith("two runs without a fault differ, first at input/(model)#0/in.0 of step 0")
    assert not power.passed


def test_what_is_replayed_takes_no_fault_and_is_told(studio: Studio):
    power = selftest(studio, body(replay=["rnn"]), limit=5)
    assert power.notes == ("no fault was put into modules that are replayed: rnn",)


def test_compiled_regions_take_no_fault_and_are_told(studio: Studio):
    def make() -> nn.Module:
        model = tower()
        model.rnn.compile(backend="eager")
        return model

    power = selftest(studio, body(make), limit=5)
    assert "no fault was put into compiled regions: rnn" in power.notes
    assert not any(one.module == "rnn" for one in power.tried)


def test_the_tolerance_of_a_call_is_the_one_whose_reach_is_told(studio: Studio):
    def run(parity: Parity) -> None:
        model = parity.load(nn.Linear(3, 3))
        with parity.watch(model):
            out = model(parity.input("x", lambda: torch.randn(2, 3)))
            out.sum().backward()
        parity.assert_gradients(rtol=0.25, atol=0.0)
        parity.assert_close("out", out, rtol=0.5, atol=0.0)

    reach = {one.kind: one for one in selftest(studio, run).reach}
    assert reach["gradient"].every == pytest.approx(0.25)
    assert reach["gradient"].tolerance.origin == "assert_gradients"
    assert reach["output"].every == pytest.approx(0.5)
    assert reach["activation"].every < 1e-3


def test_an_update_is_reached_as_it_is_judged(studio: Studio):
    reach = {one.kind: one for one in selftest(studio, body(tolerances={"updated_weight": (1e-3, 0.0)}), limit=1).reach}
    assert reach["updated_weight"].every > 1e-3


@pytest.mark.parametrize("draws", [0, 2], ids=["tolerance", "floor"])
def test_what_the_reach_says_is_where_the_check_begins_to_fail(studio: Studio, draws: int):
    def run(parity: Parity) -> None:
        torch.manual_seed(0)
        model = parity.load(nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)))
        with parity.watch(model):
            model(parity.input("x", lambda: torch.randn(4, 6)))

    recording = Parity(studio.settings(Mode.RECORD, draws=draws))
    run(recording)
    recording.finish(recording.repeating(run))
    golden, settings = studio.golden(), studio.settings(Mode.CHECK)
    assert (golden.noise is None) is (draws == 0)
    again = Parity(settings).repeating(run)
    control = Trial(settings, Streams(settings.case), golden, lambda _: lambda: None)
    control.scales = []
    again(control)
    control.finish()
    for site, _, scale in control.scales:
        if site.kind is Kind.ACTIVATION and site.path != "(model)":
            assert fails(settings, golden, again, site, 1 + 1.2 * scale), site
            assert not fails(settings, golden, again, site, 1 + 0.8 * scale), site


def fails(settings: Settings, golden: Golden, again: Callable[[Run], None], site: Site, size: float) -> bool:
    """Whether a site fails where its module's output is scaled."""
    fault = Planted("output_scaled", site.path, size=size)
    trial = Trial(settings, Streams(settings.case), golden, lambda model: put(model, fault))
    again(trial)
    trial.take_out()
    return str(site) in {delta.site for delta in trial.finish().failures}


def _files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _values(found: dict) -> dict:
    """What is known of a model but for gradients, and for how often loading has written its weights."""

    def stripped(value: object) -> object:
        if isinstance(value, tuple) and len(value) == 5:
            return value[0], value[2], value[3]
        if isinstance(value, (tuple, list)):
            return [stripped(one) for one in value]
        return value

    return {name: stripped(value) for name, value in found.items()}
