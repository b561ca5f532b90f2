"""The first line of a failure, for everything that can go wrong first."""

from __future__ import annotations

import pytest

from pytest_parity.report import failure_text
from pytest_parity.result import Comparison, Delta, Diagnosis, Fault, Verdict


def first_line(fault, site, module, reference="", *, verdict=Verdict.DIFFERS, kinds=("activation",), **options) -> str:
    delta = {key: options.pop(key) for key in ("detail", "candidate") if key in options}
    diagnosis = Diagnosis(fault, site, 3, module, reference or module, **options)
    deltas = (Delta("loss/loss", 2, 1, verdict), Delta(site, 3, 5, verdict, **delta))
    text = failure_text(
        Comparison("nest/tiny", 9, 9, {str(verdict): 2}, dict.fromkeys(kinds, 9), deltas, (2, 3), diagnosis=diagnosis)
    )
    return text.splitlines()[0]


def test_a_module():
    site = "activation/encoder.layers.1.conv#0/out"
    assert first_line(Fault.MODULE, site, "encoder.blocks.1.conv", "encoder.layers.1.conv") == (
        "nest/tiny step 3: encoder.blocks.1.conv is the first module whose output differs while its inputs agree "
        "(reference: encoder.layers.1.conv)"
    )
    assert first_line(Fault.MODULE, site, "conv", after="activation/encoder.layers.1.conv.glu#0/out") == (
        "nest/tiny step 3: conv is the first module whose output differs while its inputs agree; inside it, "
        "activation/encoder.layers.1.conv.glu#0/out still agrees"
    )


def test_a_later_call_of_a_module_and_another_shape():
    assert first_line(
        Fault.MODULE, "activation/act#2/out", "act", verdict=Verdict.SHAPE, detail="(4,) here, (3,) in the reference"
    ) == (
        "nest/tiny step 3: act (call 3) is the first module whose output differs while its inputs agree: "
        "(4,) here, (3,) in the reference"
    )


def test_a_buffer():
    assert first_line(Fault.MODULE, "updated_weight/norm.running_mean", "norm") == (
        "nest/tiny step 3: norm updates its buffer running_mean differently, while every module's output agrees"
    )


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (
            Verdict.MISSING,
            "attn does not hand in.3 to attn.inner, and the reference does, after x agreed: (3, 10) bool",
        ),
        (Verdict.EXTRA, "attn hands in.3 to attn.inner, and the reference does not, after x agreed: (3, 10) bool"),
    ],
)
def test_an_argument_that_one_of_the_two_hands_on(verdict: Verdict, said: str):
    site = "input/attn.inner#0/in.3"
    line = first_line(Fault.BETWEEN, site, "attn", after="x", verdict=verdict, detail="(3, 10) bool")
    assert line == f"nest/tiny step 3: {said}"


def test_the_code_between():
    assert first_line(
        Fault.BETWEEN,
        "input/encoder.layers.1.conv#0/in.0",
        "encoder.blocks.1",
        "encoder.layers.1",
        after="activation/encoder.layers.1.attn#0/out",
        candidate="input/encoder.blocks.1.convolution#0/in.0",
    ) == (
        "nest/tiny step 3: encoder.blocks.1: what it hands to encoder.blocks.1.convolution is the first site that "
        "differs, after activation/encoder.layers.1.attn#0/out agreed (reference: encoder.layers.1)"
    )


def test_the_code_that_calls_the_root():
    assert first_line(Fault.BETWEEN, "input/(model)#0/in.0", "(model)") == (
        "nest/tiny step 3: the code that calls (model): the input is the first site that differs"
    )


def test_a_further_call():
    assert first_line(Fault.BETWEEN, "activation/act#3/out", "(model)", verdict=Verdict.EXTRA) == (
        "nest/tiny step 3: (model) calls act (call 4), which the reference does not"
    )


def test_a_call_left_out():
    site = "input/encoder.layers.1.norm#0/in.0"
    assert first_line(Fault.NOT_CALLED, site, "encoder.blocks.1.norm", "encoder.layers.1.norm", after="loss/loss") == (
        "nest/tiny step 3: encoder.blocks.1.norm is never called, the reference calls it after loss/loss "
        "(reference: encoder.layers.1.norm)"
    )


