"""What a module's own code does: activation, mask, scale, padding, dropout, layout; each changed and computed anew."""

from __future__ import annotations

import pytest
import torch
from hint_faults import Code, attention, changed, filled
from specimens import bare, cause, specimen, text
from torch import nn
from torch.nn import functional

from pytest_parity.result import Cause

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(4, 10, 32, generator=DRAW)
ATTENTION = attention()


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (nn.GELU("tanh"), nn.GELU(), "in place of GELU with approximate='tanh'"),
        (nn.SiLU(), nn.ReLU(), "with ReLU in place of SiLU it agrees"),
        (nn.LeakyReLU(0.2), nn.LeakyReLU(0.01), "with LeakyReLU with slope 0.01 in place of LeakyReLU with slope 0.2"),
        (nn.Identity(), nn.Tanh(), "with tanh in place of the identity it agrees"),
    ],
)
def test_another_activation(here: nn.Module, there: nn.Module, words: str, repeatable: bool):
    one = specimen(there, here, X, repeatable=repeatable)
    assert cause(one) is Cause.ACTIVATION
    assert words in text(one)


def test_an_activation_whose_output_is_scaled_is_a_factor():
    assert cause(specimen(nn.GELU(), Code(lambda _own, x: 1.05 * functional.gelu(x)), X)) is Cause.FACTOR


def test_functions_that_the_data_cannot_tell_apart_are_not_told():
    positive = X.abs() + 0.1
    one = specimen(nn.ReLU(), Code(lambda _own, x: x + 1e-3 * x.square()), positive, repeatable=False)
    assert cause(one) is None


@pytest.mark.parametrize("dim", [0, 1])
def test_a_softmax_over_another_dimension(dim: int):
    one = specimen(nn.Softmax(-1), nn.Softmax(dim), X, repeatable=False)
    assert cause(one) is Cause.CONSTANT
    assert text(one).startswith(f"with the softmax over dim 2 and not {dim} it agrees")


def test_a_gate_from_the_other_half():
    one = specimen(
        nn.GLU(), Code(lambda _own, x: functional.glu(torch.cat(x.chunk(2, -1)[::-1], -1))), X, repeatable=False
    )
    assert cause(one) is Cause.PERMUTATION
    assert text(one).startswith("with the second half as the gate, and not the first, it agrees")


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        ({"scale": 1.0}, Cause.SCALE, "in place of 1 at hint_faults.py"),
        ({"scale": 1 / 8}, Cause.SCALE, "multiplied by 0.354 in place of 0.125"),
        ({"scale": 1.001 * 8**-0.5}, Cause.SCALE, "multiplied by 0.3536 in place of 0.3539 at hint_faults.py"),
        ({"gain": [1.001]}, Cause.SCALE, "its attention's logits are 1.001 times the reference's"),
        ({"gain": [1.2]}, Cause.SCALE, "its attention's logits are 1.2 times the reference's"),
        ({"diagonal": 1}, Cause.MASK, "with diagonal 0 in place of 1 in its tril at hint_faults.py"),
        ({"diagonal": -1}, Cause.MASK, ""),
        ({"diagonal": None}, Cause.MASK, "with a causal mask before its softmax"),
        ({"rate": 0.1}, Cause.DROPOUT, "without its dropout"),
        ({"joined": False}, Cause.TRANSPOSE, "with dims 1 and 2 transposed before its heads are joined"),
    ],
    ids=str,
)
def test_attention_with_one_thing_wrong(change: dict, expected: Cause, words: str):
    other = changed(ATTENTION, lambda own: vars(own).update(change))
    one = specimen(ATTENTION, other, X)
    if change.get("diagonal") == -1:  # the first row attends to nothing, and is not a number
        assert cause(one) in {Cause.MASK, None}
        return
    assert cause(one) is expected
    assert words in text(one)


