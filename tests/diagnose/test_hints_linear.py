"""Sign, factor, bias, residual, weight: each is told where it is so, with its number, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from hint_faults import behind, changed, filled
from specimens import bare, cause, specimen, text
from torch import nn

from pytest_parity.diagnose.hints import forward_hints
from pytest_parity.result import Cause

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 10, 32, generator=DRAW)
Y, Z = torch.randn(4, 10, 32, generator=DRAW), torch.randn(4, 10, 32, generator=DRAW)
LINEAR = filled(nn.Linear(32, 32))


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (2.0, "it is 2 times"),
        (1 / 8, "it is 0.125 (1/8) times"),
        (1.05, "it is 1.05 times"),
        (1.0001, "it is 1.0001 times"),
        (32**0.5, "it is 5.66 (the square root of 32) times"),
        (61 / 64, "(61/64) times"),
    ],
)
def test_a_factor_is_told_with_its_number(factor: float, words: str):
    one = specimen(LINEAR, behind(LINEAR, lambda out: out * factor), X, repeatable=False)
    assert cause(one) is Cause.FACTOR
    assert words in text(one)
    assert "times the reference's, everywhere (" in text(one)


def test_a_factor_that_nobody_would_write_is_not_told():
    assert cause(bare(Y * 1.0483921, Y)) is None


def test_minus_one_is_a_sign():
    assert cause(bare(-Y, Y)) is Cause.SIGN


def test_a_number_added_everywhere():
    assert text(bare(Y + 0.1, Y)).startswith("it is 0.1 (1/10) more than the reference's, everywhere (")


def test_of_a_constant_neither_a_factor_nor_a_shift_is_told():
    ones = torch.ones(4, 10, 32)
    assert cause(bare(2 * ones, ones)) is None


def test_zeros_have_no_cause():
    assert cause(bare(torch.zeros_like(Y), Y)) is None
    assert cause(bare(Y, torch.zeros_like(Y))) is None


def test_one_element_proves_nothing():
    assert cause(bare(torch.tensor([2.0]), torch.tensor([1.0]))) is None


def test_an_embedding_that_lacks_the_root_of_its_width():
    table, ids = filled(nn.Embedding(20, 32)), torch.randint(0, 20, (4, 10), generator=DRAW)
    reference = behind(table, lambda out: out * 32**0.5)
    one = specimen(reference, table, ids)
    assert cause(one) is Cause.SCALE
    assert "not multiplied by the square root of its width, 32" in text(one)


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (Y, Y + Z, "with ffn added it agrees"),
        (Y + Z, Y, "with ffn taken away it agrees"),
        (Y - Z, Y + Z, "with ffn added twice it agrees"),
        (Y + Z, Y + 0.5 * Z, "with -0.5 (-1/2) times ffn added it agrees"),
    ],
)
def test_a_residual_is_told_with_its_name_and_factor(actual: torch.Tensor, expected: torch.Tensor, words: str):
    one = bare(actual, expected, context={"ffn": Z})
    assert cause(one) is Cause.RESIDUAL
    assert text(one).startswith(words)


def test_a_sum_that_is_missing_is_told_with_all_its_terms():
    one = bare(Y, Y + Z + 0.5 * X, inputs={"in.0": Z}, context={"attention": X, "dropped": X.clone(), "feed": Y})
    assert cause(one) is Cause.RESIDUAL
    assert text(one).startswith("with 0.5 (1/2) times attention and in.0 added it agrees (")


def test_a_weight_whose_rows_are_in_another_order():
    other = changed(LINEAR, lambda own: own.weight.copy_(own.weight[torch.randperm(32, generator=DRAW)]))
    one = specimen(LINEAR, other, X, repeatable=False)
    assert cause(one) is Cause.PERMUTATION
    assert text(one).startswith("the rows of its weight, not its bias: ")


def test_a_term_that_is_the_same_at_all_steps():
    time = Z[:, 0]
    assert text(bare(Y, Y + time[:, None], context={"time": time})).startswith("with time added it agrees (")


def test_values_that_are_cut_off_on_one_side_alone():
    one = bare(Y.clamp(-1.5, 1.5), Y)
    assert cause(one) is Cause.CONSTANT
    assert text(one).startswith("its values are kept between -1.5 and 1.5, the reference's are not (")
    assert text(bare(Y, Y.clamp(-1.5, 1.5))).startswith("with its values kept between -1.5 and 1.5 it agrees (")


def test_a_residual_of_something_else_is_not_told():
    assert cause(bare(Y, Y + Z, context={"ffn": X})) is None


def test_what_is_doubled_as_a_whole_is_a_factor_and_no_residual():
    assert cause(bare(2 * Y, Y, inputs={"in.0": Y})) is Cause.FACTOR


def test_layers_in_another_order():
    one = bare(Y, Z, inputs={"in.0": Y}, context={"norm": Z})
    assert cause(one) is Cause.ORDER
    assert text(one).startswith("it is in.0; the reference's is norm (")


def test_a_bias_that_is_not_added():
    bypassed = changed(LINEAR, lambda own: setattr(own, "forward", lambda x: x @ own.weight.t()))
    one = specimen(LINEAR, bypassed, X, repeatable=False)
    assert text(one).startswith("with its bias added it agrees (")


def test_a_bias_of_other_numbers():
    one = specimen(LINEAR, changed(LINEAR, lambda own: own.bias.zero_()), X)
    assert cause(one) is Cause.BIAS
    assert "one number for each of dim 2" in text(one)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        (lambda weight: weight.t(), Cause.TRANSPOSE, "weight transposed"),
        (lambda weight: weight.roll(1, 0), Cause.WEIGHT, "weight rolled by -1 along dim 0"),
        (lambda weight: weight.flip(1), Cause.WEIGHT, "weight flipped along dim 1"),
        (lambda weight: weight * 1.01, Cause.WEIGHT, "its weight is 1.01 times the reference's, and its bias is not"),
    ],
)
def test_a_weight_that_is_another(change, expected: Cause, words: str, repeatable: bool):
    other = changed(LINEAR, lambda own: own.weight.copy_(change(own.weight.clone())))
    one = specimen(LINEAR, other, X, repeatable=repeatable)
    assert cause(one) is expected
    assert words in text(one)


def test_a_symmetric_weight_is_not_called_transposed():
    linear = changed(LINEAR, lambda own: own.weight.copy_(own.weight + own.weight.t()))
    one = specimen(linear, behind(linear, lambda out: out + 0.01 * out.square()), X, repeatable=False)
    assert cause(one) is None


def test_weights_that_are_noise_away_have_no_cause():
    other = changed(LINEAR, lambda own: own.weight.add_(1e-3 * torch.randn(32, 32, generator=DRAW)))
    assert forward_hints(specimen(LINEAR, other, X)) == ()


def test_an_output_alone_is_told_with_its_number():
    other = changed(LINEAR, lambda own: (own.weight[5].mul_(1.5), own.bias[5].mul_(1.5)))
    assert "output 5 of 32 along dim 2 alone is 1.5 times" in text(specimen(LINEAR, other, X))


def test_an_embeddings_row_at_zero():
    table, ids = filled(nn.Embedding(20, 32)), torch.arange(20).repeat(2).reshape(4, 10)
    padded = changed(table, lambda own: own.weight[3].zero_())
    assert text(specimen(padded, table, ids)).startswith("with its row 3 at zero it agrees, in 2 places (")
    assert text(specimen(table, padded, ids)).startswith("its row 3 is zero here and not in the reference")
