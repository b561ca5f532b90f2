"""Any model, any single fault in a chain of calls: the place where it was put is the place that is named."""

from __future__ import annotations

from diagnosis_story import Story
from hypothesis import given
from hypothesis import strategies as st

from pytest_parity.result import Fault

trees = st.recursive(st.just(()), lambda children: st.lists(children, min_size=1, max_size=3).map(tuple), max_leaves=10)


def run(story: Story, tree, path: str) -> None:
    with story.call(path):
        for place, child in enumerate(tree):
            run(story, child, f"{path}.{place}" if path != "(model)" else str(place))


def story_of(tree) -> Story:
    story = Story()
    run(story, tree, "(model)")
    return story


@given(trees, st.data())
def test_a_wrong_output_names_its_module(tree, data):
    story = story_of(tree)
    site = data.draw(st.sampled_from([d.site for d in story.deltas if d.site.startswith("activation")]))
    found = story.fail_from(site).diagnose()
    assert (found.fault, found.site) == (Fault.MODULE, site)
    assert f"activation/{found.module}#0/out" == site


@given(trees, st.data())
def test_a_wrong_input_names_the_caller(tree, data):
    story = story_of(tree)
    site = data.draw(st.sampled_from([d.site for d in story.deltas if d.site.startswith("input")]))
    found = story.fail_from(site).diagnose()
    path = site.removeprefix("input/").removesuffix("#0/in.0")
    assert (found.fault, found.site) == (Fault.BETWEEN, site)
    assert found.module == (path.rpartition(".")[0] or "(model)")


@given(trees, st.booleans(), st.data())
def test_a_call_left_out_is_named_whole(tree, inputs, data):
    story = Story(inputs=inputs)
    run(story, tree, "(model)")
    paths = [d.site.removeprefix("activation/").partition("#")[0] for d in story.deltas if "activation" in d.site]
    path = data.draw(st.sampled_from(paths))
    inside = [d.site for d in story.deltas if path == "(model)" or f"/{path}#" in d.site or f"/{path}." in d.site]
    found = story.fail_from(f"activation/{path}#0/out").miss(*inside).diagnose()
    assert found.fault is Fault.NOT_CALLED
    assert found.module == path
