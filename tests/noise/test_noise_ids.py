"""Integer ids: those that flip whatever is moved are unstable and replayed; all others must be the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from parity_studio import Studio
from torch import nn

from pytest_parity import Valid
from pytest_parity.report.lines import note_lines, summary_line
from pytest_parity.result import Recorded
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode

CODES, LENGTH, PADDED = 512, 8, 2
REGION = {"*": Valid(dim=1, lengths="x.length")}


class Quantizer(nn.Module):
    """The nearest of many codes of length 1; to a zero all of them are equally near, but for rounding."""

    def __init__(self) -> None:
        super().__init__()
        codes = torch.randn(CODES, 4, dtype=torch.float64)
        self.codes = nn.Parameter((codes / codes.norm(dim=1, keepdim=True)).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[..., None, :] - self.codes).square().sum(-1).argmin(-1)


class Net(nn.Module):
    """Ids, embedded; ``change`` has a say in the ids."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor] = lambda ids: ids) -> None:
        super().__init__()
        self.project, self.quantizer = nn.Linear(4, 4, bias=False), Quantizer()
        self.embedding, self.out = nn.Embedding(CODES, 4), nn.Linear(4, 2)
        self.quantizer.register_forward_hook(lambda _m, _a, ids: change(ids))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.embedding(self.quantizer(self.project(x))))


def body(
    *, region: dict[str, Valid] | None = None, change: Callable[[torch.Tensor], torch.Tensor] = lambda ids: ids
) -> Callable[[Parity], None]:
    def batch() -> dict[str, torch.Tensor]:
        x = torch.randn(4, LENGTH, 4)
        x[:, LENGTH - PADDED :] = 0
        return {"x": x, "length": torch.full((4,), LENGTH - PADDED)}

    def test(parity: Parity) -> None:
        torch.manual_seed(2)
        model = parity.load(Net(change))
        with parity.watch(model, valid=region) as _:
            x = parity.input("x", batch)["x"]
            model(x)[:, : LENGTH - PADDED].square().sum().backward()

    return test


def notes(studio: Studio, test: Callable[[Parity], None]) -> str:
    parity = Parity(studio.settings(Mode.RECORD, draws=3))
    test(parity)
    recorded = parity.finish(parity.repeating(test))
    assert isinstance(recorded, Recorded)
    return "\n".join(recorded.notes)


