"""A loss or an output that is a multiple of the golden's: which, over what, and what proves it; else nothing is said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch.nn import functional
from training_story import causes, failed, told, training

from pytest_parity.diagnose.hints.evidence import Pair
from pytest_parity.diagnose.hints.loss import Count, value_hints
from pytest_parity.result import Cause, Fault
from pytest_parity.site import Kind, Site


def summed(out: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(out, target, reduction="sum")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return recorded(tmp_path_factory)


def recorded(tmp_path_factory: pytest.TempPathFactory, **options: Any) -> Studio:
    studio = Studio(tmp_path_factory.mktemp("loss"))
    studio.record(training(**options), draws=2)
    return studio


def test_a_sum_for_a_mean(plain: Studio):
    cause, text = told(plain, training(loss=summed))
    assert cause is Cause.REDUCTION
    assert text.startswith("12 times the golden's, in the loss and all of 8 gradients (to 0.")
    assert text.endswith(" floors): as a sum here is, for the golden's mean over the 12 rows of the batch's 0")


def test_a_mean_for_a_sum(tmp_path_factory: pytest.TempPathFactory):
    cause, text = told(recorded(tmp_path_factory, loss=summed), training())
    assert cause is Cause.REDUCTION
    assert text.startswith("0.0833 (1/12) times the golden's, in the loss and all of 8 gradients (to ")
    assert text.endswith(": as a mean over the 12 rows of the batch's 0 is here, for the golden's sum")


def test_a_number_that_counts_nothing_is_a_factor(plain: Studio):
    cause, text = told(plain, training(loss=lambda out, target: 1.5 * functional.cross_entropy(out, target)))
    assert cause is Cause.FACTOR
    assert text.startswith("1.5 times the golden's, in the loss and all of 8 gradients (to ")
    assert text.endswith("): look at its reduction: a sum or a mean, and over what")


def test_a_small_count_may_be_one_by_chance(tmp_path_factory: pytest.TempPathFactory):
    cause, text = told(recorded(tmp_path_factory, rows=4), training(loss=summed, rows=4))
    assert cause is Cause.FACTOR
    assert text.endswith(
        ": look at its reduction: a sum or a mean, and over what; as a sum here is, for the golden's mean over the 4 rows of "
        "the batch's 0"
    )


def test_the_other_sign(plain: Studio):
    cause, text = told(plain, training(loss=lambda out, target: -functional.cross_entropy(out, target)))
    assert (cause, text) == (
        Cause.SIGN,
        "the golden's with the other sign, in the loss and all of 8 gradients (to 0 floors)",
    )


@pytest.mark.parametrize(
    "loss",
    [
        lambda out, target: functional.cross_entropy(out, target, label_smoothing=0.1),
        lambda out, target: functional.cross_entropy(out, target) + 0.1,
        lambda out, target: functional.cross_entropy(out, target) + 0.1 * out.square().mean(),
        lambda out, target: functional.cross_entropy(out * 1.1, target),
    ],
    ids=["smoothed labels", "a number more", "a term more", "another temperature"],
)
def test_what_is_no_multiple_has_no_hint(plain: Studio, loss: Any):
    comparison = failed(plain, training(loss=loss))
    assert comparison.diagnosis is not None
    assert comparison.diagnosis.fault is Fault.VALUE
    assert comparison.diagnosis.causes == ()


def outputs(factor: float = 1.0, more: float = 0.0) -> Any:
    """A test without a backward pass."""

    def body(parity: Any) -> None:
        torch.manual_seed(0)
        net = parity.load(torch.nn.Linear(8, 8))
        x = parity.input("x", lambda: torch.randn(4, 8))
        with parity.watch(net):
            y = net(x)
        parity.assert_outputs(y * factor + more)

    return body


@pytest.mark.parametrize(
    ("factor", "cause", "words"),
    [
        (1 / 8, Cause.FACTOR, "0.125 (1/8) times the golden's, in all of its 32 elements (to 0"),
        (-1.0, Cause.SIGN, "the golden's with the other sign, in all of its 32 elements (to 0"),
    ],
)
def test_an_output(studio: Studio, factor: float, cause: Cause, words: str):
    studio.record(outputs(), draws=2)
    found, text = told(studio, outputs(factor))
    assert found is cause
    assert text.startswith(words)


def test_an_output_with_something_added_has_no_hint(studio: Studio):
    studio.record(outputs(), draws=2)
    assert causes(studio, outputs(more=0.5)) == ()


def test_a_mean_over_all_for_one_over_what_is_valid(studio: Studio):
    def body(share: float) -> Any:
        def run(parity: Any) -> None:
            torch.manual_seed(0)
            net = parity.load(torch.nn.Linear(8, 1))
            x = parity.input("x", lambda: torch.randn(32, 8))
            mask = parity.input("mask", lambda: torch.arange(32) < 23)
            with parity.watch(net):
                loss = (net(x).squeeze(1).square() * mask).sum() / (23 * share)
                loss.backward()
            parity.assert_loss(loss)

        return run

    studio.record(body(1.0), draws=2)
    cause, text = told(studio, body(32 / 23))
    assert cause is Cause.REDUCTION
    assert text.endswith(": as a mean over all 32 is here, for the golden's over the 23 that are true in mask")


# tensors


def pair(actual: float, expected: float) -> Pair:
    ours, theirs = (torch.tensor([value], dtype=torch.float64) for value in (actual, expected))
    return Pair(Site(Kind.LOSS, "loss"), lambda: (ours, theirs))


COUNTS = (Count(16, "the 16 rows of x"), Count(1000, "the 1,000 of y that are not -100", 2048))


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (
            16.0,
            "16 times the golden's (to 0 of the norm): as a sum here is, for the golden's mean over the 16 rows of x",
        ),
        (
            1 / 16,
            "0.0625 (1/16) times the golden's (to 0 of the norm): as a mean over the 16 rows of x is here, for the ",
        ),
        (
            2.048,
            "2.05 times the golden's (to 0 of the norm): as a mean over the 1,000 of y that are not -100 is here, for the ",
        ),
    ],
)
def test_a_loss_alone_that_a_count_explains(factor: float, words: str):
    (hint,) = value_hints(pair(3.0 * factor, 3.0), (), COUNTS)
    assert hint.cause is Cause.REDUCTION
    assert hint.text.startswith(words)


@pytest.mark.parametrize("factor", [16.01, 2.0, 0.5, 1.0])
def test_a_loss_alone_that_no_count_explains_proves_nothing(factor: float):
    assert value_hints(pair(3.0 * factor, 3.0), (), COUNTS) == ()


def test_a_loss_alone_with_the_other_sign():
    (hint,) = value_hints(pair(-3.0, 3.0), ())
    assert hint.cause is Cause.SIGN


def test_gradients_that_are_not_its_multiple_contradict():
    expected = torch.randn(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient = Pair(Site(Kind.GRADIENT, "a"), lambda: (expected * 8, expected))
    assert value_hints(pair(48.0, 3.0), [gradient], COUNTS) == ()
