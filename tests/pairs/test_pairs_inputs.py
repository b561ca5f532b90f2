"""What a pair is given: positional and keyword arguments, trees, regions, and what cannot be used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pair_models import Block, first_line, seeded
from torch import nn

from pytest_parity import ParityFailure, UsageError, Valid, assert_equivalent


class Weighted(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.factor = factor

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None, *, times: int = 1) -> dict[str, Any]:
        out = self.layer(x) * times
        return {
            "out": out if mask is None else out * mask[..., None],
            "ids": out.argmax(-1),
            "factor": self.factor * out,
        }


X, MASK = torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize("inputs", [X, (X,), (X, MASK), {"x": X, "mask": MASK, "times": 2}, {"x": X, "mask": None}])
def test_arguments(inputs: Any):
    assert assert_equivalent(seeded(Weighted), seeded(Weighted), inputs).passed
    assert "(model) is the first module" in first_line(seeded(Weighted), seeded(Weighted, 1.001), inputs)


@pytest.mark.parametrize(
    "batch", [{"x": X, "n": 2}, SimpleNamespace(x=X, n=2), [X, 2]], ids=["dict", "namespace", "list"]
)
def test_an_argument_that_is_a_tree(batch: Any):
    class Taking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, batch: Any) -> torch.Tensor:
            x = batch[0] if isinstance(batch, list) else batch["x"] if isinstance(batch, dict) else batch.x
            return self.layer(x)

    comparison = assert_equivalent(seeded(Taking), seeded(Taking), (batch,))
    assert comparison.kinds["gradient"] == 3


def test_padding_is_not_compared_and_has_no_part_in_the_loss():
    class Filling(nn.Linear):
        """Its padded positions hold something else."""

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            keep = torch.arange(x.shape[1]) < lengths[:, None]
            return torch.where(keep[..., None], super().forward(x), 7.0 + x.sum())

    class Plain(nn.Linear):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return super().forward(x)

    inputs = {"x": X, "lengths": torch.tensor([2, 3])}
    region = Valid(dim=1, lengths="lengths")
    valid = {"(model)/": region, "outputs": region}
    assert "(model)" in first_line(seeded(Plain, 4, 4), Filling(4, 4), inputs)
    assert assert_equivalent(seeded(Plain, 4, 4), Filling(4, 4), inputs, valid=valid).passed


def test_kinds():
    comparison = assert_equivalent(seeded(Block), seeded(Block), torch.randn(6, 8), kinds=("activation",))
    assert set(comparison.kinds) == {"weight", "activation", "output", "loss"}


def test_no_step():
    comparison = assert_equivalent(seeded(Block), seeded(Block), torch.randn(6, 8), optimizer=None)
    assert "updated_weight" not in comparison.kinds
    assert comparison.kinds["gradient"]


def test_evaluation_mode_draws_nothing():
    assert assert_equivalent(seeded(Block), seeded(Block, p=0.9), torch.randn(6, 8), train=False).passed


def test_infinities_of_a_mask_have_no_part_in_the_loss():
    class Masking(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            return out.masked_fill(torch.ones_like(out, dtype=torch.bool).triu(1), float("-inf"))

    assert assert_equivalent(seeded(Masking, 4, 4), seeded(Masking, 4, 4), torch.randn(4, 4)).passed


def test_a_loss_without_a_gradient_of_an_output_without_one():
    comparison = assert_equivalent(
        seeded(nn.Linear, 4, 4).requires_grad_(False),
        nn.Linear(4, 4).requires_grad_(False),
        X,
        input_gradients=False,
        loss=lambda out: out.sum(),
    )
    assert comparison.kinds["loss"] == 1


class Constant(nn.Module):
    """Its gradient of ``weight`` is rounding alone where the input does not vary, and another rounding written out."""

    def __init__(self, *, manual: bool) -> None:
        super().__init__()
        self.weight, self.manual = nn.Parameter(torch.linspace(0.1, 1.0, 8)), manual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.manual:
            return nn.functional.layer_norm(x, (8,), self.weight)
        mean = x.mean(-1, keepdim=True)
        return (x - mean) * torch.rsqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5) * self.weight


@pytest.mark.parametrize("value", [100.0, 100.1])
def test_what_is_rounding_alone_where_an_input_does_not_vary(value: float):
    x = torch.full((1, 8), value)
    assert assert_equivalent(Constant(manual=False), Constant(manual=True), x).passed


class Saturated(nn.Module):
    """Its probabilities are one and nothing; of their gradients only what cancels is left."""

    def __init__(self, *, manual: bool, scale: float = 1.0) -> None:
        super().__init__()
        self.layer, self.manual, self.scale = nn.Linear(4, 4), manual, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.layer(x)
        if not self.manual:
            return scores.softmax(-1)
        raised = (scores - scores.amax(-1, keepdim=True)).exp()
        return self.scale * raised / raised.sum(-1, keepdim=True)


@pytest.mark.parametrize("seed", range(8))
def test_what_cancels_in_a_softmax_that_saturates(seed: int):
    x = torch.randn(1, 4, generator=torch.Generator().manual_seed(seed)) * 10
    reference = seeded(Saturated, manual=False)
    assert assert_equivalent(reference, Saturated(manual=True), x).passed
    assert "(model) is the first module" in first_line(reference, Saturated(manual=True, scale=1.0001), x)


class Row(nn.Module):
    """One number of each row; ``pieces`` adds up its gradients in another order."""

    def __init__(self, *, pieces: bool) -> None:
        super().__init__()
        self.weight, self.bias, self.pieces = (
            nn.Parameter(torch.ones(1, 6) / 3),
            nn.Parameter(torch.ones(1) / 7),
            pieces,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = x.split(3) if self.pieces else (x,)
        return torch.cat([part @ self.weight.t() + self.bias for part in parts])


@pytest.mark.parametrize(("rows", "seed"), [(31, 0), (43, 1), (49, 2)])
def test_gradients_that_cancel_in_a_sum(rows: int, seed: int):
    torch.manual_seed(seed)
    assert assert_equivalent(Row(pieces=False), Row(pieces=True), torch.randn(rows, 6), seed=seed).passed


def test_a_reference_that_is_not_deterministic_is_told():
    class Drifting(nn.Linear):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            type(self).calls += 1
            return super().forward(x) * (1 + 0.1 * self.calls)

    with pytest.raises(ParityFailure) as caught:
        assert_equivalent(seeded(Drifting, 4, 4), seeded(Drifting, 4, 4), torch.randn(4, 4))
    assert "no noise floor: run again, unchanged, the test does not give the same" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": {0: X}}, "a dict of inputs has the arguments' names"),
        ({"loss": lambda out: out["out"]}, r"assert_equivalent\(loss=...\) gave shape \(2, 3, 4\); return one number"),
        ({"loss": lambda _: 3.0}, r"assert_equivalent\(loss=...\) gave a float; return one number"),
        ({"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)}, "takes a function from parameters"),
        ({"optimizer": (None, None, None)}, "takes a function from parameters"),
        ({"optimizer": (None, torch.optim.SGD)}, "None is for both"),
        ({"optimizer": torch.optim.LBFGS}, "LBFGS steps by a closure that runs the model again, and a pair runs once"),
        ({"rtol": 0.1}, "assert_equivalent: rtol=0.1 without atol"),
        ({"rng": "random"}, "rng='random' is none of keyed, global, off"),
        ({"draws": -1}, r"assert_equivalent\(draws=-1\): the draws of the noise floor are 0 or more"),
        ({"kinds": ["activations"]}, "kinds='activations' is none of"),
        ({"kinds": "activation"}, r"kinds='activation'\) is one string, and several are asked for: \('activation',\)"),
        ({"loss": lambda out: out["out"].detach().sum()}, "gave a number that no gradient flows through, although one"),
        ({"inputs": X[:0]}, "the reference computes nothing from this input: .*; give inputs that have elements"),
    ],
)
def test_what_cannot_be_used(options: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        assert_equivalent(seeded(Weighted), seeded(Weighted), **{"inputs": X, **options})