def at_padding(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    def changed(ids: torch.Tensor) -> torch.Tensor:
        ids = ids.clone()
        ids[:, LENGTH - PADDED :] = change(ids[:, LENGTH - PADDED :])
        return ids

    return changed


def others(ids: torch.Tensor) -> torch.Tensor:
    return (ids + 7) % CODES


def test_in_a_valid_region_padding_that_flips_is_not_mentioned(studio: Studio):
    assert notes(studio, body(region=REGION)).startswith("noise floor from 3 draws: 4 further runs of the test, ")
    assert "unstable" not in notes(studio, body(region=REGION))


def test_in_a_valid_region_other_ids_at_the_padding_pass(studio: Studio):
    studio.record(body(region=REGION), draws=3)
    assert studio.check(body(region=REGION, change=at_padding(others))).passed


@pytest.mark.parametrize("place", [0, LENGTH - PADDED - 1])
def test_in_a_valid_region_one_other_id_fails(studio: Studio, place: int):
    def one(ids: torch.Tensor) -> torch.Tensor:
        ids = ids.clone()
        ids[1, place] = others(ids[1, place])
        return ids

    studio.record(body(region=REGION), draws=3)
    assert "quantizer is the first module whose output differs" in str(studio.failure(body(region=REGION, change=one)))


def test_without_a_region_ids_that_flip_in_every_draw_are_named(studio: Studio):
    said = notes(studio, body())
    assert "activation/quantizer#0" in said
    assert "flipped in 5 draws of 5: unstable, and replayed when checking" in said
    assert "If it is padding that flips, give a valid region" in said


def test_without_a_region_flips_at_the_padding_pass_and_are_counted(studio: Studio):
    studio.record(body(), draws=3)
    comparison = studio.check(body(change=at_padding(others)))
    assert comparison.passed
    assert comparison.counts["unstable"] >= 1
    assert "unstable" in summary_line(comparison)
    assert "bound" in "\n".join(note_lines(comparison))


def test_what_comes_after_unstable_ids_gets_the_recorded_ones(studio: Studio):
    studio.record(body(), draws=3)
    places = {str(entry.site): entry.order for entry in studio.golden().entries(0)}
    floors = studio.golden().noise
    assert floors is not None
    after = floors.of(0, places["activation/embedding#0"])
    assert after is not None
    assert after.norm < 1e-5 * after.reference
    comparison = studio.check(body(change=at_padding(others)))
    assert not [delta.site for delta in comparison.deltas if "embedding" in delta.site]


def test_more_ids_than_flip_in_the_draws_fail(studio: Studio):
    studio.record(body(), draws=3)
    failure = studio.failure(body(change=others))
    assert "activation/quantizer#0" in str(failure)


def test_an_integer_that_never_flips_must_be_the_same(studio: Studio):
    def counting(count: int) -> Callable[[Parity], None]:
        def test(parity: Parity) -> None:
            layer = nn.Linear(3, 3)
            with parity.watch(layer):
                layer(parity.input("x", lambda: torch.randn(2, 3)))
            ids = torch.zeros(1000, dtype=torch.int64)
            ids[:count] = 1
            parity.assert_close("ids", ids)

        return test

    studio.record(counting(0), draws=3)
    torch.manual_seed(0)
    assert "output/ids" in str(studio.failure(counting(1)))


def test_ties_that_no_draw_breaks_are_no_trouble(studio: Studio):
    """Two codes that are one: the first is the nearest, and stays it."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            half = torch.randn(4, 3)
            self.register_buffer("codes", torch.cat([half, half]))
            self.first = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.first(x)[:, None] - self.codes).square().sum(-1).argmin(-1)

    def test(parity: Parity) -> None:
        torch.manual_seed(1)
        model = parity.load(Twice())
        with parity.watch(model):
            model(parity.input("x", lambda: torch.randn(6, 3)))

    assert "unstable" not in notes(studio, test)
    assert studio.check(test).passed


class Bit(nn.Module):
    """An id that every other draw flips: one unit in the last place more or less turns the second bit, or does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.view(torch.int32) >> 1) & 1


class Bits(nn.Module):
    """Six of them, so that hardly a draw flips none, and none flips in each."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.bits, self.embedding, self.scale = nn.ModuleList(Bit() for _ in range(6)), nn.Embedding(2, 32), scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ids = torch.stack([bit(one) for bit, one in zip(self.bits, x, strict=True)])
        return self.embedding(ids) * self.scale


def bits(scale: float = 1.0) -> Callable[[Parity], None]:
    def test(parity: Parity) -> None:
        torch.manual_seed(2)
        model = parity.load(Bits(scale))
        with parity.watch(model):
            parity.assert_outputs(model(parity.input("x", lambda: torch.rand(6) + 0.1)))

    return test


def test_where_each_draw_flips_another_id_all_of_them_are_unstable_and_floors_behind_them_small(studio: Studio):
    assert "flipped in draw after draw: unstable, and replayed when checking" in notes(studio, bits())
    floors, golden = studio.golden().noise, studio.golden()
    assert floors is not None
    places = {str(entry.site): entry.order for entry in golden.entries(0)}
    assert {places[f"activation/bits.{place}#0"] for place in range(6)} <= floors.unstable(0)
    behind = floors.of(0, places["activation/(model)#0"])
    assert behind is not None
    assert behind.norm < 1e-5 * behind.reference
    assert "(model) is the first module" in str(studio.failure(bits(1.001)))


class Hidden(nn.Module):
    """A quantizer and what it selects in one: its ids are no site."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.quantizer, self.embedding = nn.Linear(4, 4, bias=False), Quantizer(), nn.Embedding(CODES, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.embedding(self.quantizer.forward(self.project(x)))


def test_ids_that_flip_and_are_no_site_are_told_by_what_they_select(studio: Studio):
    def test(parity: Parity) -> None:
        torch.manual_seed(2)
        model = parity.load(Hidden())
        x = torch.randn(4, LENGTH, 4)
        x[:, LENGTH - PADDED :] = 0
        with parity.watch(model):
            model(parity.input("x", lambda: x))

    said = notes(studio, test)
    assert "activation/embedding#0 and 1 more moved by so much that a check lets zeros pass there" in said
    assert "moved by so much" not in notes(studio, body(region=REGION))
