"""Name maps: which rule wins, where names land, and the way back."""

from __future__ import annotations

import re
import time

import pytest

from pytest_parity.names import BoundNames, NameMap

ROOT = "(model)"


def bound(spec, candidate, reference, **aliases):
    return NameMap.build(spec).bind(candidate, reference, **aliases)


def test_a_name_without_a_rule_keeps_its_name():
    names = bound(None, [ROOT, "a", "a.weight"], [ROOT, "a", "a.weight"])
    assert [names.path(name) for name in (ROOT, "a", "a.weight", "unseen")] == [ROOT, "a", "a.weight", "unseen"]
    assert names.call("a", 2) == ("a", 2)


def test_the_empty_name_is_the_root():
    assert bound(None, ["", "a"], ["", "a"]).path("") == ROOT


def test_a_key_matches_a_prefix_and_the_rest_is_appended():
    names = bound({"enc": "encoder"}, ["enc", "enc.a.weight", "encode"], ["encoder", "encoder.a.weight"])
    assert names.path("enc") == "encoder"
    assert names.path("enc.a.weight") == "encoder.a.weight"
    assert names.path("encode") == "encode"  # a component, not a text


def test_a_wildcard_is_one_component_filled_in_the_value():
    names = bound({"b.{i}.{part}": "l.x{i}.{part}_"}, ["b.0", "b.10.ff.weight"], ["l.x10.ff_.weight"])
    assert names.path("b.10.ff.weight") == "l.x10.ff_.weight"
    assert names.path("b.0") == "b.0"  # the wildcard {part} has nothing to stand for


def test_one_wildcard_twice_is_the_same_text_twice():
    names = bound({"b.{i}.{i}": "d.{i}"}, ["b.1.1", "b.1.2"], ["d.1"])
    assert names.path("b.1.1") == "d.1"
    assert names.path("b.1.2") == "b.1.2"


@pytest.mark.parametrize("turned", [False, True])
def test_most_components_win_then_literals_whatever_the_order_declared(turned):
    rules = [("b", "w"), ("b.{i}", "x.{i}"), ("b.0", "y"), ("b.{i}.c", "z.{i}")]
    names = bound(
        rules[::-1] if turned else rules,
        ["b", "b.0", "b.1", "b.0.c", "b.0.c.weight", "b.0.d"],
        ["w", "x.1", "y", "z.0", "z.0.weight", "y.d"],
    )
    assert [names.path(name) for name in ("b", "b.0", "b.1", "b.0.c.weight", "b.0.d")] == [
        "w",
        "y",
        "x.1",
        "z.0.weight",
        "y.d",
    ]


def test_a_regular_expression_speaks_of_the_whole_path_and_beats_a_shorter_key():
    rules = {re.compile(r"h(\d+)\.(.*)"): r"layers.\1.\2", "h0": "other", "h1.exact": "layers.one"}
    names = bound(rules, ["h0", "h0.a", "h1.exact"], ["other", "layers.0.a", "layers.one"])
    assert [names.path(name) for name in ("h0", "h0.a", "h1.exact")] == ["other", "layers.0.a", "layers.one"]


def test_a_function_gets_a_path_and_gives_one():
    names = bound(lambda path: path.replace("blocks", "layers"), ["blocks.0"], ["layers.0"])
    assert names.path("blocks.0") == "layers.0"
    assert names.back("layers.0") == "blocks.0"


def test_a_function_gets_the_root_too_and_nothing_means_the_root():
    names = bound(lambda path: "" if path == "core" else path.removeprefix("core."), ["core", "core.a"], [ROOT, "a"])
    assert (names.path("core"), names.path("core.a")) == (ROOT, "a")


def test_the_candidate_may_be_a_part_of_the_reference():
    names = bound({ROOT: "core"}, [ROOT, "a", "a.weight"], [ROOT, "core", "core.a", "core.a.weight"])
    assert (names.path(ROOT), names.path("a.weight")) == ("core", "core.a.weight")


def test_the_reference_may_be_a_part_of_the_candidate_whose_root_then_has_no_counterpart():
    names = bound({"core": ROOT}, [ROOT, "core", "core.a"], [ROOT, "a"])
    assert (names.path("core"), names.path("core.a")) == (ROOT, "a")
    assert names.path(ROOT) not in (ROOT, "a")
    assert names.back(ROOT) == "core"


CALLS = {
    "b.{i}": "l.{i}",
    "b.{i}.drop_1#0": "l.{i}.dropout#0",
    "b.{i}.drop_2#0": "l.{i}.dropout#1",
    "b.0.drop_2#0": "l.0.dropout#2",
}
CALL_NAMES = ["b.0.drop_1", "b.0.drop_2", "b.1.drop_1", "b.1.drop_2", "b.0", "b.1"]


