"""Rearranged tensors beside everything else: ties, several optimizers, dtypes, missing gradients, live pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from attention import BATCHES, Model, training
from parity_studio import Studio, single
from torch import nn

from pytest_parity.contract.structure import compare_structures, count_difference, describe
from pytest_parity.errors import NameMapError, ParityFailure
from pytest_parity.names import NameMap, concat, moves, part_of, transposed
from pytest_parity.session.equivalent import assert_equivalent

FUSED = {"layers.{i}.qkv": concat("layers.{i}.q", "layers.{i}.k", "layers.{i}.v")}
SPLIT = {f"layers.{{i}}.{name}": part_of("layers.{i}.qkv", index=i, of=3) for i, name in enumerate("qkv")}


def bound(spec, candidate: nn.Module, reference: nn.Module):
    own, other = describe(candidate), describe(reference)
    return NameMap.build(spec).bind(
        own.all_names,
        other.all_names,
        candidate_aliases=own.tensor_aliases,
        reference_aliases=other.tensor_aliases,
        candidate_shapes={name: info.shape for name, info in own.tensors.items()},
        reference_shapes={name: info.shape for name, info in other.tensors.items()},
    )


# structures


@pytest.mark.parametrize("fused", [True, False], ids=["fused here", "split here"])
def test_structures_and_counts_agree(fused: bool):
    candidate, reference = Model(fused=fused), Model(fused=not fused)
    names = bound(FUSED if fused else SPLIT, candidate, reference)
    assert compare_structures(describe(reference), describe(candidate), names) == ()
    assert count_difference(describe(reference), describe(candidate), names) == ()


def test_one_part_of_another_dtype_is_a_difference_of_the_whole():
    candidate, reference = Model(fused=False), Model(fused=True)
    candidate.layers[1].k.weight.data = candidate.layers[1].k.weight.data.bfloat16()
    (delta,) = compare_structures(describe(reference), describe(candidate), bound(SPLIT, candidate, reference))
    assert (delta.site, delta.verdict.value) == ("weight/layers.1.qkv.weight", "dtype")
    assert delta.detail == "bfloat16 here, float32 in the reference"
    assert delta.candidate == "weight/layers.1.q.weight + layers.1.k.weight + layers.1.v.weight"


def test_what_is_missing_beside_a_fused_tensor_is_counted_where_the_reference_has_it():
    candidate, reference = Model(fused=True), Model(fused=False)
    candidate.layers[1].out = nn.Linear(8, 8, bias=False)
    names = bound(FUSED, candidate, reference)
    assert count_difference(describe(reference), describe(candidate), names)[1:] == (
        "layers.1.out: 72 parameters in the reference, 64 here (-8)",
    )


# ties and buffers


class Tied(nn.Module):
    def __init__(self, *, turned: bool, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        weight = torch.randn(5, 3)
        self.embed = nn.Module()
        self.head = nn.Module()
        self.embed.weight = self.head.weight = nn.Parameter(weight.T.contiguous() if turned else weight)
        self.turned = turned

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.embed.weight.T if self.turned else self.embed.weight
        return torch.nn.functional.embedding(x, weight) @ weight.T


@pytest.mark.parametrize("key", ["embed.weight", "head.weight"])
def test_a_tied_tensor_is_rearranged_under_any_of_its_names(studio: Studio, key: str):
    x = torch.tensor([[0, 4, 2]])
    studio.record(single(Tied(turned=False), x))

    def check(parity) -> None:
        single(parity.load(Tied(turned=True, seed=1), names={key: transposed(key)}), x)(parity)

    comparison = studio.check(check)
    assert comparison.compared == comparison.expected
    assert comparison.kinds["weight"] == comparison.kinds["gradient"] == 1


# optimizers


def test_parts_that_two_optimizers_hold_are_not_taken_for_one(studio: Studio):
    studio.record(training(lambda: Model(fused=True)))

    def body(parity) -> None:
        made = Model(fused=False)
        parity.load(made, names=SPLIT)
        keys = [p for name, p in made.named_parameters() if ".k." in name]
        rest = [p for name, p in made.named_parameters() if ".k." not in name]
        both = [torch.optim.AdamW(one, lr=1e-2, weight_decay=0.1) for one in (rest, keys)]
        kinds = ["weight", "gradient", "optimizer", "updated_weight"]
        with parity.watch(made, optimizer=both, names=SPLIT, kinds=kinds) as run:
            for batch in run.steps(BATCHES):
                made.zero_grad()
                out = made(batch)
                loss = out.square().mean()
                loss.backward()
                for one in both:
                    one.step()
                parity.assert_outputs(out)
                parity.assert_loss(loss)

    failing = {delta.site.partition("/")[0] for delta in studio.failure(body).comparison.failures}
    assert "optimizer" in failing
    assert "gradient" not in failing


class Unused(nn.Module):
    """Only the first of two projections is used."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        if fused:
            self.ab = nn.Linear(4, 6)
        else:
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ab(x)[..., :3] if hasattr(self, "ab") else self.a(x)


