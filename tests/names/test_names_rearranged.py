"""Fused against split, from the recording to the verdict: weights, gradients, optimizer state and updates."""

from __future__ import annotations

import pytest
import torch
from attention import Model, training
from parity_studio import Studio, single
from torch import nn

from pytest_parity.errors import LoadError, NameMapError
from pytest_parity.names import concat, part_of, reshaped, stack, transposed, unstacked

FUSED = {"layers.{i}.qkv": concat("layers.{i}.q", "layers.{i}.k", "layers.{i}.v")}
SPLIT = {f"layers.{{i}}.{name}": part_of("layers.{i}.qkv", index=i, of=3) for i, name in enumerate("qkv")}
OF = {True: FUSED, False: SPLIT}
here = pytest.mark.parametrize("fused", [True, False], ids=["fused here", "split here"])


def model(fused: bool, order: str = "qkv"):
    return lambda: Model(fused=fused, order=order, seed=1)


def recorded(studio: Studio, *, fused: bool, **options) -> dict[str, int]:
    """Record, and count the sites by kind."""
    golden = studio.record(training(lambda: Model(fused=fused), **options))
    found: dict[str, int] = {}
    for entry in (entry for step in golden.steps for entry in golden.entries(step)):
        found[entry.site.kind.value] = found.get(entry.site.kind.value, 0) + 1
    return {kind: count for kind, count in found.items() if kind != "batch"}


def first_line(studio: Studio, body) -> str:
    return str(studio.failure(body)).splitlines()[0]


@here
def test_every_site_of_the_references_is_compared_and_loaded_weights_are_its_bits(studio: Studio, fused: bool):
    kinds = recorded(studio, fused=not fused)
    comparison = studio.check(training(model(fused), names=OF[fused]))
    assert comparison.kinds == kinds
    assert comparison.compared == comparison.expected == sum(kinds.values())
    assert comparison.counts["equal"] >= kinds["weight"] + kinds["optimizer"] // 2  # where either step began


@here
def test_without_load_the_candidates_own_weights_are_compared(studio: Studio, fused: bool):
    recorded(studio, fused=not fused)
    line = first_line(studio, training(model(fused), names=OF[fused], load=False))
    assert "weight" in line
    assert "layers.0" in line


@here
def test_parts_in_another_order_are_seen_where_they_first_show(studio: Studio, fused: bool):
    recorded(studio, fused=not fused)
    turned = {key: part_of("layers.{i}.qkv", index=i, of=3) for i, key in enumerate(["layers.{i}.k", "layers.{i}.q"])}
    names = {"layers.{i}.qkv": concat(*(f"layers.{{i}}.{one}" for one in "kqv"))} if fused else {**SPLIT, **turned}
    failure = studio.failure(training(model(fused), names=names))
    assert str(failure).startswith("case step 0: the output outputs is the first site that differs")
    assert {delta.site.partition("/")[0] for delta in failure.comparison.failures} >= {"gradient", "loss"}


@pytest.mark.parametrize("name", ["k", "v"])
@here
def test_a_gradient_that_is_wrong_in_one_part_alone_is_that_parts(studio: Studio, fused: bool, name: str):
    recorded(studio, fused=not fused)

    def edit(made: nn.Module) -> None:
        layer = made.layers[1]
        gradient = layer.qkv.weight.grad if fused else getattr(layer, name).weight.grad
        (gradient["qkv".index(name) * 8 :][:8] if fused else gradient).mul_(1.01)

    failure = studio.failure(training(model(fused), names=OF[fused], edit=edit))
    site = f"gradient/layers.1.{name if fused else 'qkv'}.weight"
    assert {delta.site for delta in failure.comparison.failures if delta.step == 0} == {site}
    own = "layers.1.qkv.weight" if fused else " + ".join(f"layers.1.{one}.weight" for one in "qkv")
    assert failure.comparison.failures[0].candidate == f"gradient/{own}"


