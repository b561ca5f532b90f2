"""A probe that fails: which module is named, and where the step's own data come first."""

from __future__ import annotations

from diagnosis_story import Story, transformer

from pytest_parity.result import Fault
from pytest_parity.site import Kind, Site


def probed(*fails: str, inputs: bool = True) -> Story:
    """A transformer whose leaf modules were fed two probes each, between input and output; these fail."""
    story = transformer(inputs=inputs)
    for delta in list(story.deltas):
        site = Site.parse(delta.site)
        if site.kind is Kind.ACTIVATION and site.path.split(".")[-1] in {"norm", "act", "head"}:
            for name in ("tiny", "zero"):
                story.site(Kind.PROBE, site.path, call=site.call, leaf=name, order=delta.order)
    return story.fail(*fails)


def test_a_probe_that_fails_names_its_module_and_which_of_them_agree():
    diagnosis = probed("probe/layers.1.norm#0/tiny").diagnose()
    assert (diagnosis.fault, diagnosis.module, diagnosis.others) == (Fault.PROBE, "layers.1.norm", 0)
    assert diagnosis.hints == ("its probes that fail: tiny; that agree: zero",)


def test_of_several_modules_the_first_in_execution_order_is_named_and_the_others_are_told():
    diagnosis = probed("probe/head#0/zero", "probe/layers.0.norm#0/tiny").diagnose()
    assert diagnosis.module == "layers.0.norm"
    assert "probes fail in other modules too: head" in diagnosis.hints


def test_gradients_and_the_loss_come_behind_a_probe():
    story = probed("probe/layers.0.ff.act#0/tiny")
    story.each(Kind.GRADIENT, "head.weight")
    story.each(Kind.LOSS, "loss")
    assert story.fail("gradient/head.weight", "loss/loss").diagnose().fault is Fault.PROBE


def test_weights_come_before_it():
    diagnosis = probed("probe/layers.0.norm#0/tiny", "weight/layers.0.norm.weight").diagnose()
    assert diagnosis.fault is Fault.WEIGHT


def test_a_module_that_fails_on_the_steps_data_too_is_told_by_these():
    diagnosis = probed("probe/layers.0.norm#0/tiny").fail_from("activation/layers.0.norm#0/out").diagnose()
    assert (diagnosis.fault, diagnosis.module) == (Fault.MODULE, "layers.0.norm")


def test_what_the_steps_data_show_before_its_call_comes_first_and_behind_it_not():
    earlier = probed("probe/layers.1.norm#0/tiny").fail_from("activation/layers.0.attn.k#0/out").diagnose()
    assert (earlier.fault, earlier.module) == (Fault.MODULE, "layers.0.attn.k")
    later = probed("probe/layers.0.norm#0/tiny").fail_from("activation/layers.1.ff.up#0/out").diagnose()
    assert (later.fault, later.module) == (Fault.PROBE, "layers.0.norm")
