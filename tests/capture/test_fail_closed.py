"""Ways in which a check could have passed with something wrong, or not looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity import CaptureError, UsageError
from pytest_parity.settings import MarkerOptions

BATCHES = [torch.randn(4, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
After = Callable[[nn.Module, torch.optim.Optimizer], None]


def loop(
    make: Callable[[nn.Module], torch.optim.Optimizer] | None = lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
    *,
    model: Callable[[], nn.Module] = lambda: nn.Linear(3, 2),
    after: After | None = None,
    stop: int | None = None,
    scale: float = 1.0,
    load: bool = True,
    watch: dict[str, Any] | None = None,
    keep: Any = None,
) -> Callable[[Any], None]:
    def body(parity: Any) -> None:
        torch.manual_seed(0)
        one = model()
        if load:
            parity.load(one)
        optimizer = make(one) if make else None
        with parity.watch(one, optimizer=optimizer, **(watch or {})) as run:
            for number, batch in enumerate(run.steps(BATCHES, keep=keep)):
                one.zero_grad()
                (one(batch).square().mean() * scale).backward()
                if optimizer is not None:
                    optimizer.step()
                if after is not None and optimizer is not None:
                    after(one, optimizer)
                if number == stop:
                    break

    return body


def halve(model: nn.Module, _optimizer: torch.optim.Optimizer) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.data.mul_(0.5)


def test_a_second_step_of_the_optimizer_is_seen(studio: Studio) -> None:
    studio.record(loop())
    failure = studio.failure(loop(after=lambda _m, o: o.step()))
    assert "updated_weight/weight" in str(failure)
    assert "SGD took 2 steps in step 0" in str(failure)


def test_weights_changed_after_the_step_are_seen(studio: Studio) -> None:
    studio.record(loop())
    failure = studio.failure(loop(after=halve))
    assert "updated_weight/weight" in str(failure)
    assert "weights change besides the optimizer's step" in str(failure)


def test_weights_changed_after_the_step_by_both_agree_and_the_line_says_how_they_are_judged(studio: Studio) -> None:
    studio.record(loop(after=halve))
    comparison = studio.check(loop(after=halve))
    assert comparison.passed
    assert any("weights change besides the optimizer's step" in note for note in comparison.notes)
    assert studio.failure(loop())


class Averaged(nn.Module):
    """Puts another tensor in its buffer's place."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.lin, self.factor = nn.Linear(3, 2), factor
        self.register_buffer("average", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.lin(x)
        self.average = self.factor * self.average + (1 - self.factor) * out.detach().mean(0)
        return out


def test_a_buffer_that_the_forward_replaces_is_followed(studio: Studio) -> None:
    studio.both(loop(model=lambda: Averaged(0.9)))
    assert "updated_weight/average" in str(studio.failure(loop(model=lambda: Averaged(0.1))))


def test_a_loop_left_by_break_ends_its_step(studio: Studio) -> None:
    studio.record(loop(stop=1))
    assert "updated_weight/weight" in {str(entry.site) for entry in studio.golden().entries(1)}
    assert studio.check(loop(stop=1)).passed
    studio.record(loop(None, stop=0))
    assert "gradient/weight" in str(studio.failure(loop(None, stop=0, scale=5.0)))


def test_optimizer_state_that_the_candidate_has_not_is_missing(studio: Studio) -> None:
    def adam(*, amsgrad: bool) -> Callable[[nn.Module], torch.optim.Optimizer]:
        return lambda m: torch.optim.Adam(m.parameters(), lr=0.1, amsgrad=amsgrad)

    studio.record(loop(adam(amsgrad=True)))
    failure = studio.failure(loop(adam(amsgrad=False)))
    assert "max_exp_avg_sq" in str(failure)
    assert "missing" in str(failure)


def test_kinds_may_be_a_generator(studio: Studio) -> None:
    studio.record(loop(watch={"kinds": (kind for kind in ["weight", "activation", "gradient"])}))
    assert {entry.site.kind.value for entry in studio.golden().entries(0)} == {
        "batch",
        "weight",
        "activation",
        "gradient",
    }


def test_kinds_that_an_optimizer_leaves_need_one(studio: Studio) -> None:
    studio.record(loop(watch={"kinds": ["weight", "updated_weight"]}))
    with pytest.raises(UsageError, match="updated_weight, which an optimizer leaves"):
        studio.check(loop(None, watch={"kinds": ["weight", "updated_weight"]}))


def test_a_structure_does_not_stand_in_for_values(studio: Studio) -> None:
    def body(parity: Any) -> None:
        with parity.watch(nn.Linear(3, 2), kinds=["gradient"]):
            pass

    with pytest.raises(UsageError, match="nothing to record"):
        studio.record(body)


def test_asserting_gradients_that_there_are_none_of_is_an_error(studio: Studio) -> None:
    def body(parity: Any) -> None:
        model = parity.load(nn.Linear(3, 2))
        with parity.watch(model):
            model(parity.input("x", lambda: torch.ones(1, 3)))
        parity.assert_gradients()

    studio.record(body)
    with pytest.raises(UsageError, match=r"has no gradient on either side\. Was backward run"):
        studio.check(body)


def test_gradients_of_a_backward_after_the_watch_are_read_at_the_end(studio: Studio) -> None:
    def body(scale: float) -> Callable[[Any], None]:
        def run(parity: Any) -> None:
            model = parity.load(nn.Linear(3, 2))
            with parity.watch(model):
                out = model(parity.input("x", lambda: torch.ones(1, 3)))
            (out.sum() * scale).backward()

        return run

    studio.both(body(1.0))
    assert "gradient/weight" in str(studio.failure(body(2.0)))


class Mask(nn.Module):
    def __init__(self, wrap: Callable[[torch.Tensor], Any], value: float) -> None:
        super().__init__()
        self.wrap, self.value = wrap, value

    def forward(self, x: torch.Tensor) -> Any:
        return self.wrap(torch.full_like(x, self.value))


class Masked(nn.Module):
    def __init__(
        self, wrap: Callable[[torch.Tensor], Any], unwrap: Callable[[Any], torch.Tensor], value: float
    ) -> None:
        super().__init__()
        self.mask, self.lin, self.unwrap = Mask(wrap, value), nn.Linear(3, 2), unwrap

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lin(x * self.unwrap(self.mask(x)))


@dataclass
class Output:
    mask: torch.Tensor


@pytest.mark.parametrize(
    ("wrap", "unwrap"),
    [
        (lambda t: t, lambda v: v),
        (lambda t: {"m": t}, lambda v: v["m"]),
        (lambda t: (1, [t]), lambda v: v[1][0]),
        (Output, lambda v: v.mask),
    ],
    ids=["tensor", "dict", "nested", "dataclass"],
)
def test_a_replayed_output_is_replaced_whatever_holds_it(studio: Studio, wrap: Any, unwrap: Any) -> None:
    marker = MarkerOptions(replay=("mask",))
    studio.record(loop(None, model=lambda: Masked(wrap, unwrap, 1.0)), marker)
    comparison = studio.check(loop(None, model=lambda: Masked(wrap, unwrap, 0.0)), marker)
    assert comparison.passed
    assert comparison.counts["replayed"] == 3


def test_replay_does_not_forgive_another_shape_or_dtype(studio: Studio) -> None:
    marker = MarkerOptions(replay=("mask",))
    studio.record(loop(None, model=lambda: Masked(lambda t: t, lambda v: v, 1.0)), marker)
    for wrap in (lambda t: t[:1], torch.Tensor.double):
        failure = studio.failure(
            loop(None, model=lambda wrap=wrap: Masked(wrap, lambda v: v.float(), 1.0)), marker=marker
        )
        assert "mask" in str(failure).splitlines()[0]


def test_a_replay_pattern_that_matches_no_module_is_an_error(studio: Studio) -> None:
    with pytest.raises(UsageError, match="replay='maks' matches no module"):
        studio.record(loop(None), MarkerOptions(replay=("maks",)))


def test_a_watch_is_entered_once(studio: Studio) -> None:
    def body(parity: Any) -> None:
        model = nn.Linear(3, 2)
        watch = parity.watch(model)
        for _ in range(2):
            with watch:
                model(torch.ones(1, 3))

    with pytest.raises(UsageError, match="used already"):
        studio.record(body)


def test_a_kept_step_can_be_checked_alone_under_a_schedule(studio: Studio) -> None:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        optimizer.schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)  # type: ignore[attr-defined]
        return optimizer

    body = loop(make, after=lambda _m, o: o.schedule.step(), keep=[2])  # type: ignore[attr-defined]
    studio.record(body)
    assert studio.check(body).passed


