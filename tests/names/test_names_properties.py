"""What holds for any name map."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_parity.errors import NameMapError
from pytest_parity.names import NameMap

part = st.sampled_from(["a", "b", "c", "0", "1"])
path = st.lists(part, min_size=1, max_size=4).map(".".join)
key = st.lists(st.sampled_from(["a", "b", "0", "{i}"]), min_size=1, max_size=3).map(".".join)


def by_hand(rules, name):
    """The same decision, rule by rule."""
    components = name.split(".")
    best = None
    for key, value in rules.items():
        parts = key.split(".")
        wild = tuple(piece == "{i}" for piece in parts)
        seen = {piece for piece, is_wild in zip(components, wild, strict=False) if is_wild}
        fits = len(parts) <= len(components) and len(seen) <= 1
        if fits and all(w or p == c for p, c, w in zip(parts, components, wild, strict=False)):
            best = min(filter(None, [best, (-len(parts), wild, [*value.split("."), *components[len(parts) :]])]))
    return ".".join(best[2]) if best else name


@given(st.dictionaries(key, path, max_size=5), st.lists(path, max_size=8))
def test_translation_is_what_trying_every_rule_gives(rules, names):
    name_map = NameMap.build(rules)
    assert [name_map.translate(name) for name in names] == [by_hand(rules, name) for name in names]


@given(st.dictionaries(path, path, max_size=3), st.lists(path, min_size=1, max_size=8, unique=True))
def test_a_bound_map_is_one_to_one(rules, names):
    name_map = NameMap.build(rules)
    try:
        bound = name_map.bind(names, [name_map.translate(name) for name in names])
    except NameMapError:
        return
    assert [bound.back(bound.path(name)) for name in names] == names
