"""Padding that leaks: what a model does with the padding of a batch, seen by changing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity import ParityFailure, UsageError, Valid, assert_no_leak
from pytest_parity.session.parity import Parity
from pytest_parity.settings import MarkerOptions, Mode

LENGTHS = torch.tensor([6, 4])
VALID = (torch.arange(6) < LENGTHS[:, None]).clone()
PADDED = Valid(mask=VALID)
MODULES = {"*": PADDED}


def batch(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    return {"x": x * VALID[..., None], "valid": VALID.clone()}


class Attention(nn.Module):
    def __init__(self, *, masked: bool) -> None:
        super().__init__()
        self.attend, self.masked = nn.MultiheadAttention(8, 2, batch_first=True), masked

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.attend(x, x, x, key_padding_mask=~valid if self.masked else None, need_weights=False)[
            0
        ]
        return out


class Block(nn.Module):
    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = nn.Linear(8, 8), middle, nn.Linear(8, 8)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        inside = self.middle(self.drop(self.first(x)), valid)
        out: torch.Tensor = self.last(inside)
        return out


class Normed(nn.Module):
    """As many do: statistics over everything, padding too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return out


def leak(model: nn.Module, valid: Any = MODULES, **options: Any) -> str:
    with pytest.raises(ParityFailure) as caught:
        assert_no_leak(model, options.pop("batch", None) or batch(), padded={"x": PADDED}, valid=valid, **options)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_masked_attention_does_not_leak(dtype: torch.dtype) -> None:
    assert_no_leak(Block(Attention(masked=True)).to(dtype), batch(dtype), padded={"x": PADDED}, valid=MODULES)


def test_attention_without_a_mask_leaks_and_is_named() -> None:
    text = leak(Block(Attention(masked=False)), {"middle*": PADDED, "first": PADDED, "(model)": PADDED})
    assert text.splitlines()[0] == (
        "Block: padding leaks: middle.attend is the first module whose valid positions move with it, while those of its inputs do not"
    )
    assert "activation/middle.attend#0" in text
    assert "with noise of 1 times the valid values' size in the padding" in text


def test_a_batch_norm_sees_the_padding_and_is_named() -> None:
    text = leak(Block(Normed()), {"middle": PADDED, "middle.norm": Valid(mask=VALID, dim=2), "(model)": PADDED})
    assert "padding leaks: middle.norm is the first module" in text


def test_in_eval_mode_a_batch_norm_does_not_see_it() -> None:
    assert_no_leak(Block(Normed()).eval(), batch(), padded={"x": PADDED}, valid={"(model)": PADDED})


