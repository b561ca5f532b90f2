"""What a golden in another's place moved: counted, in multiples of floors or of rounding, the farthest first."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from cli_command import training
from parity_studio import Studio

from pytest_parity.report import moved_lines
from pytest_parity.result import Moved, Recorded
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode

Values = dict[str, torch.Tensor]


def values(given: Values):
    def body(parity: Parity) -> None:
        for name, value in given.items():
            parity.assert_close(name, value)

    return body


def record(studio: Studio, body, **options) -> Moved | None:
    parity = Parity(studio.settings(Mode.RECORD, **options))
    body(parity)
    result = parity.finish(parity.repeating(body))
    assert isinstance(result, Recorded)
    return result.moved


def moved(path: Path, before: Values, after: Values) -> Moved:
    studio = Studio(path)
    record(studio, values(before))
    found = record(studio, values(after))
    assert found is not None
    return found


def test_a_first_recording_moves_nothing(tmp_path: Path):
    assert record(Studio(tmp_path), values({"x": torch.ones(2)})) is None
    assert moved_lines(None) == []


def test_one_unit_in_the_last_place_is_one_rounding_or_less(tmp_path: Path):
    found = moved(tmp_path, {"x": torch.ones(4)}, {"x": torch.ones(4) + 2**-23})
    (site,) = found.worst
    assert (site.times, site.by_floor) == (pytest.approx(1.0), False)
    assert found.counts == {"within": 1}


def test_sites_that_come_go_and_change_their_shape(tmp_path: Path):
    before = {"stays": torch.ones(2), "goes": torch.ones(2), "grows": torch.ones(2), "turns": torch.ones(2)}
    after = {
        "stays": torch.ones(2),
        "grows": torch.ones(3),
        "turns": torch.ones(2).double(),
        "comes": torch.ones(2),
    }
    found = moved(tmp_path, before, after)
    assert found.counts == {"equal": 1, "new": 1, "gone": 1, "reshaped": 2}
    assert moved_lines(found) == [
        "  in place of the golden that was there: 1 equal, 1 new, 1 gone, 2 of another shape or dtype",
        "  step 0 output/goes: gone",
        "  step 0 output/grows: float32 [2] -> float32 [3]",
        "  step 0 output/turns: float32 [2] -> float64 [2]",
        "  step 0 output/comes: new",
    ]


def test_the_farthest_first_a_few_and_how_many_more(tmp_path: Path):
    before = {f"x{place}": torch.ones(8) for place in range(20)}
    after = {f"x{place}": torch.ones(8) * (1 + place * 1e-5) for place in range(20)}
    found = moved(tmp_path, before, after)
    lines = moved_lines(found)
    assert found.counts == {"equal": 1, "beyond": 19}
    assert [line.split()[0] for line in lines[1:6]] == [f"output/x{place}" for place in (19, 18, 17, 16, 15)]
    assert lines[6:] == [
        "  and 14 more",
        "  (a rounding is the dtype's eps times the norm: those sites had no noise floor)",
    ]


def test_integers_tell_how_many_are_others(tmp_path: Path):
    found = moved(tmp_path, {"ids": torch.arange(10)}, {"ids": torch.arange(10).clamp(max=7)})
    assert found.worst[0].times == math.inf
    assert moved_lines(found)[1] == "  output/ids  20 % of its elements are others"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_any_more_comes_first(tmp_path: Path, value: float):
    before = {"x": torch.ones(3), "y": torch.ones(3)}
    found = moved(tmp_path, before, {"x": torch.ones(3) * 2, "y": torch.tensor([1.0, 1.0, value])})
    assert [site.site for site in found.worst] == ["output/y", "output/x"]
    assert "any number of roundings" in moved_lines(found)[1]


def test_nan_that_stays_nan_is_equal(tmp_path: Path):
    before = {"x": torch.tensor([1.0, math.nan])}
    assert moved(tmp_path, before, {"x": torch.tensor([1.0, math.nan])}).counts == {"equal": 1}


def test_training_that_changes_by_the_floors(studio: Studio):
    record(studio, training(), draws=2)
    found = record(studio, training(1.5), draws=2)
    assert found is not None
    assert found.counts["equal"] > 0
    assert found.counts["beyond"] > 5
    assert all(site.by_floor for site in found.worst)
    assert [site.times for site in found.worst] == sorted((site.times for site in found.worst), reverse=True)
    (loss,) = found.losses
    assert loss[:2] == (0, "loss")
    assert loss[3] == pytest.approx(loss[2] * 2.25)


def test_a_rounding_apart_is_within_the_floors(studio: Studio):
    record(studio, training(), draws=3)
    found = record(studio, training(hidden=1 + 1e-7), draws=3)
    assert found is not None
    assert found.counts.get("within", 0) > found.counts.get("beyond", 0)


def test_what_the_test_is_set_to_otherwise_is_a_change(studio: Studio):
    record(studio, training(), config={"model": {"width": 8}, "lr": 0.05})
    found = record(studio, training(adam=True), config={"model": {"width": 8}, "lr": 0.1})
    assert found is not None
    assert found.changes == {"optimizers": ("SGD", "AdamW"), "config lr": ("0.05", "0.1")}
    assert "  changed besides: optimizers SGD -> AdamW; config lr 0.05 -> 0.1" in moved_lines(found)


def test_it_survives_the_way_to_xdists_controller():
    from dataclasses import asdict

    before = Moved({"beyond": 1}, losses=((0, "loss", 1.0, 2.0),), others=("x: new",), changes={"torch": ("2", "3")})
    assert Moved.from_plain(asdict(before)) == before
