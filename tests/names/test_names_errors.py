"""What a name map refuses, and how it says so."""

from __future__ import annotations

import re

import pytest

from pytest_parity.errors import NameMapError
from pytest_parity.names import NameMap


def refused(spec, candidate=("a",), reference=("a",), **aliases) -> str:
    with pytest.raises(NameMapError) as caught:
        NameMap.build(spec).bind(candidate, reference, **aliases)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("a.{i", "b", "the braces in '{i' are not a wildcard; one looks like '{i}'"),
        ("a.i}", "b", "the braces in 'i}' are not a wildcard; one looks like '{i}'"),
        ("a.{}", "b", "the braces in '{}' are not a wildcard; one looks like '{i}'"),
        ("a.{i}", "b.{i", "the braces in '{i' are not a wildcard; one looks like '{i}'"),
        ("a.{i}", "b.{j}", "the value's {j} is no wildcard of the key (the key has {i})"),
        ("a", "b.{j}", "the value's {j} is no wildcard of the key (the key has none)"),
        ("a.x{i}", "b", "'x{i}' mixes text and a wildcard, which stands for a whole component; use re.compile"),
        ("a#x", "b#0", "'#x' is no call; the first call of a module is '#0'"),
        ("a#", "b#0", "'#' is no call; the first call of a module is '#0'"),
        ("a#0", "b", "a rule for one call has '#' and a number on both sides"),
        ("a", "b#0", "a rule for one call has '#' and a number on both sides"),
        ("a..b", "c", "'a..b' has an empty component"),
        ("a", "b.", "'b.' has an empty component"),
        ("", "b", "an empty path; the root is '(model)'"),
        (3, "b", "a key is text or a compiled regular expression, a value is text"),
        ("a", None, "a key is text or a compiled regular expression, a value is text"),
    ],
)
def test_a_rule_that_cannot_be_read_is_quoted(key, value, why):
    with pytest.raises(NameMapError) as caught:
        NameMap.build({key: value})
    assert str(caught.value) == f"name rule {key!r}: {value!r}: {why}"


@pytest.mark.parametrize("spec", [3, "a", [("a",)], ["ab"]])
def test_what_is_no_name_map_is_refused(spec):
    with pytest.raises(NameMapError):
        NameMap.build(spec)


def test_two_rules_for_the_same_names_are_refused():
    assert refused({"a.{i}": "b.{i}", "a.{j}": "c.{j}"}) == (
        "name rules 'a.{i}': 'b.{i}' and 'a.{j}': 'c.{j}' are about the same names"
    )


def test_a_rule_that_matches_nothing_names_the_nearest():
    assert refused({"encoder.block.{i}": "b"}, ["encoder.blocks.0.conv", "encoder.blocks.1", "b"], ["b"]) == (
        "name rule 'encoder.block.{i}': 'b': the key matches no module, parameter or buffer of the candidate"
        "; nearest: 'encoder.blocks.0', 'encoder.blocks.1'"
    )


def test_an_expression_that_matches_nothing_is_quoted():
    assert refused({re.compile("x.*"): "b"}) == (
        "name rule re.compile('x.*'): 'b': the expression matches all of no name of the candidate's"
    )


def test_an_expression_with_no_such_group_is_quoted():
    assert refused({re.compile("a"): r"\1"}).startswith(r"name rule re.compile('a'): '\\1': ")


def test_a_rule_that_leads_nowhere_names_the_nearest():
    assert refused({"a": "encodr.x"}, ["a"], ["encoder.x", "head"]) == (
        "name rule 'a': 'encodr.x': it leads to 'encodr.x', which the reference does not have; nearest: 'encoder.x'"
    )


def test_a_rule_some_of_whose_names_arrive_is_fine():
    NameMap.build({"a": "b"}).bind(["a", "a.weight", "a.extra"], ["b", "b.weight"])


def test_a_rule_for_a_call_of_no_module_names_the_nearest():
    assert refused({"l.{i}.drp#0": "a#0"}, ["l.0.drop", "l.1"], ["a"]) == (
        "name rule 'l.{i}.drp#0': 'a#0': the key is no module of the candidate; nearest: 'l.0.drop'"
    )


def test_a_rule_for_a_call_that_leads_to_no_module_names_the_nearest():
    assert refused({"drop#0": "dropot#3"}, ["drop"], ["dropout"]) == (
        "name rule 'drop#0': 'dropot#3': it leads to 'dropot', which is no module of the reference; nearest: 'dropout'"
    )


def test_two_calls_on_one_are_refused():
    assert refused({"a#0": "c#0", "b#0": "c#0"}, ["a", "b"], ["c"]) == (
        "calls 'a'#0 and 'b'#0 of the candidate both land on 'c'#0 (name rules 'a#0': 'c#0' and 'b#0': 'c#0')"
    )


def test_two_modules_on_one_are_refused():
    assert refused({"a": "c"}, ["a", "c"], ["c"]) == (
        "2 names of the candidate land on 'c' of the reference: 'a' by the rule 'a': 'c'; 'c' by its name. "
        "A key that ends in a wildcard, 'a.{name}', maps only what is inside; 'a#0' maps a single call"
    )


def test_what_is_inside_a_further_container_is_mapped_by_a_wildcard():
    names = NameMap.build({"enc.a.{name}": "enc.{name}"}).bind(["enc", "enc.a", "enc.a.x"], ["enc", "enc.x"])
    assert (names.path("enc.a.x"), names.path("enc.a")) == ("enc.x", "enc.a")


def test_two_parameters_on_one_are_refused_though_calls_are_told_apart():
    rules = {"a": "c", "b": "c", "a#0": "c#0", "b#0": "c#1"}
    assert "land on 'c.weight'" in refused(rules, ["a", "b", "a.weight", "b.weight"], ["c", "c.weight"])


def test_two_aliases_of_one_tensor_on_one_are_fine():
    rules = {"a": "c", "b": "c", "a#0": "c#0", "b#0": "c#1"}
    aliases = {"b.weight": "a.weight"}
    names = NameMap.build(rules).bind(["a", "b", "a.weight"], ["c", "c.weight"], candidate_aliases=aliases)
    assert names.path("b.weight") == "c.weight"


def test_a_function_that_merges_names_is_refused():
    assert "2 names of the candidate land on 'x'" in refused(lambda _: "x", ["a", "b"], ["x"])


def test_a_function_that_gives_no_path_is_refused():
    assert refused(lambda _: None).endswith("('a'): it gives None, not a path")
    assert refused(lambda _: "a..b").endswith("('a'): it gives 'a..b', which has an empty component")
