"""The default verdict: a rewrite passes, a factor of 1.0001 at one module fails, and both ratios are to be seen."""

from __future__ import annotations

import re

import pytest
import torch
from noise_models import scaled, tower, training
from parity_studio import Studio

from pytest_parity.report.lines import note_lines


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_a_rewrite_passes(studio: Studio, dtype: torch.dtype):
    studio.record(training(lambda: tower(dtype=dtype), dtype=dtype), draws=3)
    comparison = studio.check(training(lambda: tower(rewritten=True, dtype=dtype), dtype=dtype))
    assert comparison.passed
    assert comparison.compared == comparison.expected
    assert comparison.counts["close"] > 100


MODULES = (
    "blocks.0.norm",
    "blocks.0.attention.key",
    "blocks.0.attention",
    "blocks.0.down",
    "blocks.1.norm_out",
    "head",
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    made = Studio(tmp_path_factory.mktemp("recorded"))
    made.record(training(tower, steps=1), draws=3)
    return made


@pytest.mark.parametrize("path", MODULES)
def test_a_factor_of_one_in_ten_thousand_is_named(recorded: Studio, path: str):
    failure = recorded.failure(training(lambda: scaled(tower(rewritten=True), path, 1.0001), steps=1))
    assert (
        re.match(
            rf"case step 0: {re.escape(path)}\b.* is the first module whose output differs|case step 0: .*after "
            rf"activation/{re.escape(path)}#0",
            str(failure),
        )
        or path == "head"
    ), str(failure).split("\n")[0]
    assert failure.comparison is not None
    first = failure.comparison.failures[0]
    assert first.site == f"activation/{path}#0"


def test_the_same_passes_by_the_defaults_of_torch(recorded: Studio):
    """What the floors are for."""
    faulty = training(
        lambda: scaled(tower(), "blocks.1.norm_out", 1.000001), steps=1, watch={"tolerances": {"*": (1.3e-6, 1e-5)}}
    )
    assert recorded.check(faulty).passed


@pytest.mark.parametrize("path", ["blocks.0.attention.key", "blocks.1.up"])
def test_in_bfloat16_a_factor_of_a_twentieth_is_named(studio: Studio, path: str):
    dtype = torch.bfloat16
    studio.record(training(lambda: tower(dtype=dtype), dtype=dtype, steps=1), draws=3)
    faulty = training(lambda: scaled(tower(rewritten=True, dtype=dtype), path, 1.05), dtype=dtype, steps=1)
    failure = studio.failure(faulty)
    assert failure.comparison is not None
    assert failure.comparison.failures[0].site == f"activation/{path}#0"


def test_the_table_has_both_ratios_and_what_is_allowed(recorded: Studio):
    text = str(recorded.failure(training(lambda: scaled(tower(rewritten=True), "blocks.1.up", 1.0001), steps=1)))
    head, row = text.split("\n")[2:4]
    assert re.fullmatch(r"site +verdict +floors: norm, gain +max abs +max rel +allowed +worst: here, reference", head)
    assert re.match(r"activation/\S*up#0 +differs +[\d.e+]+, [\d.e+]+ +[\d.e-]+ +[\d.e+-]+ +10 floors ", row)


def test_a_pass_says_how_near_it_came(recorded: Studio):
    comparison = recorded.check(training(lambda: tower(rewritten=True), steps=1))
    nearest = next(line for line in note_lines(comparison) if "nearest" in line)
    assert re.fullmatch(
        r"  nearest to its bound of 10 noise floors: \w+/\S+ in step 0, norm [\d.e-]+, gain [\d.e-]+", nearest
    )


def test_what_is_equal_bit_for_bit_comes_near_nothing(recorded: Studio):
    assert not [line for line in note_lines(recorded.check(training(tower, steps=1))) if "nearest" in line]


def test_without_draws_there_is_no_floor(studio: Studio):
    golden = studio.record(training(tower, steps=1), draws=0)
    assert golden.noise is None
    assert not (golden.path / "noise.safetensors").exists()
    text = str(studio.failure(training(lambda: scaled(tower(), "head", 1.01), steps=1)))
    assert "floors" not in text


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_any_number_of_draws_lets_a_rewrite_pass(studio: Studio, draws: int):
    golden = studio.record(training(tower, steps=1), draws=draws)
    assert golden.noise is not None
    assert golden.noise.draws == draws
    assert studio.check(training(lambda: tower(rewritten=True), steps=1)).passed
    assert "blocks.1.up" in str(
        studio.failure(training(lambda: scaled(tower(rewritten=True), "blocks.1.up", 1.001), steps=1))
    )


def test_recorded_twice_the_floors_are_the_same_bytes(studio: Studio):
    first = (studio.record(training(tower, steps=1), draws=2).path / "noise.safetensors").read_bytes()
    again = (studio.record(training(tower, steps=1), draws=2).path / "noise.safetensors").read_bytes()
    assert first == again