class Summed(nn.Module):
    """Hands the mean over everything to its child."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.lin(x - x.mean(1, keepdim=True))
        return out


def test_the_code_between_modules_is_named() -> None:
    assert "(model): the valid positions of what it hands to lin move with it" in leak(Summed())


def test_what_the_model_returns_counts_whole_where_no_region_is_declared() -> None:
    with pytest.raises(ParityFailure) as caught:
        assert_no_leak(nn.Linear(8, 8), batch()["x"], padded=PADDED)
    assert "(model) is the first module" in str(caught.value)
    assert "no valid region is declared there, so all of it counts" in str(caught.value)


def pooled(*, masked: bool) -> Callable[[Any], torch.Tensor]:
    def call(one: Any) -> torch.Tensor:
        weights = one["valid"][..., None] if masked else torch.ones(2, 6, 1)
        total: torch.Tensor = (one["x"] * weights).sum(1)
        return total

    return call


def test_what_a_call_returns_is_looked_at() -> None:
    model = nn.Linear(8, 8)
    assert_no_leak(model, batch(), padded={"x": PADDED}, call=pooled(masked=True))
    text = leak(model, None, call=pooled(masked=False))
    assert "what the call returns move with it" in text


def test_integers_in_the_padding_are_other_valid_ones() -> None:
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, 2, 0, 0]])
    seen: list[torch.Tensor] = []

    class Embed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            seen.append(ids.clone())
            return self.table(ids)

    assert_no_leak(Embed(), tokens, padded=PADDED, valid={"(model)": PADDED})
    assert all(torch.equal(ids[VALID], tokens[VALID]) for ids in seen)
    assert any(not torch.equal(ids, tokens) for ids in seen)
    assert all(bool((ids[~VALID] > 0).all()) for ids in seen[2:])


def test_lengths_beside_the_padded_are_no_padding() -> None:
    class Taking(Block):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return super().forward(x, torch.arange(6) < lengths[:, None])

    padded = Valid(dim=1, lengths="lengths")
    one = {"x": batch()["x"], "lengths": LENGTHS}
    assert_no_leak(Taking(Attention(masked=True)), one, padded=padded, valid={"*": padded})
    with pytest.raises(ParityFailure, match=r"middle\.attend"):
        assert_no_leak(Taking(Attention(masked=False)), one, padded=padded, valid={"*": padded})


def test_a_large_value_reaches_through_a_mask_that_only_subtracts() -> None:
    class Soft(nn.Module):
        def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
            scores = x.sum(-1) - 50.0 * ~valid
            return (scores.softmax(-1)[..., None] * x).sum(1)

    assert "with noise of 100 times" in leak(Soft(), None)
    assert_no_leak(Soft(), batch(), padded={"x": PADDED}, magnitudes=[0.01], rtol=1e-5, atol=1e-6)


def test_model_batch_and_generators_are_as_before() -> None:
    model, one = Block(Normed()), batch()
    one["x"].requires_grad_()
    model(**batch()).sum().backward()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    values, state = [gradient.clone() for gradient in gradients.values()], torch.get_rng_state()
    copies = {name: tensor.detach().clone() for name, tensor in one.items()}
    leak(model, {"(model)": PADDED}, batch=one, call=lambda b: model(**b).sum().backward())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is gradients[name] for name, parameter in model.named_parameters())
    assert all(torch.equal(a, b) for a, b in zip(gradients.values(), values, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, copies[name]) for name, tensor in one.items())
    assert not model.first._forward_hooks


def broken(one: Any) -> torch.Tensor:
    result: torch.Tensor = one["x"].sum(1) * torch.nan
    return result


class Drawing(nn.Module):
    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        self.count = getattr(self, "count", 0) + 1
        return x * self.count


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: assert_no_leak(Drawing(), batch(), padded={"x": PADDED}), r"activation/\(model\)#0 is not the same"),
        (
            lambda: assert_no_leak(Drawing(), batch(), padded={"audio": PADDED}),
            r"padded 'audio' matches no tensor of the batch .* about; it has x \(2, 6, 8\), valid \(2, 6\)",
        ),
        (
            lambda: assert_no_leak(Drawing(), batch(), padded={"x": Valid(dim=1, lengths=[6, 6])}),
            "there is no padding to change",
        ),
        (lambda: assert_no_leak(Drawing(), batch(), padded={"valid": PADDED}), "is valid, or boolean"),
        (
            lambda: assert_no_leak(Drawing(), batch(), padded={"x": PADDED}, call=lambda b: None),
            "there is nothing to look at",
        ),
        (
            lambda: assert_no_leak(Drawing(), batch(), padded={"x": Valid(dim=1, lengths=[6, 4, 2])}),
            "padded 'x', x: valid region of dim=1 does not fit",
        ),
        (
            lambda: assert_no_leak(nn.Linear(8, 8), torch.ones(1, 6, 8).expand(2, 6, 8), padded=PADDED),
            "the batch cannot be written to; give a clone of it",
        ),
        (
            lambda: assert_no_leak(Drawing(), batch(), padded={"x": PADDED}, magnitudes=()),
            r"magnitudes=\(\); they are numbers above 0",
        ),
        (lambda: assert_no_leak(Drawing(), batch(), padded={"x": PADDED}, magnitudes=[0.0]), "numbers above 0"),
        (
            lambda: assert_no_leak(Block(Attention(masked=True)), batch(), padded={"x": PADDED}, valid={"mid": PADDED}),
            "valid='mid' matches no tensor that has the dimensions it is about; did you mean 'middle'",
        ),
        (
            lambda: assert_no_leak(
                nn.Embedding(9, 2), torch.tensor([[3, 3], [3, 3]]), padded=Valid(dim=1, lengths=[2, 1])
            ),
            "the padding of the batch is as it was: there is no other value among the valid ones",
        ),
        (
            lambda: assert_no_leak(
                Block(Attention(masked=False)), batch(), padded={"x": PADDED}, valid=MODULES, rtol=0.0, atol=1e9
            ),
            "atol=1e[+]09 is not below the largest value of anything that moves",
        ),
        (
            lambda: assert_no_leak(Block(Attention(masked=True)), batch(), padded={"x": PADDED}, call=broken),
            "nothing of output/outputs/out is finite on the batch as it is",
        ),
    ],
)
def test_a_check_that_could_not_fail_is_an_error(call: Callable[[], None], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_the_fixture_checks_the_candidate(studio: Studio) -> None:
    studio.record(lambda parity: parity.assert_close("x", torch.ones(2)))

    def body(parity: Any) -> None:
        parity.assert_no_leak(Block(Attention(masked=False)), batch(), padded={"x": PADDED}, valid=MODULES)

    with pytest.raises(ParityFailure, match="padding leaks: middle"):
        studio.check(body)

    def sound(parity: Any) -> None:
        parity.assert_no_leak(Block(Attention(masked=True)), batch(), padded={"x": PADDED}, valid=MODULES)
        parity.assert_close("x", torch.ones(2))

    assert studio.check(sound).passed


def looking(*, masked: bool, value: bool = True) -> Callable[[Any], None]:
    def body(parity: Any) -> None:
        parity.assert_no_leak(Block(Attention(masked=masked)), batch(), padded={"x": PADDED}, valid=MODULES)
        if value:
            parity.assert_close("x", torch.ones(2))

    return body


def test_recording_says_that_the_reference_leaks_and_has_its_noise_floor(studio: Studio) -> None:
    def body(parity: Any) -> None:
        looking(masked=False)(parity)
        parity.assert_close("root", parity.input("y", lambda: torch.rand(10)).sqrt())

    parity = Parity(studio.settings(Mode.RECORD, draws=3))
    body(parity)
    notes = parity.finish(parity.repeating(body)).notes
    assert any("padding leaks: middle" in note for note in notes)
    assert any("noise floor from 3 draws" in note for note in notes)


def test_a_check_says_how_much_was_looked_at(studio: Studio) -> None:
    studio.record(looking(masked=True))
    (note,) = studio.check(looking(masked=True)).notes
    assert note == (
        "Block: padding does not leak: none of 17 sites looked at moves with noise of 1 and 100 times the valid values' size "
        "in it"
    )


@pytest.mark.parametrize("mode", [Mode.RECORD, Mode.CHECK])
def test_a_test_of_padding_alone_needs_no_golden(studio: Studio, mode: Mode) -> None:
    parity = Parity(studio.settings(mode))
    looking(masked=True, value=False)(parity)
    assert parity.finish().passed
    parity = Parity(studio.settings(mode))
    with pytest.raises(ParityFailure, match="padding leaks: middle"):  # recording, at the test's end
        (looking(masked=False, value=False)(parity), parity.finish())
    assert not (studio.path / "golden").exists()


def test_a_region_that_means_another_test_is_none_of_this_ones_where_the_marker_has_it(studio: Studio) -> None:
    def body(parity: Any) -> None:
        parity.assert_no_leak(Block(Attention(masked=True)), batch(), padded={"x": PADDED})

    regions = MarkerOptions(valid={**MODULES, "decoder.*": PADDED})
    parity = Parity(studio.settings(Mode.CHECK, marker=regions))
    body(parity)
    assert parity.finish().passed


def test_inside_a_watch_it_is_refused(studio: Studio) -> None:
    def body(parity: Any) -> None:
        model = Block(Attention(masked=True))
        with parity.watch(model):
            parity.assert_no_leak(model, batch(), padded={"x": PADDED})

    with pytest.raises(UsageError, match="before or after the with of watch"):
        studio.record(body)