@here
def test_an_optimizer_that_is_set_differently_is_seen_in_the_updates_alone(studio: Studio, fused: bool):
    recorded(studio, fused=not fused)

    def other(made: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(made.parameters(), lr=1e-2, weight_decay=0.1, betas=(0.9, 0.99))

    comparison = studio.failure(training(model(fused), names=OF[fused], optimizer=other)).comparison
    assert {delta.site.partition("/")[0] for delta in comparison.failures} <= {"updated_weight", "optimizer"}
    assert any("layers.1." in delta.site for delta in comparison.failures)


@here
def test_a_step_that_is_judged_alone_says_no_word_of_obstacles(studio: Studio, fused: bool):
    recorded(studio, fused=not fused)
    comparison = studio.check(training(model(fused), names=OF[fused]))
    assert not any("updates are judged by" in note for note in comparison.notes)


@here
def test_momentum_that_lives_in_the_state_starts_each_step_where_the_reference_did(studio: Studio, fused: bool):
    def sgd(made: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(made.parameters(), lr=0.1, momentum=0.9, nesterov=True)

    kinds = recorded(studio, fused=not fused, optimizer=sgd)
    assert studio.check(training(model(fused), names=OF[fused], optimizer=sgd)).kinds == kinds


@pytest.mark.parametrize("more", [0, 1])
def test_parts_with_counters_that_disagree_do_not_pass_for_one(studio: Studio, more: int):
    def body(parity) -> None:
        made = Model(fused=parity.recording)
        names = None if parity.recording else SPLIT
        optimizer = torch.optim.AdamW(made.parameters(), lr=0.0)
        for parameter in made.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        if not parity.recording:
            optimizer.state[made.layers[0].k.weight]["step"] += more
        with parity.watch(made, optimizer=optimizer, names=names, kinds=["optimizer"]):
            pass

    studio.record(body)
    if not more:
        assert studio.check(body).passed
        return
    (delta,) = studio.failure(body).comparison.failures
    assert (delta.site, delta.verdict.value) == ("optimizer/layers.0.qkv.weight/step", "shape")


@here
def test_the_structures_agree_though_the_tensors_are_cut_differently(studio: Studio, fused: bool):
    def body(parity) -> None:
        parity.assert_structure(Model(fused=parity.recording != fused), names=None if parity.recording else OF[fused])

    studio.record(body)
    assert studio.check(body).passed


@here
def test_what_trains_is_compared_part_by_part(studio: Studio, fused: bool):
    recorded(studio, fused=not fused)

    def frozen() -> nn.Module:
        made = Model(fused=fused)
        (made.layers[0].qkv if fused else made.layers[0].k).weight.requires_grad_(False)
        return made

    failure = studio.failure(training(frozen, names=OF[fused], load=False))
    assert "frozen here, trains in the reference" in str(failure)
    own = "layers.0.qkv" if fused else "layers.0.q"
    assert own in str(failure)


@here
def test_modules_that_have_no_counterpart_are_told_and_not_a_crash(studio: Studio, fused: bool):
    kinds = ["activation", "input", "weight", "gradient"]
    studio.record(training(lambda: Model(fused=not fused), kinds=kinds))
    failure = studio.failure(training(model(fused), names=OF[fused], kinds=kinds))
    missing = {delta.site.split("/")[1] for delta in failure.comparison.failures}
    gone = "qkv" if fused else ["qkv"]
    assert missing == {f"layers.{i}.{name}#0" for i in range(2) for name in gone}
    further = next(note for note in failure.comparison.notes if note.startswith("modules of the candidate without"))
    assert ("layers.0.qkv" in further) if fused else ("layers.0.q, layers.0.k" in further)


def test_loading_says_what_does_not_fit_by_the_candidates_names(studio: Studio):
    recorded(studio, fused=False)
    with pytest.raises(LoadError, match=r"layers\.0\.qkv\.weight is not in the golden"):
        studio.check(training(model(True), names={}))


def test_a_rule_that_leaves_a_part_out_is_refused_before_anything_is_loaded(studio: Studio):
    recorded(studio, fused=True)
    names = {key: value for key, value in SPLIT.items() if not key.endswith("v")}
    with pytest.raises(NameMapError, match=r"they leave a gap: 64 of the 192 elements of layers\.0\.qkv\.weight"):
        studio.check(training(model(False), names=names))


# transposes, buffers and stacks


class Weight(nn.Module):
    """``x @ w``, or with ``turned`` ``x @ w.T``."""

    def __init__(self, *, turned: bool, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        made = torch.randn(4, 6)
        self.turned = turned
        self.w = nn.Parameter(made.T.contiguous() if turned else made)
        self.register_buffer("scale", torch.rand(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.w.T if self.turned else self.w) * self.scale


def test_a_transposed_weight_is_the_same_module_and_all_of_it_is_compared(studio: Studio):
    x = torch.randn(3, 4)
    studio.record(single(Weight(turned=False), x))

    def check(parity) -> None:
        made = parity.load(Weight(turned=True, seed=5), names={"w": transposed("w")})
        single(made, x)(parity)

    comparison = studio.check(check)
    assert comparison.compared == comparison.expected
    assert comparison.kinds == {"weight": 2, "input": 1, "activation": 1, "gradient": 1}


class Experts(nn.Module):
    def __init__(self, *, stacked: bool, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        if stacked:
            self.up = nn.Parameter(torch.randn(3, 4, 4))
            self.register_buffer("count", torch.arange(3))
        else:
            self.experts = nn.ModuleList(nn.Module() for _ in range(3))
            for place, one in enumerate(self.experts):
                one.up = nn.Parameter(torch.randn(4, 4))
                one.register_buffer("count", torch.tensor(place))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = list(self.up) if hasattr(self, "up") else [one.up for one in self.experts]
        return sum(x @ weight for weight in weights)


STACKED = {name: stack(*(f"experts.{i}.{name}" for i in range(3))) for name in ("up", "count")}
APART = {"experts.{i}.{name}": unstacked("{name}", index="{i}")}


@pytest.mark.parametrize("stacked", [True, False], ids=["stacked here", "apart here"])
def test_experts_stacked_or_apart_with_scalar_buffers(studio: Studio, stacked: bool):
    def body(parity) -> None:
        made = Experts(stacked=stacked != parity.recording, seed=0 if parity.recording else 1)
        names = None if parity.recording else STACKED if stacked else APART
        parity.load(made, names=names)
        optimizer = torch.optim.AdamW(made.parameters(), lr=0.01)
        with parity.watch(made, optimizer=optimizer, names=names) as run:
            for batch in run.steps([torch.randn(2, 4) for _ in range(2)]):
                optimizer.zero_grad()
                made(batch).square().mean().backward()
                optimizer.step()

    studio.record(body)
    comparison = studio.check(body)
    assert comparison.compared == comparison.expected
    assert comparison.kinds["weight"] == (12 if stacked else 4)


def test_heads_fused_one_by_one_are_composed(studio: Studio):
    """Fused as q, k, v of each head in turn: the rows of three tensors interleave."""
    heads = [reshaped(f"layers.{{i}}.{name}.weight", shape=(2, 4, 8)) for name in "qkv"]
    biases = [reshaped(f"layers.{{i}}.{name}.bias", shape=(2, 4)) for name in "qkv"]
    names = {
        "layers.{i}.qkv.weight": reshaped(stack(*heads, dim=1), shape=(24, 8)),
        "layers.{i}.qkv.bias": reshaped(stack(*biases, dim=1), shape=(-1,)),
    }

    class PerHead(Model):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                q, k, v = layer.qkv(x).unflatten(-1, (2, 3, 4)).permute(3, 0, 2, 1, 4)
                mixed = torch.softmax(q @ k.transpose(-1, -2), dim=-1) @ v
                x = x + layer.out(mixed.transpose(1, 2).flatten(2))
            return x

    kinds = recorded(studio, fused=False)
    assert studio.check(training(lambda: PerHead(fused=True, seed=1), names=names)).kinds == kinds