@pytest.mark.parametrize("fused", [True, False], ids=["fused here", "split here"])
def test_no_gradient_is_not_a_gradient_of_zeros(studio: Studio, fused: bool):
    x = torch.randn(2, 4)
    studio.record(lambda parity: _unused(parity, Unused(fused=not fused), x))
    names = {"ab": concat("a", "b")} if fused else {n: part_of("ab", index=i, of=2) for i, n in enumerate("ab")}
    failure = studio.failure(lambda parity: _unused(parity, Unused(fused=fused), x, names))
    assert {delta.site for delta in failure.comparison.failures} == {
        f"gradient/{name}.{kind}" for name in (["b"] if fused else ["ab"]) for kind in ("weight", "bias")
    }


def _unused(parity, model: nn.Module, x: torch.Tensor, names=None) -> None:
    parity.load(model, names=names)
    with parity.watch(model, names=names, kinds=["weight", "gradient"]):
        model(parity.input("x", x.clone)).square().sum().backward()


# the round trip


def test_a_tensor_that_does_not_come_back_bit_for_bit_is_refused(studio: Studio, monkeypatch: pytest.MonkeyPatch):
    studio.record(training(lambda: Model(fused=False)))
    assert studio.check(training(lambda: Model(fused=True), names=FUSED)).passed
    exact = moves._view
    monkeypatch.setattr(moves, "_view", lambda tensor, view: exact(tensor, view).flip(0))
    with pytest.raises(
        NameMapError,
        match=r"layers\.0\.qkv\.weight \(24, 8\) does not come back bit for bit from layers\.0\.q\.weight \(8, 8\)",
    ):
        studio.check(training(lambda: Model(fused=True), names=FUSED))


def test_two_live_models_are_compared_through_transforms():
    kinds = ["gradient", "optimizer", "updated_weight", "output"]
    inputs = (torch.randn(3, 5, 8),)
    assert assert_equivalent(Model(fused=False), Model(fused=True, seed=1), inputs, names=FUSED, kinds=kinds).passed
    turned = {"layers.{i}.qkv": concat("layers.{i}.q", "layers.{i}.v", "layers.{i}.k")}
    with pytest.raises(ParityFailure):
        assert_equivalent(Model(fused=False), Model(fused=True, seed=1), inputs, names=turned, kinds=kinds)


def test_the_examples_of_the_documentation_say_what_they_say():
    """Messages that docs/names.md quotes."""
    whole, parts = {"qkv.weight": (24, 8)}, {f"{name}.weight": (8, 8) for name in "qkv"}
    page = (Path(__file__).parents[2] / "docs" / "names.md").read_text(encoding="utf-8")
    for spec, own, other in (
        ({"qkv": concat("q", "k")}, whole, parts),
        (
            {name: part_of("qkv", index=i, of=3) for i, name in enumerate("qk")},
            {k: parts[k] for k in list(parts)[:2]},
            whole,
        ),
    ):
        with pytest.raises(NameMapError) as caught:
            NameMap.build(spec).bind(own, other, candidate_shapes=own, reference_shapes=other)
        assert str(caught.value) in page