def test_attention_that_the_reference_does_not_mask():
    open_ = changed(ATTENTION, lambda own: setattr(own, "diagonal", None))
    assert text(specimen(open_, ATTENTION, X)).startswith("without its mask at hint_faults.py")


def test_attention_written_otherwise_has_no_cause():
    def fused(own, x):
        q, k, v = ((x @ weight).view(4, 10, 4, 8).transpose(1, 2) for weight in (own.w0, own.w1, own.w2))
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out.transpose(1, 2).reshape(4, 10, 32) @ own.w3

    assert cause(specimen(ATTENTION, Code(fused, **dict(ATTENTION.named_parameters())), X)) is None


def test_code_that_cannot_be_computed_anew_has_no_such_cause():
    other = changed(ATTENTION, lambda own: setattr(own, "scale", 1.0))
    assert cause(specimen(ATTENTION, other, X, repeatable=False)) is None


def test_a_length_that_is_compared_with_or_without_its_end():
    def masked(compare):
        return Code(
            lambda own, x, lengths: x @ own.w * compare(torch.arange(10), lengths[:, None])[..., None], w=torch.eye(32)
        )

    lengths = torch.tensor([10, 7, 5, 3])
    one = specimen(masked(torch.lt), masked(torch.le), X, lengths)
    assert cause(one) is Cause.MASK
    assert text(one).startswith("it differs at the first position behind in.1 alone, in all of 3 rows: off by one")


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (lambda x, m: x, lambda x, m: x * m, "set to 0 where in.1 is False it agrees"),
        (lambda x, m: x * m, lambda x, m: x, "it is 0 where in.1 is False, and the reference's is not"),
        (
            lambda x, m: x * ~m,
            lambda x, m: x * m,
            "it is 0 where in.1 is True, and the reference's everywhere else: inverted",
        ),
    ],
)
def test_a_mask_over_the_output(here, there, words: str):
    mask = torch.arange(10)[None] < torch.tensor([10, 7, 5, 3])[:, None]
    one = bare(here(X, mask[..., None]), there(X, mask[..., None]), inputs={"in.1": mask})
    assert cause(one) is Cause.MASK
    assert text(one).startswith(words)


def test_a_boolean_that_is_handed_on_wrong():
    mask = torch.arange(10)[None] < torch.tensor([10, 7, 5, 3])[:, None]
    later = torch.arange(10)[None] <= torch.tensor([10, 7, 5, 3])[:, None]
    assert text(bare(~mask, mask, 0.0)) == "it is the reference's inverted, in all of 40 elements"
    assert text(bare(later, mask, 0.0)) == "its boundary is one later along dim 1 than the reference's"
    assert cause(bare(torch.rand(4, 10, generator=DRAW) < 0.5, mask, 0.0)) is None


CONVOLUTION = filled(nn.Conv1d(10, 8, 3, padding=1))


def padded(pads: tuple[int, int], mode: str = "constant") -> Code:
    def forward(own, x):
        return functional.conv1d(functional.pad(x, pads, mode=mode), own.weight, own.bias)

    return Code(forward, weight=CONVOLUTION.weight, bias=CONVOLUTION.bias)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    ("there", "words"),
    [
        (padded((2, 0)), "padded by 2 before and 0 behind in place of 1 before and 1 behind it agrees"),
        (
            padded((1, 1), "reflect"),
            "padded by 1 before and 1 behind (reflect) in place of 1 before and 1 behind it agrees",
        ),
        (padded((0, 0)), "padded by 0 before and 0 behind in place of"),
    ],
)
def test_a_convolution_padded_otherwise(there: nn.Module, words: str, repeatable: bool):
    one = specimen(there, CONVOLUTION, X, repeatable=repeatable)
    assert cause(one) is Cause.PADDING
    assert text(one).startswith(words)


def test_a_padding_in_the_code_is_told_with_its_line():
    one = specimen(padded((2, 0)), padded((0, 2)), X)
    assert text(one).startswith("padded by [2, 0] in place of [0, 2]")
