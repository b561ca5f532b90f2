"""No proof is false: models that are renamed at random, with values that occur often, and with weights of their own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pytest_parity.names import NameMap
from pytest_parity.names.propose import propose
from pytest_parity.names.written import rules_of

SHAPES = ((3,), (3,), (2, 3), (3, 3), ())


def made(draw: random.Random, depth: int = 0) -> dict[str, Any]:
    """Modules in modules, whose tensors are zeros, ones or random."""
    tree: dict[str, Any] = {}
    for i in range(draw.randint(1, 3)):
        if depth < 2 and draw.random() < 0.5:
            tree[f"m{i}"] = made(draw, depth + 1)
        else:
            tree[f"t{i}"] = draw.choice([torch.zeros, torch.ones, torch.randn, torch.randn])(draw.choice(SHAPES))
    return tree


def renamed(
    draw: random.Random, tree: dict[str, Any], here: str = "", there: str = ""
) -> Iterator[tuple[str, str, Any]]:
    """Each tensor's new name and its old one: in another order, with names that are new or another's."""
    keys = draw.sample(list(tree), len(tree))
    new = draw.choice([keys, draw.sample(keys, len(keys)), [f"n{place}" for place in range(len(keys))]])
    for key, name in zip(keys, new, strict=True):
        if isinstance(tree[key], dict):
            yield from renamed(draw, tree[key], f"{here}{name}.", f"{there}{key}.")
        else:
            yield f"{here}{name}", f"{there}{key}", tree[key]


@pytest.mark.parametrize("seed", range(150))
def test_no_proof_is_false(seed: int):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    pairs = list(renamed(draw, made(draw)))
    truth = {name: old for name, old, _ in pairs}
    own = draw.random() < 0.3  # some weights are the candidate's own, of which nothing is to be proved
    candidate = {
        name: torch.randn(value.shape) if own and draw.random() < 0.5 and value.unique().numel() > 1 else value.clone()
        for name, _, value in pairs
    }
    found = propose(candidate, {old: value for _, old, value in pairs})
    assert {match.candidate: match.target for match in found.proved}.items() <= truth.items()
    rules = NameMap.build(rules_of(found.proved, found.unsettled()))
    assert all(rules.translate(match.candidate) == match.target for match in found.proved)
    named = [match.candidate for match in found.matches] + [name for tie in found.ties for name in tie.candidate]
    assert sorted([*named, *found.candidate]) == sorted(candidate)