def test_calls_of_several_modules_land_on_calls_of_one():
    names = bound(CALLS, CALL_NAMES, ["l.0", "l.1", "l.0.dropout", "l.1.dropout"])
    assert names.call("b.1.drop_1", 0) == ("l.1.dropout", 0)
    assert names.call("b.1.drop_2", 0) == ("l.1.dropout", 1)
    assert names.call("b.0.drop_2", 0) == ("l.0.dropout", 2)  # the literal wins
    assert names.call_targets == {"l.0.dropout", "l.1.dropout"}


def test_a_call_that_no_rule_speaks_of_goes_where_its_module_goes():
    names = bound(CALLS, CALL_NAMES, ["l.0", "l.1", "l.0.dropout", "l.1.dropout"])
    assert names.call("b.1.drop_1", 1) == ("l.1.drop_1", 1)


def test_a_call_that_no_rule_speaks_of_never_takes_the_place_of_one_that_a_rule_does():
    names = bound({"a#0": "drop#1"}, ["a", "drop"], ["drop"])
    assert names.call("a", 0) == ("drop", 1)
    assert names.call("drop", 0) == ("drop", 0)
    assert names.call("drop", 1)[0] not in ("drop", "a")


def test_one_module_may_be_split_over_several():
    names = bound({"act#0": "a.act#0", "act#1": "b.act#0"}, ["act"], ["a", "a.act", "b", "b.act"])
    assert [names.call("act", k) for k in (0, 1)] == [("a.act", 0), ("b.act", 0)]
    assert names.back_call("b.act", 0) == ("act", 1)


def test_two_modules_on_one_are_fine_where_rules_tell_their_calls_apart():
    rules = {"a": "c", "b": "c", "a#0": "c#0", "b#0": "c#1"}
    names = bound(rules, ["a", "b", "a.weight"], ["c", "c.weight"])
    assert [names.call(name, 0) for name in "ab"] == [("c", 0), ("c", 1)]


def test_back_is_the_inverse():
    names = bound(CALLS, CALL_NAMES, ["l.0", "l.1", "l.0.dropout", "l.1.dropout"])
    assert names.back("l.1") == "b.1"
    assert names.back_call("l.1", 3) == ("b.1", 3)
    assert names.back_call("l.0.dropout", 2) == ("b.0.drop_2", 0)
    assert names.back("l.0.dropout") == "b.0.drop_1"  # the one with the first call
    assert names.back("l.0.gone") == "l.0.gone"


def test_the_alias_of_a_tied_tensor_lands_where_the_tensor_does():
    rules = {"head": "embed"}
    aliases = {"head.weight": "embed.weight"}
    names = bound(rules, ["embed.weight", "head.bias"], ["embed.weight", "embed.bias"], candidate_aliases=aliases)
    assert names.path("head.weight") == "embed.weight"


def test_what_lands_on_an_alias_of_the_references_is_the_tied_tensor():
    aliases = {"embed.weight": "head.weight"}
    names = bound(None, ["embed.weight"], ["head.weight"], reference_aliases=aliases)
    assert names.path("embed.weight") == "head.weight"
    assert names.back("head.weight") == "embed.weight"


def test_a_tensor_that_only_the_reference_ties_keeps_its_name():
    aliases = {"head.weight": "embed.weight"}
    names = bound(None, ["embed.weight", "head.weight"], ["embed.weight"], reference_aliases=aliases)
    assert (names.path("embed.weight"), names.path("head.weight")) == ("embed.weight", "head.weight")


def test_identity_needs_no_names():
    names = BoundNames.identity()
    assert names.path("") == ROOT
    assert names.call("a", 1) == names.back_call("a", 1) == ("a", 1)
    assert names.back("a") == "a"


def test_a_name_map_is_taken_as_it_is():
    names = NameMap.build({"a": "b"})
    assert NameMap.build(names) is names


def test_binding_a_large_model_is_quick():
    parts = ["norm1", "attn.q", "attn.k", "attn.v", "attn.out", "ff.up", "ff.down"]
    candidate = [f"blocks.{i}.{part}.weight" for i in range(100) for part in parts]
    rules = {f"blocks.{i}": f"layers.{i}" for i in range(90)}
    rules |= {f"blocks.{{i}}.{part}": f"layers.{{i}}.{part.upper()}" for part in parts}
    reference = [NameMap.build(rules).translate(name) for name in candidate]
    start = time.perf_counter()
    names = NameMap.build(rules).bind(candidate, reference)
    assert time.perf_counter() - start < 0.5  # about 10 ms; a hundred times too slow still fails
    assert names.path("blocks.7.attn.q.weight") == "layers.7.ATTN.Q.weight"