def test_values_before_a_loop_that_keeps_later_steps(studio: Studio) -> None:
    def body(parity: Any) -> None:
        parity.assert_close("before", torch.ones(1))
        loop(keep=[2])(parity)

    studio.record(body)
    comparison = studio.check(body)
    assert comparison.passed
    assert comparison.steps == (0, 2)


class Sharpness(torch.optim.SGD):
    """As methods do that evaluate the loss twice."""

    def step(self, closure: Any) -> Any:
        return super().step(closure)


class Counting(torch.optim.SGD):
    """Changes its rate by a count of its own."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.taken = [0]

    def step(self, closure: Any = None) -> Any:
        self.taken[0] += 1
        self.param_groups[0]["lr"] = 0.1 / self.taken[0]
        return super().step(closure)


class Fussy(torch.optim.SGD):
    """Wants its own parameters."""

    mine: torch.Tensor

    def step(self, closure: Any = None) -> Any:
        if self.param_groups[0]["params"][0] is not self.mine:
            raise RuntimeError("whose are these?")
        return super().step(closure)


def test_an_optimizer_of_ones_own_is_not_advanced_by_the_check(studio: Studio) -> None:
    studio.both(loop(lambda m: Counting(m.parameters(), lr=0.1)))


def test_an_optimizer_that_cannot_step_on_copies_is_judged_by_its_own_gradients(studio: Studio) -> None:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        Fussy.mine = model.weight
        return Fussy(model.parameters(), lr=0.1)

    studio.record(loop(make))
    comparison = studio.check(loop(make))
    assert comparison.passed
    assert "whose are these?" in str(comparison.notes)


def test_a_looser_tolerance_does_not_fail_an_isolated_update(studio: Studio) -> None:
    def body(*, loose: bool) -> Callable[[Any], None]:
        def run(parity: Any) -> None:
            torch.manual_seed(0)
            model = nn.Linear(3, 2)
            with torch.no_grad():
                model.weight.add_(0.0 if parity.recording else 1e-3)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            tolerances = {"*": (5e-2, 5e-2)}
            with parity.watch(model, optimizer=optimizer, tolerances=tolerances) as steps:
                for batch in steps.steps(BATCHES, limit=1):
                    model(batch).square().mean().backward()
                    optimizer.step()
                    if loose:
                        parity.assert_weights(rtol=6e-2, atol=5e-2)

        return run

    studio.record(body(loose=False))
    assert studio.check(body(loose=False)).passed
    assert studio.check(body(loose=True)).passed


def test_two_keys_with_one_path_are_refused(studio: Studio) -> None:
    with pytest.raises(CaptureError, match="two tensors at '1'"):
        studio.record(lambda parity: parity.input("x", lambda: {1: torch.ones(1), "1": torch.zeros(1)}))


def test_of_several_optimizers_the_right_one_is_named(studio: Studio) -> None:
    def body(rate: float) -> Callable[[Any], None]:
        def run(parity: Any) -> None:
            torch.manual_seed(0)
            model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 1)})
            parity.load(model)
            first = torch.optim.Adam(model["a"].parameters(), lr=0.01)
            second = torch.optim.SGD(model["b"].parameters(), lr=rate)
            with parity.watch(model, optimizer=[first, second]) as steps:
                for batch in steps.steps(BATCHES):
                    model.zero_grad()
                    model["b"](model["a"](batch)).square().mean().backward()
                    first.step()
                    second.step()

        return run

    studio.record(body(0.1))
    lines = str(studio.failure(body(0.2))).splitlines()
    assert "SGD: its update of b.weight" in lines[0]
    assert "lr is 0.2, the golden's run had 0.1" in lines[1]


def test_outputs_in_which_no_tensor_is_seen_are_named(studio: Studio) -> None:
    class Box:
        def __init__(self, inside: torch.Tensor) -> None:
            self.inside = inside

    class Boxing(nn.Module):
        def forward(self, x: torch.Tensor) -> Box:
            return Box(x)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.box, self.lin, self.idle = Boxing(), nn.Linear(3, 2), nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lin(self.box(x).inside)

    comparison = studio.both(loop(None, model=Model))
    assert comparison.notes == (
        "outputs in which no tensor can be seen: box",
        "modules that were never called: idle",
    )


def before_step(edit: Callable[[nn.Module], None], *, shared: bool = False) -> Callable[..., Callable[[Any], None]]:
    """A loop whose body changes the weights between backward and step; ``shared`` has two optimizers on one model."""

    def make(*, faulty: bool) -> Callable[[Any], None]:
        def body(parity: Any) -> None:
            torch.manual_seed(0)
            model = parity.load(nn.Linear(3, 2))
            optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(2 if shared else 1)]
            with parity.watch(model, optimizer=optimizers) as run:
                for batch in run.steps(BATCHES):
                    model.zero_grad()
                    model(batch).square().mean().backward()
                    if faulty:
                        edit(model)
                    for optimizer in optimizers:
                        optimizer.step()

        return body

    return make


def scale(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data.mul_(0.9)


def test_weights_changed_between_backward_and_step(studio: Studio) -> None:
    make = before_step(scale)
    studio.record(make(faulty=False))
    assert "updated_weight/weight" in str(studio.failure(make(faulty=True)))
    studio.both(make(faulty=True))
    assert studio.failure(make(faulty=False))


def test_two_optimizers_on_the_same_parameters(studio: Studio) -> None:
    studio.both(before_step(scale, shared=True)(faulty=False))


def hooked(register: str, edit: Callable[[torch.optim.Optimizer], None]) -> Any:
    def make(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        getattr(optimizer, register)(lambda one, *_: edit(one))
        return optimizer

    return make


def each(optimizer: torch.optim.Optimizer) -> Any:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def halve_weights(optimizer: torch.optim.Optimizer) -> None:
    for parameter in each(optimizer):
        parameter.data.mul_(0.5)


def shrink_gradients(optimizer: torch.optim.Optimizer) -> None:
    for parameter in each(optimizer):
        parameter.grad.mul_(0.1)


@pytest.mark.parametrize(
    ("register", "edit"),
    [("register_step_post_hook", halve_weights), ("register_step_pre_hook", shrink_gradients)],
    ids=["after", "before"],
)
def test_hooks_of_ones_own_on_the_optimizer(studio: Studio, register: str, edit: Any) -> None:
    studio.both(loop(hooked(register, edit)))
    studio.record(loop())
    assert studio.failure(loop(hooked(register, edit)))


class Noisy(torch.optim.SGD):
    """Draws."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for parameter in each(self):
            parameter.data.add_(torch.randn_like(parameter) * 0.01)
        return loss


