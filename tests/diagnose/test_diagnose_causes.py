"""What comes before and after the forward pass: structure, data, weights, values, gradients, updates."""

from __future__ import annotations

from dataclasses import replace

import pytest
from diagnosis_story import PARAMETERS, Story, transformer

from pytest_parity.contract.structure import Structure, TensorInfo
from pytest_parity.names import NameMap
from pytest_parity.result import Delta, Fault, Verdict
from pytest_parity.site import Kind

INFO = TensorInfo((2,), "float32", trainable=True)


def everything(story: Story) -> Story:
    return story.fail(*(delta.site for delta in story.deltas))


@pytest.mark.parametrize("verdict", [Verdict.MISSING, Verdict.SHAPE, Verdict.DTYPE])
def test_structure_comes_before_every_number(verdict):
    found = everything(transformer()).mark(verdict, "weight/head.weight").diagnose()
    assert (found.fault, found.module) == (Fault.STRUCTURE, "head.weight")


def test_what_trains_is_structure():
    story = Story()
    story.site(Kind.WEIGHT, "a.weight")
    found = story.mark(Verdict.DIFFERS, "weight/a.weight").diagnose()
    assert found.fault is Fault.WEIGHT
    story.deltas = [delta_without_numbers(delta) for delta in story.deltas]
    assert story.diagnose().fault is Fault.STRUCTURE


def delta_without_numbers(delta):
    return replace(delta, metrics=None, detail="frozen here, trains in the reference")


def test_what_only_the_candidate_has_comes_after_what_it_lacks():
    story = transformer().mark(Verdict.EXTRA, "weight/a.weight").mark(Verdict.MISSING, "weight/head.weight")
    assert story.diagnose().module == "head.weight"
    assert transformer().mark(Verdict.EXTRA, "weight/a.weight").diagnose().module == "a.weight"


def test_the_batch_comes_before_the_weights():
    found = everything(transformer()).diagnose()
    assert (found.fault, found.module, found.site) == (Fault.DATA, "loader/audio", "batch/loader/audio")


def test_the_weights_come_before_the_forward():
    names = NameMap.build({"encoder": "embed"}).bind(["encoder", "encoder.weight"], ["embed", "embed.weight"])
    story = transformer().fail_from("input/embed#0/in.0").fail("weight/embed.weight", "weight/head.weight")
    found = story.diagnose(names)
    assert (found.fault, found.module, found.reference) == (Fault.WEIGHT, "encoder.weight", "embed.weight")
    assert [hint.partition(":")[0] for hint in found.hints] == ["to start from the reference's weights"]


def test_an_output_and_then_the_loss_while_every_call_agrees():
    found = transformer().fail("output/logits", "loss/loss").diagnose()
    assert (found.fault, found.module, found.after) == (Fault.VALUE, "logits", "activation/(model)#0/out")
    found = transformer().fail("loss/loss", "gradient/head.weight").diagnose()
    assert (found.fault, found.module, found.site) == (Fault.VALUE, "loss", "loss/loss")


def gradients(*paths: str) -> tuple[str, ...]:
    return tuple(f"gradient/{path}" for path in paths)


BACKWARD_ORDER = ("head.weight", *reversed(PARAMETERS), "embed.weight")


@pytest.mark.parametrize("place", range(len(BACKWARD_ORDER)))
@pytest.mark.parametrize("root", [True, False])
def test_gradients_are_judged_against_the_direction_of_the_forward(place, root):
    found = transformer(root=root).fail(*gradients(*BACKWARD_ORDER[place:])).diagnose()
    assert (found.fault, found.module) == (Fault.BACKWARD, BACKWARD_ORDER[place].removesuffix(".weight"))
    assert found.after == (gradients(BACKWARD_ORDER[place - 1])[0] if place else "")


def test_a_parameter_used_without_its_module_belongs_to_the_innermost_one_that_was_called():
    story = Story()
    with story.call("attn"):
        story.leaf("attn.q")
    story.leaf("head")
    story.each(Kind.GRADIENT, "attn.q.weight", "attn.out_proj.weight", "attn.bias", "head.weight")
    found = story.fail(*gradients("attn.q.weight", "attn.out_proj.weight")).diagnose()
    assert (found.module, found.site) == ("attn", "gradient/attn.out_proj.weight")


def test_without_module_calls_the_last_parameter_comes_first():
    story = Story()
    story.each(Kind.GRADIENT, "a.weight", "b.weight", "c.weight")
    found = story.fail(*gradients("a.weight", "b.weight")).diagnose()
    assert (found.module, found.after) == ("b", "gradient/c.weight")


def test_a_shared_modules_gradient_is_complete_only_after_its_first_call():
    story = Story()
    for path in ("shared", "middle", "shared"):
        story.leaf(path)
    story.each(Kind.GRADIENT, "shared.weight", "middle.weight")
    assert story.fail(*gradients("shared.weight", "middle.weight")).diagnose().module == "middle"


