"""What a check of a script says: what differs, what was drawn by another seed, what was not reached."""

from __future__ import annotations

import re
import sys
from itertools import islice
from typing import Any

import torch
from outside import Outside, data, loss_of, net
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pytest_parity.session.plan import Outcome
from pytest_parity.settings import Batches, Mode


def script(
    *, seed: int = 0, drop: float = 0.0, steps: int = 3, scale: float = 1.0, shuffle: bool = False, batches: Any = None
) -> Any:
    def run() -> None:
        model = net(nn.Dropout(drop))
        torch.manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in islice(batches or data(shuffle=shuffle), steps):
            optimizer.zero_grad()
            (loss_of(model, batch) * scale).backward()
            optimizer.step()

    return run


def said(outcome: Outcome) -> str:
    return "\n".join(outcome.lines)


def test_another_loss_is_the_first_line(outside: Outside) -> None:
    outside.record(script())
    outcome = outside.check(script(scale=1.01))
    assert outcome.kind == "failed"
    assert outcome.lines[0].startswith("case step 0: the loss is the first")


def test_dropout_by_another_seed_is_said_to_be_the_scripts_own_drawing(outside: Outside) -> None:
    outside.record(script(drop=0.3))
    outcome = outside.check(script(drop=0.3, seed=1))
    assert outcome.kind == "failed"
    assert outcome.lines[0].startswith("case step 0: module 2 is the first module whose output differs")
    assert "by another seed, or in another order, they differ" in outcome.lines[-1]
    assert "record the golden with --rng keyed" in outcome.lines[-1]


def test_a_difference_without_drawing_is_not_put_down_to_it(outside: Outside) -> None:
    outside.record(script())
    assert "--rng keyed" not in said(outside.check(script(scale=2.0)))


def test_keyed_streams_make_the_seed_no_matter(outside: Outside) -> None:
    outside.record(script(drop=0.3, shuffle=True), rng="keyed")
    outcome = outside.check(script(drop=0.3, shuffle=True, seed=5))
    assert outcome.kind == "passed", outcome.lines


def test_the_data_is_compared_before_the_model(outside: Outside) -> None:
    outside.record(script(shuffle=True))
    outcome = outside.check(script(shuffle=True, seed=1))
    assert outcome.kind == "failed"
    assert outcome.lines[0].startswith("case: the data differs from step 0 on")


def test_a_batch_between_the_steps_that_are_kept_counts_as_well(outside: Outside) -> None:
    golden_data = list(data())
    outside.record(script(batches=data()), steps=[0, 2])
    other = TensorDataset(*(torch.cat([*rows]) for rows in zip(*golden_data, strict=True)))
    other.tensors[0][4:8] += 1.0  # the batch of step 1
    changed = script(batches=DataLoader(other, batch_size=4))
    outcome = outside.check(changed, weights=True)
    assert outcome.kind == "failed"
    assert outcome.lines[0].startswith("case: the data differs from step 1 on: batch 1 here is none of the 3 batches")
    assert re.search(
        r": FAILED: (\d+) of \1 sites compared in steps 0, 2: \1 equal; first: the data differs", said(outcome)
    )
    assert outside.check(changed, weights=True, ignore=("batch/*",)).kind == "passed"
    assert outside.check(script(), weights=True).kind == "passed"


def test_batches_that_are_ignored_are_said_to_differ_all_the_same(outside: Outside) -> None:
    outside.record(script(), first=1)
    seen = ("batch/*", "input/*", "activation/*", "loss", "gradient", "updated_weight")
    outcome = outside.check(script(batches=data(seed=1)), ignore=seen)
    assert outcome.kind == "passed", outcome.lines
    assert "the data differs from step 0 on: tensor 0 differs in 16 of 16 elements" in said(outcome)
    assert "batches are not judged here" in said(outcome)


def test_weights_that_do_not_fit_another_structure_are_a_difference(outside: Outside) -> None:
    outside.record(script())

    def wider() -> None:
        model = nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 2))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in islice(data(), 3):
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()

    outcome = outside.check(wider, weights=True)
    assert outcome.kind == "failed"
    assert "it has another shape" in outcome.lines[0]


def test_a_script_that_ends_before_the_golden_does_fails(outside: Outside) -> None:
    outside.record(script())
    outcome = outside.check(script(steps=2))
    assert outcome.kind == "failed"
    assert outcome.lines[0].startswith("case: step 2 of the golden was never run; run every step that was recorded")


