"""Where a loss or gradients are the reference's times one number, the diagnosis says which; where they are not, nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diagnosis_story import Story

from pytest_parity.compare.metrics import metrics
from pytest_parity.result import Tolerance, Verdict
from pytest_parity.site import Kind

LOSS = "loss/loss"
GRADIENTS = ("gradient/a.weight", "gradient/b.weight")


def story(factors: dict[str, float], *, noise: float = 0.0, elements: int = 64) -> Story:
    """Two layers and a loss; each site of ``factors`` is the reference's times that, and noise besides."""
    made = Story()
    made.leaf("a")
    made.leaf("b")
    made.site(Kind.LOSS, "loss")
    made.each(Kind.GRADIENT, "a.weight", "b.weight")
    for place, delta in enumerate(made.deltas):
        if delta.site in factors:
            draw = torch.Generator().manual_seed(place)
            golden = torch.randn(1 if delta.site == LOSS else elements, generator=draw)
            here = golden * factors[delta.site] + noise * torch.randn(golden.shape, generator=draw)
            found = metrics(here, golden, Tolerance(1e-6, 1e-8))
            made.deltas[place] = replace(delta, verdict=Verdict.DIFFERS, metrics=found, elements=len(golden))
    return made


def hints(factors: dict[str, float], **options: float) -> tuple[str, ...]:
    found = story(factors, **options).diagnose()
    assert found is not None
    return found.hints


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (16.0, "16 times"),
        (1 / 16, "0.0625 (1/16) times"),
        (1 / 3, "0.333 (1/3) times"),
        (0.7, "0.7 times"),
        (1.004, "1.004 times"),
    ],
)
def test_a_loss_and_all_gradients_by_one_factor(factor: float, words: str):
    assert hints(dict.fromkeys((LOSS, *GRADIENTS), factor)) == (
        f"{words} the golden's, in all of 2 gradients: look at its reduction: a sum or a mean, and over what",
    )


def test_gradients_alone_by_one_factor():
    (hint,) = hints(dict.fromkeys(GRADIENTS, 0.25))
    assert hint.startswith("0.25 (1/4) times the golden's, in all of 2 gradients: look at clipping, the loss's scale, ")


@pytest.mark.parametrize(
    "factors",
    [
        {LOSS: 16.0},
        {LOSS: 16.0, GRADIENTS[0]: 16.0, GRADIENTS[1]: 8.0},
        {GRADIENTS[0]: 0.25, GRADIENTS[1]: 0.2},
        dict.fromkeys(GRADIENTS, -1.0),
        dict.fromkeys(GRADIENTS, 0.0),
        dict.fromkeys(GRADIENTS, 1.00001),
    ],
    ids=["a loss alone", "another factor", "two factors", "another sign", "zeros", "near to 1"],
)
def test_nothing_is_said_that_is_not_proved(factors: dict[str, float]):
    assert hints(factors) == ()


def test_one_factor_and_noise_besides_is_none():
    assert hints(dict.fromkeys(GRADIENTS, 0.25), noise=1e-3) == ()


def test_numbers_of_one_element_prove_nothing():
    assert hints(dict.fromkeys((LOSS, *GRADIENTS), 16.0), elements=1) == ()


def test_a_module_that_is_wrong_first_has_no_such_hint():
    made = story(dict.fromkeys((LOSS, *GRADIENTS), 16.0)).fail("activation/b#0/out")
    found = made.diagnose()
    assert found is not None
    assert (found.module, found.hints) == ("b", ())