def test_a_tied_parameter_says_so():
    structure = Structure(
        {"embed.weight": TensorInfo((2,), "float32", trainable=True, aliases=("out.weight",))}, {}, {}
    )
    found = transformer().fail("gradient/embed.weight").diagnose(structure=structure)
    assert (found.module, found.hints) == ("embed", ("embed.weight is tied: it is out.weight too",))


def test_an_activation_gradient_stands_at_its_own_call():
    story = Story()
    for path in ("a", "b", "a"):
        story.leaf(path)
    for path, call in (("a", 1), ("b", 0), ("a", 0)):
        story.site(Kind.ACTIVATION_GRADIENT, path, call=call, leaf="out")
    story.each(Kind.GRADIENT, "a.weight", "b.weight")
    story.fail("activation_gradient/b#0/out", "activation_gradient/a#0/out", *gradients("a.weight", "b.weight"))
    found = story.diagnose()
    assert (found.fault, found.module, found.site) == (Fault.BACKWARD, "b", "activation_gradient/b#0/out")
    assert found.after == "activation_gradient/a#1/out"


def test_a_detached_module_is_named_whole():
    lost = [path for path in PARAMETERS if path.startswith("layers.1.ff.")]
    upstream = [path for path in BACKWARD_ORDER if path.startswith("layers.0.")]
    found = transformer().fail(*gradients(*upstream)).miss(*gradients(*lost)).diagnose()
    assert (found.fault, found.module, found.hints) == (Fault.NO_GRADIENT, "layers.1.ff", ())


def test_everything_before_the_detached_point_is_the_outermost_module_that_holds_it():
    lost = [path for path in PARAMETERS if path.startswith("layers.")]
    assert transformer().miss(*gradients(*lost)).diagnose().module == "layers"


def test_a_single_parameter_without_a_gradient_is_named_itself():
    story = Story()
    story.leaf("a")
    story.each(Kind.GRADIENT, "a.weight", "a.bias")
    assert story.miss("gradient/a.bias").diagnose().module == "a.bias"


def test_no_gradient_at_all_asks_for_backward():
    found = transformer().miss(*gradients(*BACKWARD_ORDER)).diagnose()
    assert (found.module, found.hints) == (
        "(model)",
        ("no parameter has a gradient: was backward run before the check?",),
    )


def test_parameters_without_a_gradient_on_either_side_do_not_count():
    story = Story()
    story.leaf("a")
    story.each(Kind.GRADIENT, "a.frozen", "a.weight")
    story.deltas = [replace(d, elements=0) if d.site == "gradient/a.frozen" else d for d in story.deltas]
    assert story.miss("gradient/a.weight").diagnose().module == "(model)"
    assert story.mark(Verdict.EQUAL, "gradient/a.weight").diagnose() is None


def test_a_gradient_that_only_the_candidate_has_comes_last():
    story = transformer().mark(Verdict.EXTRA, "gradient/head.weight")
    assert (found := story.diagnose()).fault is Fault.BACKWARD
    assert found.module == "head"
    assert story.fail("gradient/embed.weight").diagnose().module == "embed"


CHANGES = (("weight_decay", "0.001", "0.0"), ("betas", "(0.9, 0.98)", "(0.9, 0.999)"))


def test_only_updates_differ():
    story = transformer().fail("updated_weight/embed.weight", "updated_weight/head.weight")
    found = story.diagnose(optimizers=["AdamW"], hyperparameters=CHANGES)
    assert (found.fault, found.module, found.reference) == (Fault.UPDATE, "AdamW", "AdamW")
    assert (found.site, found.others) == ("updated_weight/embed.weight", 1)
    assert found.hints == (
        "weight_decay is 0.0, the golden's run had 0.001",
        "betas is (0.9, 0.999), the golden's run had (0.9, 0.98)",
    )


def test_the_optimizers_state_comes_before_its_updates():
    found = transformer().fail("optimizer/head.weight/exp_avg", "updated_weight/embed.weight").diagnose()
    assert (found.fault, found.module, found.site) == (
        Fault.UPDATE,
        "the optimizer",
        "optimizer/head.weight/exp_avg",
    )


def test_of_several_optimizers_the_one_is_named():
    story = Story()
    story.each(Kind.UPDATED_WEIGHT, "a.weight")
    story.deltas[0] = Delta("updated_weight/a.weight@opt1", 0, 0, Verdict.DIFFERS)
    assert story.diagnose(optimizers=["SGD", "Adam"]).module == "Adam"


def test_a_gradient_comes_before_the_updates_that_follow_from_it():
    story = transformer().fail("gradient/embed.weight", "updated_weight/embed.weight")
    assert story.diagnose(optimizers=["AdamW"]).fault is Fault.BACKWARD


def test_a_buffer_is_updated_by_its_module_and_not_by_the_optimizer():
    structure = Structure({}, {"norm.running_mean": INFO}, {})
    story = transformer().fail("updated_weight/norm.running_mean", "updated_weight/head.weight")
    found = story.diagnose(structure=structure, optimizers=["AdamW"])
    assert (found.fault, found.module, found.site) == (Fault.MODULE, "norm", "updated_weight/norm.running_mean")
    assert story.diagnose(optimizers=["AdamW"]).fault is Fault.UPDATE
