"""Transposed, permuted, shifted, turned: the order that it is in is told, and chance is not taken for one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hint_faults import Code, attention, changed, rotated
from specimens import bare, cause, specimen, text
from torch import nn
from torch.nn import functional

from pytest_parity.diagnose.hints.order import pattern
from pytest_parity.result import Cause

DRAW = torch.Generator().manual_seed(0)
Y = torch.randn(4, 10, 32, generator=DRAW)


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (Y.transpose(0, 1), Cause.TRANSPOSE, "with dims 0 and 1 transposed it agrees"),
        (Y.roll(1, 1), Cause.SHIFT, "rolled by -1 along dim 1 it agrees"),
        (
            functional.pad(Y, (0, 0, 1, 0))[:, :-1],
            Cause.SHIFT,
            "it is the reference's, one later along dim 1, in 9 of 10",
        ),
        (functional.pad(Y, (0, 0, 0, 1))[:, 1:], Cause.SHIFT, "it is the reference's, one earlier along dim 1"),
        (Y.flip(2), Cause.PERMUTATION, "flipped along dim 2 it agrees"),
        (Y[[1, 0, 2, 3]], Cause.PERMUTATION, "along dim 0 0 and 1 are swapped"),
        (
            Y.view(4, 10, 4, 8)[:, :, [2, 0, 3, 1]].reshape(Y.shape),
            Cause.PERMUTATION,
            "its 4 blocks of 8 stand in another order",
        ),
        (
            Y.view(4, 10, 4, 2, 4).transpose(-1, -2).reshape(Y.shape),
            Cause.PERMUTATION,
            "in each block of 8 it is laid out as",
        ),
        (Y.view(4, 10, 4, 8).transpose(1, 2).reshape(Y.shape), Cause.TRANSPOSE, "4 heads"),
        (functional.pad(Y, (0, 0, 0, 1)), Cause.PADDING, "without the last 1 along dim 1 it agrees"),
    ],
)
def test_an_order_is_told(actual: torch.Tensor, expected: Cause, words: str):
    one = bare(actual.contiguous(), Y)
    assert cause(one) is expected
    assert words in text(one)


def test_a_symmetric_matrix_is_not_called_transposed():
    matrix = Y[0, :, :10] + Y[0, :, :10].t()
    assert cause(bare(matrix + 1e-3 * matrix**2, matrix)) is None


def test_other_values_are_in_no_order():
    assert cause(bare(torch.randn(Y.shape, generator=DRAW), Y)) is None


def test_channels_of_a_query_laid_out_for_the_other_rotary_are_rotary():
    interleaved = Y.view(4, 10, 4, 2, 4).transpose(-1, -2).reshape(Y.shape).contiguous()
    one = specimen(Code(lambda _own, x: x), Code(lambda _own, x: x), Y)
    assert cause(replace(one, actual=interleaved, path="layers.0.q_proj", inputs={}, again=None)) is Cause.ROTARY


@pytest.mark.parametrize(("here", "there"), [("half", "interleaved"), ("interleaved", "half")])
def test_rotary_positions_of_the_other_convention(here: str, there: str):
    q = torch.randn(2, 4, 10, 8, generator=DRAW)
    one = specimen(Code(lambda _own, x: rotated(x, there)), Code(lambda _own, x: rotated(x, here)), q, repeatable=False)
    assert cause(one) is Cause.ROTARY
    assert "pairs in place of" in text(one)


def test_rotary_positions_that_begin_at_one():
    q = torch.randn(2, 4, 10, 8, generator=DRAW)
    one = specimen(
        Code(lambda _own, x: rotated(x, "half")), Code(lambda _own, x: rotated(x, "half", 1)), q, repeatable=False
    )
    assert text(one).startswith("turned by the angles of one position earlier it agrees")


def test_rotary_positions_inside_of_attention():
    reference = attention(turn="half")
    one = specimen(reference, changed(reference, lambda own: setattr(own, "turn", "interleaved")), Y)
    assert cause(one) is Cause.ROTARY
    assert text(one).startswith("with its rotary pairs half-split, and not interleaved, it agrees")


def test_a_table_that_is_read_one_too_far():
    table, ids = nn.Embedding(20, 32), torch.randint(0, 18, (4, 10), generator=DRAW)
    further = Code(lambda own, x: functional.embedding(x + 1, own.weight), weight=table.weight)
    one = specimen(table, further, ids)
    assert cause(one) is Cause.SHIFT
    assert text(one).startswith("with 1 not added")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([0, 3, 2, 1], "1 and 3 are swapped"),
        ([2, 3, 0, 1], "it is rolled by 2 of 4"),
        ([0, 2, 4, 1, 3, 5], "it is laid out as 2 by 3, for 3 by 2"),
        ([3, 4, 5, 0, 1, 2, 6, 7, 8], "its 3 blocks of 3 stand in another order"),
        ([1, 0, 2, 4, 3, 5], "in each block of 3 0 and 1 are swapped"),
        ([4, 0, 1, 3, 2], "4 slices of 5 stand in another order"),
    ],
)
def test_an_order_has_words(order: list[int], words: str):
    assert pattern(torch.tensor(order))[0] == words
