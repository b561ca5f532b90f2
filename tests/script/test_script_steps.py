"""A step is one batch, as in Lightning; without batches it is what an optimizer's step ends."""

from __future__ import annotations

from typing import Any

import torch
from outside import Outside, data, loss_of, net
from torch import nn

from pytest_parity.settings import Mode
from pytest_parity.site import Kind


def calls(outside: Outside, step: int = 0) -> list[str]:
    return [site for site in outside.sites(Kind.ACTIVATION, step) if "/0#" in site]


def updated(outside: Outside) -> list[bool]:
    golden = outside.golden()
    return [golden.manifest["steps"][str(step)]["updated"] for step in golden.steps]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> None:
    optimizer.zero_grad()
    loss_of(model, batch).backward()
    optimizer.step()


def test_each_batch_is_a_step_over_epochs(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(2):
            for batch in data():
                train(model, optimizer, batch)

    golden = outside.record(script, steps=(0, 2, 3, 5))
    assert golden.steps == (0, 2, 3, 5)
    assert all(outside.sites(Kind.BATCH, step) == ["batch/loader/0", "batch/loader/1"] for step in golden.steps)


def test_gradient_accumulation_has_a_step_for_each_batch(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for number, batch in enumerate(data(16)):
            loss_of(model, batch).backward()
            if number % 2:
                optimizer.step()
                optimizer.zero_grad()

    outside.record(script, first=4)
    assert updated(outside) == [False, True, False, True]


def test_sliced_batches_end_with_the_optimizers_step(outside: Outside) -> None:
    def script() -> None:
        model, x = net(), torch.randn(12, 4)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for start in range(0, 12, 4):
            optimizer.zero_grad()
            model(x[start : start + 4]).square().mean().backward()
            optimizer.step()

    golden = outside.record(script)
    assert golden.steps == (0, 1, 2)
    assert len(calls(outside)) == 1
    assert len(outside.losses()) == 3


def test_one_batch_that_is_trained_on_again_has_a_step_each_time(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        batch = next(iter(data()))
        for _ in range(3):
            train(model, optimizer, batch)

    assert outside.record(script).steps == (0, 1, 2)
    assert len(outside.sites(Kind.BATCH, 0)) == 2


def validate(model: nn.Module, *, mode: bool, gradients: bool) -> None:
    model.train(mode)
    with torch.set_grad_enabled(gradients):
        for batch in data(seed=9):
            loss_of(model, batch)
    model.train()


def validated(*, mode: bool, gradients: bool, every: int = 2, first: bool = False) -> Any:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        if first:
            validate(model, mode=mode, gradients=gradients)
        for number, batch in enumerate(data(16)):
            train(model, optimizer, batch)
            if every and number % every == 1:
                validate(model, mode=mode, gradients=gradients)

    return script


def test_validation_between_steps_is_none_whatever_way_it_is_done(outside: Outside) -> None:
    ways = [{"mode": mode, "gradients": gradients} for mode in (True, False) for gradients in (True, False)]
    outside.record(validated(**ways[0], every=0), first=4)
    for way in ways:
        outcome = outside.check(validated(**way))
        assert outcome.kind == "passed", (way, outcome.lines)


def test_validation_before_training_is_no_step(outside: Outside) -> None:
    outside.record(validated(mode=False, gradients=False, every=0), first=4)
    for mode, gradients in ((False, False), (False, True), (True, True), (True, False)):
        outcome = outside.check(validated(mode=mode, gradients=gradients, first=True))
        assert outcome.kind == "passed", (mode, gradients, outcome.lines)


def test_validation_amid_accumulated_batches_ends_the_step_before(outside: Outside) -> None:
    def script(*, validating: bool) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for number, batch in enumerate(data(16)):
            loss_of(model, batch).backward()
            if validating and number == 0:
                validate(model, mode=False, gradients=False)
            if number % 2:
                optimizer.step()
                optimizer.zero_grad()

    outside.record(lambda: script(validating=False))
    assert outside.check(lambda: script(validating=True)).kind == "passed"


def test_a_second_loader_within_a_step_does_not_end_it(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        further = iter(data(seed=5))
        for batch in data():
            loss = loss_of(model, batch)
            loss = loss + model(next(further)[0]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    assert outside.record(script).steps == (0, 1, 2)
    assert [len(calls(outside, step)) for step in range(3)] == [2, 2, 2]


def test_loaders_drawn_together_make_one_batch(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch, other in zip(data(), data(seed=5), strict=True):
            loss = loss_of(model, batch) + loss_of(model, other)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    assert outside.record(script).steps == (0, 1, 2)
    assert len(outside.sites(Kind.BATCH, 1)) == 4


def test_a_loader_made_anew_each_epoch_goes_on(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for epoch in range(3):
            loader = data(8, seed=epoch)
            for batch in loader:
                train(model, optimizer, batch)
            del loader

    assert outside.record(script, first=6).steps == (0, 1, 2, 3, 4, 5)


def test_what_a_loader_gave_for_a_look_is_no_batch(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        sum(x.mean() for x, _ in data(seed=7))
        loader = data()
        next(iter(loader))
        for batch in loader:
            train(model, optimizer, batch)

    outside.record(script)
    assert len(outside.sites(Kind.BATCH, 0)) == 2


def test_a_call_that_tries_the_model_is_no_step(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in data(seed=3):
            model(batch[0])
            break
        for batch in data():
            train(model, optimizer, batch)

    golden = outside.record(script)
    assert golden.steps == (0, 1, 2)
    assert len(calls(outside)) >= 1


def test_two_optimizers_of_one_model_share_its_steps(outside: Outside) -> None:
    def script() -> None:
        model, x = net(), torch.randn(4, 4)
        one = torch.optim.SGD(model[0].parameters(), 0.1)
        other = torch.optim.Adam(model[2].parameters(), 0.1)
        for _ in range(3):
            model.zero_grad()
            model(x).square().mean().backward()
            one.step()
            other.step()

    golden = outside.record(script)
    assert golden.steps == (0, 1, 2)
    assert golden.manifest["settings"]["optimizers"] == ["SGD", "Adam"]


def test_an_optimizer_that_never_steps_does_not_make_one_step_of_a_whole_training(outside: Outside) -> None:
    def script() -> None:
        model, x = net(), torch.randn(4, 4)
        warm, optimizer = torch.optim.SGD(model.parameters(), 0.1), torch.optim.Adam(model.parameters(), 0.1)
        for _ in range(4):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
        assert warm.param_groups

    outcome = outside.run(script, Mode.RECORD)
    assert outcome.kind == "error"
    assert "all optimizers of the model have stepped, and SGD has not, while another stepped" in outcome.lines[0]


def test_optimizers_that_take_turns_share_a_step(outside: Outside) -> None:
    def script() -> None:
        model, x = net(), torch.randn(4, 4)
        often, seldom = torch.optim.SGD(model[0].parameters(), 0.1), torch.optim.Adam(model[2].parameters(), 0.1)
        for number in range(8):
            model.zero_grad()
            model(x).square().mean().backward()
            (seldom if number % 4 == 3 else often).step()

    assert outside.record(script, first=2).steps == (0, 1)
    assert len(calls(outside)) == 4


def test_lbfgs_has_all_its_closures_in_one_step(outside: Outside) -> None:
    def script() -> None:
        model, x = net(), torch.randn(4, 4)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)

    assert outside.record(script, first=2).steps == (0, 1)
    assert len(calls(outside)) == 3
    assert outside.check(script).kind == "passed"


def scaled(*, overflow: bool = False) -> Any:
    def script() -> None:
        model, x = net(), torch.randn(8, 4)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40 if overflow else 1024.0)
        for start in (0, 4, 0):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(x[start : start + 4]).float().square().mean()
            scale = 1e30 if overflow and start == 4 else 1.0
            scaler.scale(loss * scale).backward()
            scaler.step(optimizer)
            scaler.update()

    return script


def test_the_loss_is_the_one_before_a_scaler(outside: Outside) -> None:
    outside.record(scaled())
    assert all(0 < loss < 10 for loss in outside.losses())


def test_a_step_that_a_scaler_skips_is_a_step(outside: Outside) -> None:
    golden = outside.record(scaled(overflow=True))
    assert golden.steps == (0, 1, 2)
    assert updated(outside) == [True, False, True]


def test_a_model_that_is_trained_in_eval_mode_has_steps(outside: Outside) -> None:
    def script() -> None:
        model = net().eval()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in data():
            train(model, optimizer, batch)

    assert outside.record(script).steps == (0, 1, 2)


def test_a_scheduled_end_of_accumulation_belongs_to_the_last_batch(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), 0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        for batch in data():
            train(model, optimizer, batch)
            schedule.step()

    golden = outside.record(script)
    assert [golden.manifest["steps"][str(step)]["hyperparameters"]["0"][0]["lr"] for step in range(3)] == [
        0.1,
        0.05,
        0.1 / 3,
    ]


def test_a_call_without_gradients_before_the_steps_own_is_no_part_of_it(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in data():
            with torch.no_grad():
                model(batch[0])
            train(model, optimizer, batch)

    outside.record(script)
    assert [len(calls(outside, step)) for step in range(3)] == [1, 1, 1]
    assert len(outside.sites(Kind.BATCH, 1)) == 2


def test_a_batch_is_kept_as_the_loader_gave_it(outside: Outside) -> None:
    def script(*, changing: bool) -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.0)
        for batch in data():
            if changing:
                batch[0].zero_()
            train(model, optimizer, batch)

    outside.record(lambda: script(changing=False), kinds=("weight",))
    outcome = outside.check(lambda: script(changing=True))
    assert outcome.lines[0] == "case step 0: the loss is the first site that differs"