def test_an_optimizer_that_draws_is_repeated_and_what_the_body_draws_next_is_the_same(studio: Studio) -> None:
    def body(parity: Any) -> None:
        torch.manual_seed(0)
        model = parity.load(nn.Linear(3, 2))
        optimizer = Noisy(model.parameters(), lr=0.1)
        with parity.watch(model, optimizer=optimizer) as run:
            for batch in run.steps(BATCHES):
                model.zero_grad()
                model(batch).square().mean().backward()
                optimizer.step()
                parity.assert_close("drawn", torch.randn(3))

    studio.both(body)


class Schooled(torch.optim.SGD):
    """Counts in a tensor of its group, and keeps a list in its state."""

    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        group["k"] = group.get("k", torch.tensor(0.0))
        group["k"] += 1
        for parameter in each(self):
            seen = self.state[parameter].setdefault("seen", [torch.zeros(())])
            seen[0] += 1
            parameter.data.mul_(1 - 0.01 * seen[0])
        return super().step(closure)


def test_groups_and_state_of_any_make_are_left_alone_and_judged(studio: Studio) -> None:
    counts: list[float] = []

    def after(_model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        counts.append(float(optimizer.param_groups[0]["k"]))

    studio.both(loop(lambda m: Schooled(m.parameters(), lr=0.1), after=after))
    assert counts == [1.0, 2.0, 3.0] * 2


def by_hand(rate: float, *, load: bool = True) -> Callable[[Any], None]:
    def body(parity: Any) -> None:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        if load:
            parity.load(model)
        with parity.watch(model) as run:
            for batch in run.steps(BATCHES):
                model.zero_grad()
                model(batch).square().mean().backward()
                for parameter in model.parameters():
                    parameter.data.sub_(rate * parameter.grad)

    return body


@pytest.mark.parametrize("load", [True, False], ids=["loaded", "not loaded"])
def test_weights_stepped_by_hand_are_compared_where_the_next_step_begins(studio: Studio, load: bool) -> None:
    studio.both(by_hand(0.1, load=load))
    failure = studio.failure(by_hand(0.9, load=load))
    assert "weight/weight" in str(failure)
    assert {delta.step for delta in failure.comparison.failures} >= {1}


def test_gradients_of_a_step_that_is_not_kept_are_not_those_of_the_step_before(studio: Studio) -> None:
    def body(parity: Any) -> None:
        torch.manual_seed(0)
        model = parity.load(nn.Linear(3, 2))
        with parity.watch(model) as run:
            for number, batch in enumerate(run.steps(BATCHES, keep=2)):
                model.zero_grad()
                out = model(batch).sum()
                if parity.recording and number == 1:
                    out.backward()

    studio.both(body)
    assert not any(entry.site.kind.value == "gradient" for entry in studio.golden().entries(0))
    assert any("no gradient was observed" in note for note in studio.check(body).notes)
