from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_parity.errors import GoldenError
from pytest_parity.golden.canonical import decode, dumps, loads, plain

leaves = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=5)
trees = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@given(trees)
def test_every_plain_value_comes_back(value: Any) -> None:
    text = dumps(plain(value, "value"))
    assert same(decode(loads(text)), value)
    assert dumps(loads(text)) == text


def test_keys_are_sorted_and_short_values_stay_on_a_line() -> None:
    text = dumps(plain({"b": {"y": 1, "x": [1, 2]}, "a": ["x" * 60, "y" * 60], "c": (1,)}, "value"))
    assert text == (
        f'{{\n  "a": [\n    "{"x" * 60}",\n    "{"y" * 60}"\n  ],\n  "b": {{"x": [1, 2], "y": 1}},\n  "c": [1]\n}}\n'
    )


def test_infinities_are_strict_json() -> None:
    text = dumps(plain({"loss": math.nan, "most": math.inf}, "value"))
    assert json.loads(text, parse_constant=pytest.fail) == {"loss": {"$float": "nan"}, "most": {"$float": "inf"}}


@pytest.mark.parametrize("value", [{1: 2}, {"$float": 1}, {"a": [object()]}, {"a": {3}}])
def test_what_json_cannot_keep_is_refused(value: Any) -> None:
    with pytest.raises(GoldenError, match="golden's manifest keeps"):
        plain(value, "settings")


@pytest.mark.parametrize("text", ['{"$float": 3}', '{"$float": "one"}', '{"$float": "nan", "b": 1}'])
def test_a_malformed_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        decode(loads(text))
