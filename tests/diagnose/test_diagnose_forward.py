"""The forward pass: which module, or the code of which, is named."""

from __future__ import annotations

import pytest
from diagnosis_story import Story, transformer

from pytest_parity.names import NameMap
from pytest_parity.result import Fault, Verdict
from pytest_parity.site import Kind


def test_nothing_fails_nothing_is_diagnosed():
    assert transformer().diagnose() is None
    assert Story().diagnose() is None


def test_verdicts_that_do_not_fail_are_no_divergence():
    story = transformer().mark(Verdict.VACUOUS, "activation/layers.0#0/out")
    story.mark(Verdict.UNOBSERVABLE, "activation/layers.0.ff#0/out").mark(Verdict.CLOSE, "loss/loss")
    assert story.diagnose() is None


@pytest.mark.parametrize("root", [True, False])
def test_a_leaf_whose_output_differs_is_named(root):
    found = transformer(root=root).fail_from("activation/layers.0.attn.k#0/out").diagnose()
    assert (found.fault, found.module, found.reference) == (Fault.MODULE, "layers.0.attn.k", "layers.0.attn.k")
    assert found.site == "activation/layers.0.attn.k#0/out"
    assert (found.after, found.hints) == ("", ())


@pytest.mark.parametrize("verdict", [Verdict.DIFFERS, Verdict.SHAPE, Verdict.DTYPE, Verdict.NONFINITE])
def test_every_failing_verdict_counts(verdict):
    assert transformer().mark(verdict, "activation/head#0/out").diagnose().module == "head"


def test_a_container_all_of_whose_children_agree_is_named_itself():
    found = transformer().fail_from("activation/layers.1.ff#0/out").diagnose()
    assert (found.fault, found.module) == (Fault.MODULE, "layers.1.ff")
    assert found.after == "activation/layers.1.ff.down#0/out"


def test_an_input_that_differs_while_all_before_agrees_is_the_callers_code():
    found = transformer().fail_from("input/layers.1.attn.out#0/in.0").diagnose()
    assert (found.fault, found.module) == (Fault.BETWEEN, "layers.1.attn")
    assert found.after == "activation/layers.1.attn.k#0/out"
    assert found.site == "input/layers.1.attn.out#0/in.0"


def test_the_code_before_the_first_child_is_the_callers_too():
    found = transformer().fail_from("input/layers.1.ff.up#0/in.0").diagnose()
    assert (found.fault, found.module) == (Fault.BETWEEN, "layers.1.ff")
    assert found.after == "input/layers.1.ff#0/in.0"


def test_code_of_a_root_that_was_not_called_is_the_roots():
    found = transformer(root=False).fail_from("input/head#0/in.0").diagnose()
    assert (found.fault, found.module, found.after) == (Fault.BETWEEN, "(model)", "activation/layers.1#0/out")


def test_the_roots_own_input():
    found = transformer().fail_from("input/(model)#0/in.0").diagnose()
    assert (found.fault, found.module, found.site) == (Fault.BETWEEN, "(model)", "input/(model)#0/in.0")


def test_a_list_of_modules_is_never_a_caller():
    found = transformer().fail_from("input/layers.1#0/in.0").diagnose()
    assert (found.fault, found.module) == (Fault.BETWEEN, "(model)")


def test_a_module_that_is_called_from_elsewhere_belongs_to_who_calls_it():
    story = Story()
    with story.call("decoder"):
        story.leaf("encoder.shared")
    assert story.fail_from("input/encoder.shared#0/in.0").diagnose().module == "decoder"


def test_without_inputs_the_module_is_named_with_a_caveat():
    found = transformer(inputs=False).fail_from("activation/layers.1.attn.out#0/out").diagnose()
    assert (found.fault, found.module) == (Fault.MODULE, "layers.1.attn.out")
    assert found.hints == ("inputs were not recorded: the code that makes its input may be what differs",)


def test_without_inputs_the_last_agreeing_child_is_one_of_its_own():
    found = transformer(inputs=False).fail_from("activation/layers.1.ff#0/out").diagnose()
    assert found.after == "activation/layers.1.ff.down#0/out"


def left_out(story: Story, path: str) -> Story:
    sites = [delta.site for delta in story.deltas if f"/{path}#" in delta.site or f"/{path}." in delta.site]
    return story.miss(*(site for site in sites if site.startswith(("input", "activation"))))


@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("root", [True, False])
def test_a_module_that_is_left_out_is_named_whole(inputs, root):
    story = left_out(transformer(root=root, inputs=inputs).fail_from("activation/layers.0.ff#0/out"), "layers.0.ff")
    found = story.diagnose()
    assert (found.fault, found.module) == (Fault.NOT_CALLED, "layers.0.ff")
    assert found.after == "activation/layers.0.attn#0/out"
    assert found.hints == ("the reference calls it from layers.0",)


@pytest.mark.parametrize("inputs", [True, False])
def test_a_child_that_is_left_out_is_named_and_not_its_parent(inputs):
    story = left_out(transformer(inputs=inputs).fail_from("activation/layers.0.ff#0/out"), "layers.0.ff.act")
    assert (found := story.diagnose()).fault is Fault.NOT_CALLED
    assert found.module == "layers.0.ff.act"


