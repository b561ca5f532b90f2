"""Dropout, seeds and lower precision, each by what it leaves in the values; settings that the golden has otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hint_faults import Code, behind, changed, filled
from specimens import bare, cause, specimen, text
from torch import nn
from torch.nn import functional

from pytest_parity.diagnose.hints.precision import tf32
from pytest_parity.result import Cause

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 10, 32, generator=DRAW)
LINEAR = filled(nn.Linear(32, 32))
DROPOUT = nn.Dropout(0.1)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("there", "here", "words"),
    [
        (changed(DROPOUT, lambda own: own.eval()), DROPOUT, ("it drops out, and", "with a dropout of 0.1 behind it")),
        (
            DROPOUT,
            changed(DROPOUT, lambda own: own.eval()),
            ("it does not drop out", "with a dropout of 0.1 behind it"),
        ),
        (
            DROPOUT,
            nn.Dropout(0.3),
            ("with p 0.1 in place of 0.3", "it drops out 0.3 of its input, the reference's 0.1"),
        ),
    ],
)
def test_dropout_on_one_side_or_at_another_rate(there: nn.Module, here: nn.Module, words: tuple, repeatable: bool):
    one = specimen(there, here, X, repeatable=repeatable)
    assert cause(one) is Cause.DROPOUT
    assert words[0 if repeatable else 1] in text(one)


def test_dropout_of_another_seed():
    one = specimen(DROPOUT, DROPOUT, X, seed=99)
    assert cause(one) is Cause.SEED
    assert text(one).startswith("its dropout of 0.1 is of another seed: ")


def test_positions_that_are_zero_in_order_are_no_dropout():
    cut = X * (torch.arange(10) < 9)[:, None] / 0.95
    assert cause(bare(cut, X)) is None


@pytest.mark.parametrize(
    ("rounding", "name"),
    [(torch.Tensor.bfloat16, "bfloat16"), (torch.Tensor.half, "float16 or TF32"), (lambda x: tf32(1e9 * x), "TF32")],
)
def test_rounded_values_are_recognised_on_either_side(rounding, name: str):
    low, whole = rounding(X).float(), X if name != "TF32" else 1e9 * X
    assert cause(bare(low, whole)) is Cause.PRECISION
    assert text(bare(low, whole)).startswith(f"it is the reference's, rounded to {name}: 100 % of the values")
    assert text(bare(whole, low)).startswith(f"the reference's is this, rounded to {name}: 100 % of the values")


@pytest.mark.parametrize("name", ["bfloat16", "float16", "TF32"])
def test_rounded_operands_are_recognised(name: str):
    rounding = {"bfloat16": lambda x: x.bfloat16().float(), "float16": lambda x: x.half().float(), "TF32": tf32}[name]
    low = changed(
        LINEAR,
        lambda own: setattr(own, "forward", lambda x: functional.linear(rounding(x), rounding(own.weight), own.bias)),
    )
    one = specimen(LINEAR, low, X, repeatable=False)
    assert cause(one) is Cause.PRECISION
    assert name in text(one)
    assert "of operands rounded to" in text(one)


def test_casts_in_the_code_are_told():
    def low(own, x):
        return functional.linear(x.bfloat16(), own.weight.bfloat16()).float() + own.bias

    one = specimen(LINEAR, Code(low, weight=LINEAR.weight, bias=LINEAR.bias), X)
    assert cause(one) is Cause.PRECISION
    assert text(one).startswith("without its casts to bfloat16 it agrees")


def test_whole_numbers_on_both_sides_are_no_precision():
    whole = torch.randint(-9, 9, (4, 10, 32), generator=DRAW).float()
    assert cause(bare(whole, whole + torch.randint(-2, 3, whole.shape, generator=DRAW))) is None


@pytest.mark.parametrize(
    ("there", "here", "expected", "words"),
    [
        (nn.GELU(), nn.GELU("tanh"), Cause.ACTIVATION, "with approximate none in place of tanh it agrees"),
        (nn.Softmax(-1), nn.Softmax(1), Cause.CONSTANT, "with dim -1 in place of 1 it agrees"),
        (nn.ReLU(), nn.SiLU(), Cause.ACTIVATION, "with ReLU in place of SiLU it agrees"),
        (nn.Dropout(0.1), nn.Dropout(0.2), Cause.DROPOUT, "with p 0.1 in place of 0.2 it agrees"),
        (
            filled(nn.Conv1d(10, 8, 3, padding=1, padding_mode="reflect")),
            filled(nn.Conv1d(10, 8, 3, padding=1)),
            Cause.PADDING,
            "with padding_mode reflect in place of zeros it agrees",
        ),
        (
            filled(nn.Conv1d(10, 8, 3, padding=(1,))),
            filled(nn.Conv1d(10, 8, 3, padding=(1,), padding_mode="circular")),
            Cause.PADDING,
            "with padding_mode zeros in place of circular it agrees",
        ),
    ],
)
def test_a_setting_that_the_golden_has_otherwise(there: nn.Module, here: nn.Module, expected: Cause, words: str):
    one = specimen(there, here, X, told=True)
    assert cause(one) is expected
    assert text(one).startswith(words)


def test_a_setting_that_differs_and_explains_nothing_is_not_told():
    one = specimen(LINEAR, behind(LINEAR, lambda out: out + 1e-3 * out.square()), X, repeatable=False)
    assert cause(replace(one, constants={"in_features": ("64", "32"), "momentum": ("0.1", "0.2")})) is None
