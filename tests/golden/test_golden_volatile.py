"""A golden in memory reads as the one on disk does, and keeps what it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_parity.errors import GoldenError
from pytest_parity.golden import Golden, GoldenWriter
from pytest_parity.golden.noise import NoiseFloors
from pytest_parity.golden.volatile import Volatile
from pytest_parity.site import Kind, Site

VALUES: dict[str, torch.Tensor | None] = {
    "float": torch.arange(12.0).reshape(3, 4).t(),
    "again": torch.arange(12.0).reshape(3, 4).t(),
    "other shape": torch.arange(12.0).reshape(3, 4).t().reshape(12),
    "scalar": torch.tensor(3, dtype=torch.int64),
    "empty": torch.zeros(0, 4, dtype=torch.bfloat16),
    "none": None,
    "complex": torch.complex(torch.ones(3), torch.arange(3.0)).conj(),
    "expanded": torch.ones(1).expand(5),
    "needs a gradient": torch.ones(2, requires_grad=True) * 2,
}
CONTENT: dict[str, Any] = {
    "provenance": {"kept": (1, 2)},
    "settings": {"rng": "keyed", "seed": 0},
    "structure": {},
    "history": [],
}


def fill(writer: Any) -> None:
    for order, (name, value) in enumerate(VALUES.items()):
        writer.write(0, order, Site(Kind.OUTPUT, name), value)
    writer.finish_step(0, {"loss": {"loss": float("nan")}, "sizes": {"output": (9, 1)}})
    writer.commit(**CONTENT)


@pytest.fixture
def both(tmp_path: Path) -> tuple[Golden, Golden]:
    held = Volatile()
    fill(held.writer("a case"))
    fill(GoldenWriter(tmp_path, "a case"))
    return held.golden(), Golden.find(tmp_path, "a case")


def test_entries_and_tensors_are_those_of_a_golden_on_disk(both: tuple[Golden, Golden]):
    ours, theirs = both
    assert ours.steps == theirs.steps == (0,)
    for one, other in zip(ours.entries(0), theirs.entries(0), strict=True):
        assert (one.site, one.order, one.dtype, one.shape, one.nbytes) == (
            other.site,
            other.order,
            other.dtype,
            other.shape,
            other.nbytes,
        )
        assert ours.entry(0, one.site) == one
        if one.dtype != "none":
            mine, yours = ours.tensor(one), theirs.tensor(other)
            assert mine.dtype == yours.dtype
            assert torch.equal(mine, yours)
            assert not mine.requires_grad
    assert ours.entry(0, Site(Kind.OUTPUT, "nowhere")) is None


@pytest.mark.parametrize("size", [16, 20, 1 << 20])
def test_chunks_are_those_of_a_golden_on_disk(both: tuple[Golden, Golden], size: int):
    ours, theirs = both
    one, other = (torch.empty(size, dtype=torch.uint8) for _ in both)
    for mine, yours in zip(ours.entries(0), theirs.entries(0), strict=True):
        pairs = zip(ours.chunks(mine, one), theirs.chunks(yours, other), strict=True)
        assert all(torch.equal(piece, twin) for piece, twin in pairs)


def test_the_manifest_holds_what_one_on_disk_does(both: tuple[Golden, Golden]):
    ours, theirs = ({**golden.manifest} for golden in both)
    for key in ("case", "provenance", "settings", "structure", "history"):
        assert ours[key] == theirs[key]
    assert ours["steps"]["0"]["sizes"] == theirs["steps"]["0"]["sizes"] == {"output": [9, 1]}


def test_what_the_caller_does_afterwards_reaches_nothing():
    held, value = Volatile(), torch.ones(3)
    writer = held.writer("case")
    writer.write(0, 0, Site(Kind.OUTPUT, "x"), value)
    value.zero_()
    writer.finish_step(0, {})
    writer.commit(**CONTENT)
    golden = held.golden()
    read = golden.tensor(golden.entries(0)[0])
    assert read.tolist() == [1, 1, 1]
    read.zero_()
    assert golden.tensor(golden.entries(0)[0]).tolist() == [1, 1, 1]


def test_what_is_seen_twice_is_kept_once():
    writer = Volatile().writer("case")
    for order in range(5):
        writer.write(0, order, Site(Kind.OUTPUT, f"x{order}"), torch.ones(100))
    assert (writer.sites, writer.bytes_written) == (5, 400)


def test_noise_floors_come_along():
    held = Volatile()
    writer = held.writer("case")
    writer.write(0, 0, Site(Kind.OUTPUT, "x"), torch.ones(1))
    writer.finish_step(0, {})
    assert writer.seal(**CONTENT).noise is None
    floors = NoiseFloors(3, {0: []})
    writer.put_noise(floors)
    writer.commit(**CONTENT)
    assert held.golden().noise is floors


def test_what_is_not_there():
    held = Volatile()
    with pytest.raises(GoldenError, match="nothing was recorded in memory yet"):
        held.golden()
    writer = held.writer("case")
    writer.write(0, 0, Site(Kind.OUTPUT, "x"), torch.ones(1))
    with pytest.raises(GoldenError, match=r"output/x of step 0 was recorded twice"):
        writer.write(0, 1, Site(Kind.OUTPUT, "x"), torch.ones(1))
    writer.finish_step(0, {})
    writer.commit(**CONTENT)
    with pytest.raises(GoldenError, match="case has no step 1; it keeps 0"):
        held.golden().entries(1)