def test_a_module_that_gives_none_was_called():
    story = transformer().mark(Verdict.MISSING, "activation/head#0/out", detail="(4,) float32 expected, got None")
    assert story.miss("input/head#0/in.0").diagnose().fault is Fault.BETWEEN


def test_a_call_without_one_of_its_outputs_is_a_module_that_differs():
    story = Story()
    with story.call("lstm"):
        pass
    story.site(Kind.ACTIVATION, "lstm", call=0, leaf="out.1")
    assert (found := story.miss("activation/lstm#0/out.1").diagnose()).fault is Fault.MODULE
    assert found.module == "lstm"


def test_a_divergence_before_a_call_that_is_left_out_comes_first():
    story = left_out(transformer().fail_from("activation/layers.0.norm#0/out"), "layers.1.ff")
    assert story.diagnose().module == "layers.0.norm"


def shared() -> Story:
    story = Story()
    for path in ("a", "b", "c"):
        story.leaf(path)
        story.leaf("act")
    return story


def test_of_a_module_called_several_times_the_call_is_told():
    found = shared().fail_from("activation/act#1/out").diagnose()
    assert (found.fault, found.module, found.site) == (Fault.MODULE, "act", "activation/act#1/out")


def test_a_call_left_out_among_several_shifts_the_others_and_the_count_is_told():
    story = shared().fail_from("input/act#1/in.0").miss("input/act#2/in.0", "activation/act#2/out")
    found = story.diagnose()
    assert (found.fault, found.module, found.after) == (Fault.BETWEEN, "(model)", "activation/b#0/out")
    assert found.hints == ("act is called 2 times here, 3 times in the reference",)


def test_one_call_more_than_the_reference():
    story = shared().mark(Verdict.EXTRA, "input/act#3/in.0", "activation/act#3/out")
    found = story.diagnose()
    assert (found.fault, found.module, found.site) == (Fault.BETWEEN, "(model)", "activation/act#3/out")
    assert found.hints == ("act is called 4 times here, 3 times in the reference",)


def test_a_further_call_is_not_blamed_for_what_diverges_before():
    story = shared().fail_from("activation/b#0/out").mark(Verdict.EXTRA, "activation/act#3/out")
    assert story.diagnose().module == "b"


def test_a_further_tensor_handed_to_a_module_or_given_by_it():
    found = transformer().mark(Verdict.EXTRA, "input/layers.0.attn#0/in.1").diagnose()
    assert (found.fault, found.module) == (Fault.BETWEEN, "layers.0")
    found = transformer().mark(Verdict.EXTRA, "activation/layers.0.attn#0/out.1").diagnose()
    assert (found.fault, found.module) == (Fault.MODULE, "layers.0.attn")


def test_an_output_where_the_golden_has_none_is_a_divergence_in_its_place():
    story = transformer().mark(Verdict.EXTRA, "activation/layers.0.norm#0/out").fail_from("input/layers.0.attn#0/in.0")
    assert (found := story.diagnose()).fault is Fault.MODULE
    assert found.module == "layers.0.norm"


RENAMED = {
    "blocks.{i}": "layers.{i}",
    "blocks.{i}.attention": "layers.{i}.attn",
    "act_a#0": "act#0",
    "act_b#0": "act#1",
}


def test_modules_go_by_the_candidates_names():
    reference = ["(model)", "layers.1", "layers.1.attn", "layers.1.attn.out", "layers.1.extra", "act"]
    candidate = ["(model)", "blocks.1", "blocks.1.attention", "blocks.1.attention.out", "act_a", "act_b"]
    names = NameMap.build(RENAMED).bind(candidate, reference)
    found = transformer().fail_from("input/layers.1.attn.out#0/in.0").diagnose(names)
    assert (found.module, found.reference) == ("blocks.1.attention", "layers.1.attn")
    found = shared().fail_from("activation/act#1/out").diagnose(names)
    assert (found.module, found.reference) == ("act_b", "act")


def test_a_module_that_the_candidate_lacks_goes_by_the_references_name():
    names = NameMap.build({"blocks.{i}": "layers.{i}"}).bind(["blocks.0", "blocks.1"], ["layers.0", "layers.1"])
    found = left_out(transformer(), "layers.0.ff.act").diagnose(names)
    assert (found.module, found.reference) == ("layers.0.ff.act", "layers.0.ff.act")


def test_only_a_later_step_fails():
    story = transformer(step=2).fail_from("activation/layers.1#0/out")
    found = story.diagnose()
    assert (found.step, found.module) == (2, "layers.1")


def test_of_several_steps_the_first_that_fails_is_taken():
    early, late = transformer(step=1).fail("loss/loss"), transformer(step=2).fail_from("activation/embed#0/out")
    early.deltas = [*late.deltas, *early.deltas]
    assert (early.diagnose().step, early.diagnose().fault) == (1, Fault.VALUE)


def test_how_many_sites_fail_besides():
    story = transformer().fail("activation/head#0/out", "output/logits", "loss/loss")
    assert story.diagnose().others == 2
