"""The script's own bits are those of a plain run, and torch is as it was when the last step that is kept is over."""

from __future__ import annotations

import os
import random
import sys
from typing import Any

import pytest
import torch
from outside import Outside, as_a_process, data, loss_of, net
from torch import nn
from torch.utils.data import DataLoader, dataloader

from pytest_parity.cli.outside import loop
from pytest_parity.settings import Mode
from pytest_parity.site import Kind

ITERATOR = dataloader._BaseDataLoaderIter


def functions() -> list[Any]:
    owners = {
        nn.Module: ["__call__"],
        torch.autograd: ["backward"],
        torch.amp.GradScaler: ["scale", "step"],
        ITERATOR: ["__init__", "__next__"],
        sys: ["exit", "excepthook"],
        torch.optim.Optimizer: ["__init__"],
    }
    return [vars(owner)[name] for owner, names in owners.items() for name in names]


def training(seen: list[Any], *, steps: int = 4) -> Any:
    def script() -> None:
        torch.manual_seed(3)
        random.seed(3)
        model = net(nn.Dropout(0.3), nn.BatchNorm1d(6))
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        shuffled = DataLoader(data().dataset, batch_size=3, shuffle=True, num_workers=0)
        for _, batch in zip(range(steps), shuffled, strict=False):
            optimizer.zero_grad()
            loss = loss_of(model, batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            seen.append(loss.detach().clone())
        seen.extend(tensor.clone() for tensor in model.state_dict().values())
        seen.extend([torch.get_rng_state(), torch.tensor(random.random())])

    return script


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def test_a_recorded_and_a_checked_script_compute_the_bits_of_a_plain_run(outside: Outside) -> None:
    plain: list[Any] = []
    recorded: list[Any] = []
    checked: list[Any] = []
    training(plain)()
    outside.record(training(recorded), first=2)
    outcome = outside.check(training(checked))
    assert same(plain, recorded)
    assert same(plain, checked)
    assert outcome.comparison is not None
    assert set(outcome.comparison["counts"]) == {"equal"}


def test_keyed_streams_are_another_runs_bits(outside: Outside) -> None:
    plain: list[Any] = []
    keyed: list[Any] = []
    training(plain)()
    outside.record(training(keyed), rng="keyed")
    assert not same(plain, keyed)
    assert outside.check(training([])).kind == "passed"


def test_torch_is_as_it_was_once_the_last_step_is_over(outside: Outside) -> None:
    before = functions()
    during: list[Any] = []

    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        during.append(functions())
        for number, batch in enumerate(data(16)):
            if number == 2:
                during.append(functions())
                hooks = [one._forward_hooks or one._forward_pre_hooks for one in model.modules()]
                assert not any(hooks)
                assert not optimizer._optimizer_step_pre_hooks
                assert not optimizer._optimizer_step_post_hooks
            loss_of(model, batch).backward()
            optimizer.step()

    outside.record(script, first=2)
    first, last = during
    assert all(one is not other for one, other in zip(before, first, strict=True))
    assert all(one is other for one, other in zip(before, last, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork processes")
def test_a_forked_process_writes_nothing_into_the_case(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in data():
            loss_of(model, batch).backward()
            optimizer.step()
            child = os.fork()
            if child == 0:
                try:
                    wrong = loop._LOOPS[0]._driven is not None or any(one._forward_hooks for one in model.modules())
                    model(batch[0])
                finally:
                    os._exit(1 if wrong else 0)
            assert os.waitpid(child, 0)[1] == 0

    golden = outside.record(script)
    assert golden.steps == (0, 1, 2)
    assert len(outside.sites(Kind.ACTIVATION, 0)) == 4


def test_workers_of_a_loader_are_left_alone(outside: Outside) -> None:
    def script() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in data(num_workers=1):
            loss_of(model, batch).backward()
            optimizer.step()

    assert outside.record(script).steps == (0, 1, 2)
    assert outside.check(script).kind == "passed"


class Broken(RuntimeError):
    pass


def test_a_defect_of_ours_is_told_and_the_script_goes_on(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> None:
        raise Broken("no such luck")

    monkeypatch.setattr("pytest_parity.capture.modules.ModuleObserver._see_outputs", broken)
    seen: list[Any] = []
    plain: list[Any] = []
    outcome = outside.run(training(seen), Mode.RECORD)
    monkeypatch.undo()
    training(plain)()
    assert same(seen, plain)
    assert outcome.kind == "error"
    assert outcome.lines[0] == (
        "a defect of pytest-parity, please report it: Broken: no such luck; the script went on without us"
    )
    assert not (outside.path / "golden").exists()


def test_a_full_disk_is_told_and_the_script_goes_on(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_parity.golden.writer.GoldenWriter.write", full)
    seen: list[Any] = []
    outcome = outside.run(training(seen), Mode.RECORD)
    assert len(seen) > 4
    assert outcome.kind == "error"
    assert outcome.lines[0] == "[Errno 28] No space left on device; the script went on without us"


def test_a_process_that_makes_no_optimizer_is_not_touched() -> None:
    before = functions()
    with as_a_process():
        during = functions()
    assert [one is other for one, other in zip(before, during, strict=True)].count(False) == 1
    assert all(one is other for one, other in zip(before, functions(), strict=True))
