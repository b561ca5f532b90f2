"""Which scalar is the loss, and what becomes of the others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_parity.curves.convert.building import curves_of
from pytest_parity.curves.convert.logged import LoggedRun
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import CurveError, UsageError

LOSSES = [3.0, 2.0, 1.0]


def run(*tags: str, name: str = "run", **values: list[float]) -> LoggedRun:
    made = LoggedRun(name, "logs")
    for tag in tags:
        values.setdefault(tag, LOSSES)
    for tag, losses in values.items():
        for step, value in enumerate(losses):
            made.add(tag, step, value)
    return made


def curve(one: LoggedRun, loss: str | None = None, epoch_loss: str | None = None) -> Curve:
    (made,) = curves_of([one], "logs", loss, epoch_loss)
    return made


@pytest.mark.parametrize(
    ("tags", "loss"),
    [
        (["train_loss", "val_loss", "loss"], "train_loss"),
        (["train/loss", "eval/loss"], "train/loss"),
        (["Loss/train", "Loss/test"], "Loss/train"),
        (["trainingLoss", "smoothedLoss"], "trainingLoss"),
        (["train_loss", "train_loss_step"], "train_loss_step"),
        (["loss", "reduced_train_loss"], "loss"),
        (["batch_loss", "epoch_loss"], "batch_loss"),
        (["lm loss", "lm loss validation", "gloss"], "lm loss"),
        (["train/lr", "train/masked_lm_loss", "val/masked_lm_loss"], "train/masked_lm_loss"),
    ],
)
def test_the_loss_that_nobody_could_mistake_is_found(tags: list[str], loss: str):
    made = curve(run(*tags))
    assert made.step_losses.tolist() == LOSSES
    assert loss not in made.series
    others = {tag for tag in tags if tag not in {loss, "epoch_loss"}}
    assert set(made.series) == {"logged_loss" if tag == "loss" else tag for tag in others}


@pytest.mark.parametrize(
    ("tags", "named"),
    [
        (["train_loss", "train/loss"], "'train_loss' or 'train/loss'"),
        (list("abcde"), "'a_loss' or 'b_loss' or 'c_loss' or 'd_loss' or 1 more"),
    ],
)
def test_two_that_are_equally_likely_are_a_question(tags: list[str], named: str):
    with pytest.raises(UsageError) as raised:
        curve(run(*(tag if "loss" in tag else f"{tag}_loss" for tag in tags)))
    message = str(raised.value)
    assert f"logs: which one is the loss? It could be {named}.\nScalars there:\n" in message
    assert message.count("          3 points\n") == len(tags)
    assert message.endswith("Say which: --metric NAME (in Python: loss=NAME)")


def test_none_that_could_be_the_loss_lists_what_is_there():
    with pytest.raises(UsageError) as raised:
        curve(run("val_loss", "accuracy"))
    assert str(raised.value) == (
        "logs: which one is the loss? None is called train_loss, train/loss or loss.\n"
        "Scalars there:\n"
        "  accuracy          3 points\n"
        "  val_loss          3 points\n"
        "Say which: --metric NAME (in Python: loss=NAME)"
    )


def test_the_one_that_was_asked_for_wins():
    made = curve(run("train_loss", val_loss=[9.0]), loss="val_loss")
    assert made.step_losses.tolist() == [9.0]
    assert list(made.series) == ["train_loss"]


def test_one_that_was_asked_for_and_is_not_there_is_an_error():
    with pytest.raises(UsageError, match=r"logs: there is no 'nll'.\nScalars there:\n  train_loss"):
        curve(run("train_loss"), loss="nll")


def test_a_forked_name_of_lightning_is_found_by_its_stem():
    made = curve(run("val_loss_epoch", nll_step=[7.0], nll_epoch=[5.0]), loss="nll")
    assert made.step_losses.tolist() == [7.0]
    assert made.epoch_losses.tolist() == [5.0]


def test_the_epochs_loss_is_the_one_of_the_same_words():
    made = curve(run(train_loss_step=LOSSES, train_loss_epoch=[2.5], val_loss_epoch=[8.0]))
    assert made.epochs.tolist() == [1]
    assert made.epoch_losses.tolist() == [2.5]
    assert list(made.series) == ["val_loss_epoch"]


def test_a_run_with_losses_of_epochs_only_has_no_steps():
    made = curve(run(epoch_loss=[5.0, 4.0], epoch_accuracy=[0.1, 0.2]))
    assert len(made.steps) == 0
    assert made.epochs.tolist() == [0, 1]
    assert made.epoch_losses.tolist() == [5.0, 4.0]


def test_epoch_losses_are_the_means_where_each_step_has_its_epoch():
    made = curve(run(loss=[4.0, 2.0, 1.0, math.nan, 8.0], epoch=[0, 0, 1, 1, 2]))
    assert made.epochs.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(made.epoch_losses, [3.0, math.nan, 8.0])
    assert made.epoch_steps.tolist() == [1, 3, 4]
    assert made.series == {}


def test_fractions_of_epochs_are_the_epoch_that_they_are_in():
    made = curve(run(loss=[5.0, 3.0, 2.0], **{"train/epoch": [0.5, 1.0, 1.5]}))
    assert made.epochs.tolist() == [1, 2]
    assert made.epoch_losses.tolist() == [4.0, 2.0]


def test_there_are_no_epoch_losses_where_a_step_has_no_epoch():
    made = curve(run(loss=LOSSES, epoch=[0, 0]))
    assert len(made.epochs) == len(made.epoch_losses) == len(made.epoch_steps) == 0


def test_a_step_that_comes_twice_stays_twice_and_where_it_was():
    one = LoggedRun("run", "logs")
    for step in (1, 2, 3, 2, 3, 4):
        one.add("loss", step, float(step))
    assert curve(one).steps.tolist() == [1, 2, 3, 2, 3, 4]


def test_runs_without_the_loss_are_left_out():
    made = curves_of([run("loss", name="a"), run("hp_metric", name="b"), run("loss", name="c")], "logs", None, None)
    assert [one.experiment_name for one in made] == ["a", "c"]


def test_runs_without_any_scalar_are_an_error():
    with pytest.raises(CurveError, match=r"logs: nothing was logged there: it has no scalars"):
        curves_of([LoggedRun("run", "logs")], "logs", None, None)


def test_names_are_made_those_of_files_and_told_apart():
    runs = [
        run("loss", name="mdlm: seed/0"),
        run("loss", name="twin"),
        run("loss", name="twin"),
        run("loss", name=".."),
    ]
    for number, one in enumerate(runs):
        one.identity = f"{number}" * 32
    names = [one.experiment_name for one in curves_of(runs, "logs", None, None)]
    assert names == ["mdlm_ seed_0", "twin_11111111", "twin_22222222", "3" * 32]


def test_a_loss_of_epochs_that_was_logged_by_their_numbers_does_not_say_after_which_step_they_ended():
    one = run(loss=[5.0] * 30)
    for epoch in (1, 2, 3):
        one.add("epoch_loss", epoch, 4.0)
    made = curve(one)
    assert made.epochs.tolist() == [1, 2, 3]
    assert made.epoch_steps.tolist() == []


def test_epochs_of_one_step_each_end_after_it():
    made = curve(run(train_loss_step=[3.0, 2.0, 1.0], train_loss_epoch=[3.0, 2.0]))
    assert made.epoch_steps.tolist() == [0, 1]
