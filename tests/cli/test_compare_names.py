"""``parity compare --names``: a candidate that calls its modules otherwise, or holds its weights in another arrangement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from recordings import Two
from torch import nn

PARTS = ("q", "k", "v")


class Split(nn.Module):
    """Three projections, and a layer behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 4) for _ in PARTS)
        self.out = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.q(x) * self.k(x) + self.v(x))


class Fused(nn.Module):
    """The same with one projection, under other names."""

    def __init__(self, split: Split, scale: float) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(4, 12), nn.Linear(4, 2)
        self.scale = scale
        with torch.no_grad():
            for name, parameter in self.qkv.named_parameters():
                parameter.copy_(torch.cat([getattr(getattr(split, part), name) for part in PARTS]))
        self.head.load_state_dict(split.out.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.head((q * k + v) * self.scale)


def trained(make):
    def body(parity):
        torch.manual_seed(0)
        model = make()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        with parity.watch(model, optimizer=optimizer) as run:
            for x in run.steps([torch.randn(3, 4, generator=torch.Generator().manual_seed(i)) for i in range(2)]):
                loss = model(x).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                parity.assert_loss(loss)

    return body


@pytest.fixture
def fused(two: Two) -> Two:
    two.record(trained(Split), trained(lambda: Fused(Split(), 1.0)))
    return two


def written(two: Two, text: str) -> Path:
    path = two.candidate.path / "names.toml"
    path.write_text(f"[names]\n{text}\n", encoding="utf-8")
    return path


MAP = 'head = "out"\nqkv = { concat = ["q", "k", "v"] }'
TENSORS = (
    "--kind",
    "weight",
    "--kind",
    "gradient",
    "--kind",
    "updated_weight",
    "--kind",
    "optimizer",
    "--kind",
    "loss",
)


def test_without_a_map_the_names_differ(fused: Two):
    done = fused.compare(*TENSORS)
    assert done.status == 1
    assert "0 of 8 tensors in common" in done.out


def test_a_fused_tensor_is_compared_part_by_part(fused: Two):
    names = written(fused, MAP)
    done = fused.compare(*TENSORS, "--names", names, "--json")
    found = json.loads(done.out)
    assert done.status == 0, done.out
    kinds = {one["kind"]: (one["sites"], one["matched"]) for one in found["kinds"]}
    assert kinds["weight"] == kinds["gradient"] == kinds["updated_weight"] == (16, 16)
    assert kinds["optimizer"][0] == kinds["optimizer"][1] > 0
    assert (found["structure"]["common"], found["structure"]["same_shape"]) == (8, 8)


def test_a_part_that_differs_is_found_under_the_candidates_own_name(two: Two):
    two.record(trained(Split), trained(lambda: Fused(Split(), 1.001)))
    names = written(two, MAP)
    done = two.compare("--kind", "gradient", "--names", names, "--json")
    assert done.status == 1
    (found,) = json.loads(done.out)["kinds"]
    own = {delta["site"]: delta["candidate"] for delta in found["worst"]}
    assert own["gradient/q.weight"] == "gradient/qkv.weight"


def test_modules_by_their_other_names(fused: Two):
    names = written(fused, MAP)
    done = fused.compare("--kind", "activation", "--site", "out", "--names", names)
    assert done.status == 0, done.out
    assert "activations: 2 of 2 match" in done.out


def test_a_rule_that_matches_nothing_is_trouble(fused: Two):
    done = fused.compare("--names", written(fused, 'haed = "out"'))
    assert done.status == 2
    assert "name rule 'haed'" in done.err


def test_a_map_that_is_not_there_is_trouble(fused: Two):
    done = fused.compare("--names", "none.toml")
    assert done.status == 2
    assert "there is no such file" in done.err


def test_a_long_name_is_whole_where_there_is_no_room_for_both(two: Two):
    long = "l" * 40

    def made(name: str):
        def body(parity):
            model = nn.ModuleDict({name: nn.Linear(2, 2)})
            with torch.no_grad():
                model[name].weight.fill_(2.0 if name == "o" * 40 else 1.0)
            with parity.watch(model):
                model[name](torch.ones(1, 2)).sum().backward()

        return body

    two.record(made(long), made("o" * 40))
    done = two.compare("--names", written(two, f'{"o" * 40} = "{long}"'), "--kind", "weight")
    assert f"\n  weight/{long}.weight  differs  " in done.out


def test_a_map_that_is_python_is_named_by_its_module(fused: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "map_of_fused.py").write_text('NAMES = {"head": "out", "qkv": {"concat": ["q", "k", "v"]}}\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert fused.compare(*TENSORS, "--names", "map_of_fused:NAMES").status == 0
    done = fused.compare("--names", "map_of_fused:NAME")
    assert done.status == 2
    assert "--names map_of_fused:NAME" in done.err


class Tied(nn.Module):
    """Two names of one tensor, the one or the other first."""

    def __init__(self, names: tuple[str, str]) -> None:
        super().__init__()
        for name in names:
            setattr(self, name, nn.Linear(4, 4, bias=False))
        getattr(self, names[1]).weight = getattr(self, names[0]).weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


def test_a_tied_tensor_goes_by_the_references_name(two: Two):
    two.record(trained(lambda: Tied(("a", "b"))), trained(lambda: Tied(("b", "a"))))
    done = two.compare()
    assert done.status == 0, done.out


class Untied(nn.Module):
    """One tensor with one name, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.emb(x), self.emb.weight)


def test_values_are_found_by_a_rule_for_any_of_a_tied_tensors_names(two: Two):
    two.record(trained(Untied), trained(lambda: Tied(("a", "b"))))
    for own in ("a", "b"):
        out = two.compare(*TENSORS, "--names", written(two, f'{own} = "emb"')).out
        assert "\ngradients: 2 of 2 match" in out
        assert "\nupdated weights: 2 of 2 match" in out