def test_a_golden_is_not_replaced_by_one_of_fewer_steps_that_nobody_asked_for(outside: Outside) -> None:
    """A script that fails ends early, too, and its status comes after us."""
    outside.record(script())
    outcome = outside.run(script(steps=2), Mode.RECORD)
    assert outcome.kind == "error"
    assert "ended after 2 steps, of which 2 are kept, and the golden that is there has 3" in outcome.lines[0]
    assert outside.check(script()).kind == "passed"
    assert outside.run(script(steps=2), Mode.RECORD, steps=(0, 1)).kind == "recorded"


def test_steps_that_are_not_reached_are_not_recorded(outside: Outside) -> None:
    outcome = outside.run(script(), Mode.RECORD, steps=(0, 7))
    assert outcome.kind == "error"
    assert outcome.lines == (
        (
            "case was to be recorded in step 7, and the training ended after 3 steps; train longer, or keep earlier steps. "
            "Nothing was written"
        ),
    )
    assert not (outside.path / "golden").exists()


def test_weights_of_ones_own_are_compared_and_the_references_are_carried_over_on_request(outside: Outside) -> None:
    def other() -> None:
        torch.manual_seed(9)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.0), nn.Linear(6, 2))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in data():
            optimizer.zero_grad()
            loss_of(model, batch).backward()
            optimizer.step()

    outside.record(script())
    outcome = outside.check(other)
    assert outcome.lines[0] == "case step 0: the weight 0.weight differs before the step's forward pass"
    assert "--weights" in outcome.lines[1]
    assert outside.check(other, weights=True).kind == "passed"


def test_a_script_that_slices_its_batches_is_told_how_to_leave_them_out(outside: Outside) -> None:
    outside.record(script())
    own = list(data())
    outcome = outside.check(script(batches=own))
    assert outcome.kind == "failed"
    assert "the script draws no batch from a torch DataLoader" in outcome.lines[-1]
    assert "--ignore 'batch/*'" in outcome.lines[-1]
    assert outside.check(script(batches=own), ignore=("batch/*",)).kind == "passed"


def test_a_batch_that_cannot_be_kept_is_told_of(outside: Outside) -> None:
    def odd() -> None:
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for rows in DataLoader(data().dataset, 4, collate_fn=lambda rows: {"rows": rows, "odd": object()}):
            model(torch.stack([x for x, _ in rows["rows"]])).square().mean().backward()
            optimizer.step()

    outcome = outside.run(odd, Mode.RECORD)
    assert outcome.kind == "recorded"
    assert outcome.lines[-1].startswith("  the batches are not kept: a batch of the loader holds a object at odd")


def test_another_structure_is_told_and_the_script_goes_on(outside: Outside) -> None:
    ended = []

    def wider() -> None:
        model = nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 2))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for batch in data():
            loss_of(model, batch).backward()
            optimizer.step()
        ended.append(True)

    outside.record(script())
    outcome = outside.check(wider)
    assert ended == [True]
    assert outcome.kind == "failed"
    assert outcome.lines[0] == "case: 0.bias: it has another shape: (7,) here, (6,) in the reference"


def test_batches_of_the_golden_are_refused_where_they_cannot_be_given(outside: Outside) -> None:
    outside.record(script())
    outcome = outside.check(script(), batches=Batches.RECORDED)
    assert outcome.kind == "error"
    assert outcome.lines[0].startswith("--batches recorded: a batch can be put in the place of a script's own under")


def test_a_script_that_leaves_early_is_not_compared(outside: Outside) -> None:
    def leaving() -> None:
        script(steps=2)()
        sys.exit(4)

    outside.record(script())
    outcome = outside.check(leaving)
    assert outcome.kind == "error"
    assert outcome.lines[0] == "case: the script ended with sys.exit(4) after 2 steps"


def test_under_ci_a_golden_is_replaced_with_a_reason_only(outside: Outside) -> None:
    outside.record(script())
    outside.patch.setenv("CI", "1")
    outcome = outside.run(script(scale=2.0), Mode.RECORD)
    assert outcome.kind == "error"
    assert "--reason 'the loss is a mean now'" in outcome.lines[0]
    golden = outside.record(script(scale=2.0), reason="twice the loss")
    assert golden.manifest["history"][0]["reason"] == "twice the loss"
