"""Steps: when gradients are final, what an update is judged by, and where each step of a loop starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity.errors import GoldenError, LoadError, ParityFailure, UsageError
from pytest_parity.settings import MarkerOptions
from pytest_parity.site import Kind

BATCHES = [torch.randn(6, 8, generator=torch.Generator().manual_seed(i)) for i in range(3)]
Edit = Callable[[nn.Module, torch.optim.Optimizer], None]


def make_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)


def training(
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer] = adamw,
    *,
    seed: int = 0,
    load: bool = True,
    closure: bool = False,
    edit: Edit | None = None,
    asserts: bool = True,
    limit: int | None = None,
    keep: Any = None,
    step: Callable[[int, torch.optim.Optimizer], bool] = lambda _n, _o: True,
) -> Callable[[Any], None]:
    def body(parity: Any) -> None:
        model = make_model(seed)
        if load:
            parity.load(model)
        optimizer = make_optimizer(model)
        if edit is not None:
            edit(model, optimizer)
        with parity.watch(model, optimizer=optimizer) as run:
            for number, batch in enumerate(run.steps(BATCHES, limit=limit, keep=keep)):

                def forward_backward(batch: torch.Tensor = batch) -> torch.Tensor:
                    optimizer.zero_grad()
                    loss = model(batch).square().mean()
                    loss.backward()
                    return loss

                if closure:
                    loss = optimizer.step(forward_backward)
                else:
                    loss = forward_backward()
                    if step(number, optimizer):
                        optimizer.step()
                with parity.collect():
                    parity.assert_loss(loss)
                if asserts:
                    parity.assert_activations()
                    parity.assert_gradients()
                    parity.assert_weights()

    return body


def test_every_default_kind_of_every_step_is_recorded_and_compared(studio: Studio) -> None:
    comparison = studio.both(training())
    assert set(comparison.kinds) == {k.value for k in Kind} - {"batch", "output", "activation_gradient", "probe"}
    assert comparison.steps == (0, 1, 2)
    assert studio.golden().manifest["steps"]["1"]["updated"] is True


def test_recording_twice_gives_the_same_bytes(studio: Studio) -> None:
    studio.record(training())
    first = {f.name: f.read_bytes() for f in (studio.path / "golden").rglob("*") if f.is_file()}
    studio.record(training())
    assert {f.name: f.read_bytes() for f in (studio.path / "golden").rglob("*") if f.is_file()} == first


@pytest.mark.parametrize("closure", [False, True], ids=["plain", "closure"])
def test_gradients_are_those_that_the_step_used(studio: Studio, closure: bool) -> None:
    studio.both(training(closure=closure))
    model = make_model()
    model(BATCHES[0]).square().mean().backward()
    assert torch.equal(studio.tensor("gradient/3.weight"), model[3].weight.grad)


def test_a_loop_with_a_closure_is_the_loop_without_one(studio: Studio) -> None:
    studio.record(training())
    assert studio.check(training(closure=True)).counts["equal"] == studio.check(training()).compared


def test_lbfgs_takes_the_gradients_of_the_closures_first_run(studio: Studio) -> None:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)

    studio.both(training(make, closure=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        lambda m: torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9),
        lambda m: torch.optim.Adam(m.parameters(), lr=0.01, amsgrad=True),
        lambda m: torch.optim.Adam(m.parameters(), lr=0.01, foreach=False),
        lambda m: torch.optim.RMSprop(m.parameters(), lr=0.01),
        lambda m: torch.optim.Adagrad(m.parameters(), lr=0.01),
        lambda m: torch.optim.AdamW([{"params": m[0].parameters(), "lr": 0.1}, {"params": m[3].parameters()}]),
    ],
    ids=["SGD", "momentum", "amsgrad", "single tensor", "RMSprop", "Adagrad", "groups"],
)
def test_torchs_optimizers(studio: Studio, make: Any) -> None:
    comparison = studio.both(training(make, load=True))
    assert comparison.kinds["updated_weight"] == 27
    studio.both(training(make, load=False))


def scheduled(model: nn.Module) -> torch.optim.Optimizer:
    """A schedule replaces ``step`` on the instance with a function that reaches back to the original optimizer."""
    optimizer = adamw(model)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1.0 / (n + 1))
    return optimizer


def test_the_isolated_step_leaves_a_scheduled_optimizer_alone(studio: Studio) -> None:
    studio.both(training(scheduled))


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("weight_decay", lambda _m, o: o.param_groups[0].update(weight_decay=0.0)),
        ("lr", lambda _m, o: o.param_groups[0].update(lr=1.01e-2)),
        ("betas", lambda _m, o: o.param_groups[0].update(betas=(0.8, 0.999))),
        ("eps", lambda _m, o: o.param_groups[0].update(eps=1e-4)),
    ],
)
def test_a_wrong_hyperparameter_shows_in_the_updates_alone_and_is_named(studio: Studio, name: str, edit: Edit) -> None:
    studio.record(training())
    failure = studio.failure(training(edit=edit, asserts=False))
    assert {delta.site.split("/")[0] for delta in failure.comparison.failures} <= {"updated_weight", "optimizer"}
    lines = str(failure).splitlines()
    assert "AdamW" in lines[0]
    assert name in lines[1]


def test_an_update_is_judged_from_the_references_start_not_by_the_candidates_own_gradients(studio: Studio) -> None:
    """Adam makes a full step of a gradient that is zero but for rounding; a bias before a BatchNorm has one."""
    studio.record(training())

    def noise(model: nn.Module, _optimizer: torch.optim.Optimizer) -> None:
        model[0].bias.register_hook(lambda g: g + 1e-9 * torch.randn(8, generator=torch.Generator().manual_seed(9)))

    comparison = studio.check(training(edit=noise))
    assert comparison.passed
    assert any("own gradients" in note and "0.bias" in note for note in comparison.notes)


def test_without_optimizer_state_the_candidates_own_update_is_judged_and_the_line_says_so(studio: Studio) -> None:
    kinds = frozenset({Kind.WEIGHT, Kind.ACTIVATION, Kind.GRADIENT, Kind.UPDATED_WEIGHT})
    marker = MarkerOptions(kinds=kinds)
    studio.record(training(), marker)
    comparison = studio.check(training(), marker)
    assert comparison.passed
    assert any("own gradients" in note and "no optimizer state" in note for note in comparison.notes)
    with pytest.raises(ParityFailure, match="updated_weight"):
        studio.check(training(edit=lambda _m, o: o.param_groups[0].update(lr=2e-2), asserts=False), marker)


def test_updates_that_were_never_made_are_missing(studio: Studio) -> None:
    studio.record(training())
    failure = studio.failure(training(step=lambda _n, _o: False))
    assert "updated_weight/0.weight" in str(failure)
    assert "missing" in str(failure)


def test_an_accumulating_step_has_no_update_and_the_golden_says_so(studio: Studio) -> None:
    body = training(step=lambda number, _o: number % 2 == 1)
    studio.both(body)
    steps = studio.golden().manifest["steps"]
    assert [steps[str(n)]["updated"] for n in range(3)] == [False, True, False]
    assert studio.sites(Kind.UPDATED_WEIGHT, 0) == []
    assert len(studio.sites(Kind.GRADIENT, 0)) == len(studio.sites(Kind.GRADIENT, 1)) == 6


def test_each_step_starts_at_the_references_weights_where_they_were_loaded(studio: Studio) -> None:
    """A fault in one step's update is that step's alone: the next one starts right again."""
    studio.record(training())

    def wrong_once(number: int, optimizer: torch.optim.Optimizer) -> bool:
        optimizer.param_groups[0]["lr"] = 0.5 if number == 0 else 1e-2
        return True

    failure = studio.failure(training(step=wrong_once, asserts=False))
    assert {delta.step for delta in failure.comparison.failures} == {0}


def test_without_load_the_initial_weights_are_compared(studio: Studio) -> None:
    studio.record(training())
    assert studio.check(training(load=False)).passed
    failure = studio.failure(training(load=False, seed=1))
    assert "weight/0.weight" in str(failure)
    assert "0.weight" in str(failure).splitlines()[0]


def test_load_carries_weights_and_buffers_over_in_place(studio: Studio) -> None:
    studio.record(training())

    def body(parity: Any) -> None:
        model = make_model(5)
        optimizer = adamw(model)
        before = list(model.parameters())
        parity.load(model)  # after the optimizer was built
        assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
        assert torch.equal(model[0].weight, make_model(0)[0].weight)
        with parity.watch(model, optimizer=optimizer) as run:
            for batch in run.steps([]):
                optimizer.zero_grad()
                model(batch).square().mean().backward()
                optimizer.step()

    with pytest.raises(ParityFailure, match="loss"):  # the golden's loss was never asserted
        studio.check(body)


def test_load_refuses_a_shape_that_does_not_fit_and_changes_nothing(studio: Studio) -> None:
    studio.record(training())

    def body(parity: Any) -> None:
        model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
        before = [p.detach().clone() for p in model.parameters()]
        with pytest.raises(LoadError, match=r"3\.weight has shape \(3, 8\), the golden's \(2, 8\)") as e:
            parity.load(model)
        assert "nothing was changed" in str(e.value)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        raise StopIteration

    with pytest.raises((StopIteration, RuntimeError)):
        studio.check(body)


def test_keeping_some_steps(studio: Studio) -> None:
    studio.record(training(keep=[0, 2]))
    assert studio.golden().steps == (0, 2)
    assert studio.check(training(keep=[0, 2])).steps == (0, 2)
    studio.record(training(keep=2))
    assert studio.golden().steps == (0, 2)
    with pytest.raises(UsageError, match=r"ended after 3 steps"):
        studio.record(training(keep=[7]))


def test_a_limit_below_the_goldens_steps_leaves_sites_missing(studio: Studio) -> None:
    studio.record(training())
    failure = studio.failure(training(limit=1))
    assert failure.comparison.compared == failure.comparison.expected // 3 - 12  # step 0 has no optimizer state
    assert "missing" in str(failure)


def test_checking_never_touches_the_loader(studio: Studio) -> None:
    studio.record(training())

    class Untouchable:
        def __iter__(self) -> Any:
            raise AssertionError("the loader was touched")

    def body(parity: Any) -> None:
        model = make_model()
        with parity.watch(model, kinds=["weight", "activation"]) as run:
            for batch in run.steps(Untouchable()):
                parity.assert_loss(model(batch).square().mean())
                for name, tensor in model.named_buffers():  # as the optimizer's step would leave them
                    del name, tensor

    with pytest.raises(ParityFailure):
        studio.check(body)  # weights of step 1 differ: nothing was loaded; but no loader was touched


def test_a_batch_is_given_back_as_it_was_before_the_body_changed_it(studio: Studio) -> None:
    model = nn.Linear(8, 2)

    def body(parity: Any) -> None:
        with parity.watch(model, kinds=["weight", "activation"]) as run:
            for batch in run.steps([{"x": b.clone(), "names": ["a", 1], "none": None} for b in BATCHES]):
                assert batch["names"] == ["a", 1]
                assert batch["none"] is None
                parity.assert_outputs(model(batch["x"].add_(1.0)))

    studio.both(body)


def test_two_optimizers_have_sites_of_their_own(studio: Studio) -> None:
    def body(parity: Any) -> None:
        torch.manual_seed(0)
        model = nn.ModuleDict({"g": nn.Linear(8, 8), "d": nn.Linear(8, 1)})
        parity.load(model)
        first = torch.optim.Adam(model["g"].parameters(), lr=0.01)
        second = torch.optim.SGD(model["d"].parameters(), lr=0.01, momentum=0.9)
        with parity.watch(model, optimizer=[first, second]) as run:
            for batch in run.steps(BATCHES):
                for optimizer in (second, first):
                    optimizer.zero_grad()
                    model["d"](model["g"](batch)).square().mean().backward()
                    optimizer.step()
                parity.assert_gradients()
                parity.assert_weights()

    studio.both(body)
    assert "optimizer/d.weight/momentum_buffer@opt1" in studio.sites(Kind.OPTIMIZER, 1)
    assert "optimizer/g.weight/exp_avg" in studio.sites(Kind.OPTIMIZER, 1)


def test_a_step_skipped_by_a_gradient_scaler_has_no_update(studio: Studio) -> None:
    def body(parity: Any) -> None:
        torch.manual_seed(0)
        model = nn.Linear(8, 2)
        parity.load(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        with parity.watch(model, optimizer=optimizer) as run:
            for number, batch in enumerate(run.steps(BATCHES)):
                optimizer.zero_grad()
                loss = model(batch).square().mean() * (float("inf") if number == 1 else 1.0)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()

    studio.record(body)
    steps = studio.golden().manifest["steps"]
    assert [steps[str(n)]["updated"] for n in range(3)] == [True, False, True]
    assert studio.check(body).passed


def test_a_gradient_that_is_none_where_the_golden_has_one_fails(studio: Studio) -> None:
    studio.record(training())

    class Detached(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x).detach()

    def detach(model: nn.Sequential, _optimizer: torch.optim.Optimizer) -> None:
        model[2].forward = Detached().forward

    failure = studio.failure(training(edit=detach, asserts=False))
    kinds = {delta.site.split("/")[0] for delta in failure.comparison.failures}
    assert kinds == {"gradient", "optimizer"}
    assert "gradient" in str(failure).splitlines()[0]


def test_values_of_one_name_twice_in_a_step_are_refused(studio: Studio) -> None:
    def body(parity: Any) -> None:
        parity.assert_close("x", torch.ones(2))
        parity.assert_close("x", torch.ones(2))

    with pytest.raises(UsageError, match="another name"):
        studio.record(body)


def test_outputs_asserted_twice_in_a_step_are_numbered(studio: Studio) -> None:
    def body(parity: Any) -> None:
        parity.assert_outputs((torch.ones(2), torch.zeros(2)))
        parity.assert_outputs(torch.ones(3))

    studio.both(body)
    assert studio.sites(Kind.OUTPUT) == ["output/outputs/out.0", "output/outputs/out.1", "output/outputs#1"]


def test_a_value_that_the_check_never_asserts_is_missing(studio: Studio) -> None:
    def record(parity: Any) -> None:
        parity.assert_close("a", torch.ones(2))
        parity.assert_close("b", torch.ones(2))

    studio.record(record)
    failure = studio.failure(lambda parity: parity.assert_close("a", torch.ones(2)))
    assert "output/b" in str(failure)


def test_nothing_compared_fails_and_nothing_recorded_is_refused(studio: Studio) -> None:
    with pytest.raises(UsageError, match="nothing to record"):
        studio.record(lambda _parity: None)
    studio.record(lambda parity: parity.assert_close("a", torch.ones(2)))
    assert studio.failure(lambda _parity: None).comparison.compared == 0


def test_collect_gathers_every_failure_and_raises_once(studio: Studio) -> None:
    def body(value: float) -> Any:
        def run(parity: Any) -> None:
            with parity.collect():
                parity.assert_close("a", torch.full((2,), value))
                parity.assert_close("b", torch.full((3,), value))
            parity.assert_close("c", torch.ones(1))

        return run

    studio.both(body(1.0))
    failure = studio.failure(body(2.0))
    assert [delta.site for delta in failure.comparison.failures] == ["output/a", "output/b"]


def test_an_input_that_the_golden_has_not_is_an_error(studio: Studio) -> None:
    studio.record(lambda parity: parity.assert_close("y", parity.input("x", lambda: torch.ones(2))))
    with pytest.raises(GoldenError, match=r"no input 'z'.*it has x"):
        studio.check(lambda parity: parity.input("z", lambda: torch.ones(2)))


def test_two_watches_are_refused(studio: Studio) -> None:
    def body(parity: Any) -> None:
        parity.watch(nn.Linear(2, 2))
        parity.watch(nn.Linear(2, 2))

    with pytest.raises(UsageError, match="ModuleDict"):
        studio.record(body)


def test_call_site_tolerances_need_the_step_in_memory(studio: Studio) -> None:
    studio.record(training())

    def looser(parity: Any) -> None:
        model = make_model()
        parity.load(model)
        optimizer = adamw(model)
        model[3].weight.register_hook(lambda g: g * 1.001)
        with parity.watch(model, optimizer=optimizer) as run:
            for batch in run.steps(BATCHES):
                optimizer.zero_grad()
                loss = model(batch).square().mean()
                loss.backward()
                optimizer.step()
                parity.assert_loss(loss)
                parity.assert_gradients(rtol=1e-2, atol=1e-6)
                parity.collecting = None

    # the optimizer's own state follows the gradient; it is what fails at the default tolerance
    failure = studio.failure(looser)
    assert not any(delta.site.startswith("gradient") for delta in failure.comparison.failures)
    with pytest.raises(UsageError, match=r"parity_memory.*tolerances=\{'gradient': \(0\.01, 1e-06\)\}"):
        studio.check(looser, memory=100)


def test_streaming_and_kept_checks_have_the_same_verdicts(studio: Studio) -> None:
    studio.record(training(limit=1))

    def nudge(model: nn.Module, _optimizer: torch.optim.Optimizer) -> None:
        with torch.no_grad():
            model[3].weight.mul_(1.0 + 1e-7)

    kept = studio.check(training(load=False, edit=nudge, limit=1))
    streamed = studio.check(training(load=False, edit=nudge, limit=1), memory=0)
    assert kept.counts == streamed.counts
    assert kept.counts["close"] > 0


def test_a_failing_check_leaves_what_failed_and_a_passing_one_clears_it(studio: Studio) -> None:
    from pytest_parity.golden import Golden

    studio.record(training())
    studio.failure(training(edit=lambda _m, o: o.param_groups[0].update(lr=2e-2), asserts=False))
    left = Golden.find(studio.path / "out", "case")
    assert "updated_weight/0.weight" in {str(entry.site) for entry in left.entries(0)}
    assert (studio.path / "out" / ".gitignore").read_text() == "*\n"
    studio.check(training())
    assert not (studio.path / "out" / "case").exists()


def test_structure_is_compared_before_any_number(studio: Studio) -> None:
    studio.record(training())

    def body(parity: Any) -> None:
        model = make_model()
        model[3].bias.requires_grad_(False)
        with parity.watch(model, optimizer=adamw(model)):
            raise AssertionError("the model ran")

    failure = studio.failure(body)
    assert "3.bias" in str(failure).splitlines()[0]


def test_structure_alone(studio: Studio) -> None:
    studio.record(lambda parity: parity.assert_structure(make_model()))
    assert not list((studio.path / "golden").rglob("*.safetensors"))
    comparison = studio.check(lambda parity: parity.assert_structure(make_model(3)))
    assert (comparison.compared, comparison.expected) == (9, 9)
    assert comparison.notes == ("structure: 106 parameters, 106 train",)
    failure = studio.failure(lambda parity: parity.assert_structure(nn.Sequential(*make_model()[:3])))
    assert "3.weight" in str(failure)


def test_a_subclass_that_calls_its_bases_step_takes_one_step(studio: Studio) -> None:
    """Once an instance of the base was made, torch runs the step's hooks for both classes."""
    torch.optim.SGD(make_model().parameters(), lr=0.1)

    class Derived(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    studio.both(training(lambda m: Derived(m.parameters(), lr=0.1)))
    assert studio.golden().manifest["steps"]["0"]["optimizer_steps"] == [1]
    studio.both(training(lambda m: Derived(m.parameters(), lr=0.1), closure=True))