def test_values():
    assert first_line(Fault.VALUE, "output/logits", "logits") == (
        "nest/tiny step 3: the output logits is the first site that differs, while every module call agrees"
    )
    assert first_line(Fault.VALUE, "loss/loss", "loss") == (
        "nest/tiny step 3: the loss is the first site that differs, while every module call agrees"
    )


def test_a_value_of_a_test_that_watches_no_model():
    assert first_line(Fault.VALUE, "output/logits", "logits", kinds=["output"]) == (
        "nest/tiny step 3: the output logits is the first site that differs"
    )


def test_a_module_whose_name_is_a_number():
    assert first_line(Fault.MODULE, "activation/1#0", "1") == (
        "nest/tiny step 3: module 1 is the first module whose output differs while its inputs agree"
    )


def test_gradients():
    assert first_line(Fault.BACKWARD, "gradient/head.weight", "head", after="gradient/out.weight") == (
        "nest/tiny step 3: head is the first module in backward order whose gradient differs while the forward pass "
        "agrees, after gradient/out.weight agreed"
    )
    assert first_line(Fault.NO_GRADIENT, "gradient/ff.up.weight", "ff", verdict=Verdict.MISSING, detail="x") == (
        "nest/tiny step 3: ff gets no gradient, while the forward pass agrees"
    )


def test_updates():
    assert first_line(Fault.UPDATE, "updated_weight/l.w", "AdamW", candidate="updated_weight/b.w") == (
        "nest/tiny step 3: AdamW: its update of b.w is the first that differs, while the weights, gradients and "
        "optimizer state that it starts from agree"
    )
    assert first_line(Fault.UPDATE, "optimizer/l.w/exp_avg", "AdamW") == (
        "nest/tiny step 3: AdamW: its state exp_avg of l.w is the first site that differs"
    )


def test_the_batch_and_the_weights():
    assert first_line(Fault.DATA, "batch/loader/audio", "loader/audio") == (
        "nest/tiny step 3: the batch's loader/audio differs from the golden's"
    )
    assert first_line(Fault.WEIGHT, "weight/a.w", "b.w", "a.w") == (
        "nest/tiny step 3: the weight b.w differs before the step's forward pass (reference: a.w)"
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (Verdict.MISSING, "the reference has it, the candidate has not: float32 (3,)"),
        (Verdict.EXTRA, "the candidate has it, the reference has not: float32 (3,)"),
        (Verdict.SHAPE, "it has another shape: float32 (3,)"),
        (Verdict.DTYPE, "it has another dtype: float32 (3,)"),
        (Verdict.DIFFERS, "it is not built as the reference's: float32 (3,)"),
    ],
)
def test_structure_has_no_step(verdict, words):
    line = first_line(Fault.STRUCTURE, "weight/a.w", "a.w", verdict=verdict, detail="float32 (3,)")
    assert line == f"nest/tiny: a.w: {words}"


def test_every_fault_has_its_sentence():
    sites = {Fault.NOT_CALLED: "input/a#0/in.0", Fault.BETWEEN: "input/a#0/in.0"}
    for fault in Fault:
        assert first_line(fault, sites.get(fault, "activation/a#0/out"), "a").startswith("nest/tiny")


def test_without_a_diagnosis_the_first_failure_is_named():
    failing = (Delta("output/x", 0, 1, Verdict.DIFFERS), Delta("output/y", 0, 2, Verdict.DIFFERS))
    text = failure_text(Comparison("a", 9, 9, {"differs": 2}, {}, failing))
    assert text.splitlines()[0] == "a: 2 sites of 9 fail; the first is output/x"


def test_when_nothing_was_compared():
    assert failure_text(Comparison("a", 3, 0, {}, {}, ())) == (
        "a: nothing was compared; assert something, or watch a model while it runs\n\n0 of 3 sites compared: nothing"
    )
