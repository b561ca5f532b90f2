"""Each fault of `faults.py`, put into nest_ssl alone, fails the check, and the first line names its module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import FAULTS, Fault
from nest_ssl import NEST_NAMES
from omegaconf import DictConfig
from pretraining import pretrain

from pytest_parity import Comparison, Kind, Parity, ParityFailure, Site, Verdict
from pytest_parity.settings import Mode, Settings


@pytest.fixture
def session(goldens: Path, tmp_path: Path) -> Iterator[Parity]:
    """What the test in `test_nest_ssl.py` has as `parity`, for a case that more than one test checks."""
    settings = Settings(mode=Mode.CHECK, case="nest/tiny", root=goldens, out=tmp_path / "out", names=NEST_NAMES)
    parity = Parity(settings)
    yield parity
    parity.abandon()


def every_failure(session: Parity, config: DictConfig, fault: Fault) -> Comparison:
    """Run all steps, whatever fails on the way."""
    with pytest.raises(ParityFailure) as caught, session.collect():
        pretrain(session, config, fault=fault)
    assert caught.value.comparison is not None
    return caught.value.comparison


def failing_kinds(comparison: Comparison) -> set[Kind]:
    """The kinds of the sites that fail."""
    return {Site.parse(delta.site).kind for delta in comparison.failures}


def test_without_a_fault_the_check_passes(session: Parity, tiny: DictConfig) -> None:
    """The twin of every test below: the same body, with nothing put in."""
    pretrain(session, tiny)
    comparison = session.finish()
    assert isinstance(comparison, Comparison)
    assert comparison.passed
    assert comparison.compared == comparison.expected


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_line_names_the_module(name: str, session: Parity, tiny: DictConfig) -> None:
    """What a person reads first is where the fault is; without a module at fault, the optimizer."""
    fault = FAULTS[name]
    with pytest.raises(ParityFailure) as caught:
        pretrain(session, tiny, fault=fault)
    first = str(caught.value).partition("\n")[0]
    print(f"{name}: {first}")
    culprit = re.escape(fault.module or "AdamW")
    assert re.match(rf"nest/tiny( step 0)?: {culprit}(?![\w.])", first), first


def test_a_detached_branch_shows_in_gradients_only(session: Parity, tiny: DictConfig) -> None:
    """Every activation agrees, and gradients do not."""
    comparison = every_failure(session, tiny, FAULTS["feed_forward_detached"])
    first = [delta for delta in comparison.failures if delta.step == 0]
    assert {Site.parse(delta.site).kind for delta in first} == {Kind.GRADIENT}


def test_a_missing_weight_decay_shows_in_updates_only(session: Parity, tiny: DictConfig) -> None:
    """In all steps nothing but updated weights differs."""
    comparison = every_failure(session, tiny, FAULTS["no_weight_decay"])
    assert failing_kinds(comparison) == {Kind.UPDATED_WEIGHT}
    assert {delta.step for delta in comparison.failures} == {0, 1, 2}


def test_codebooks_in_float32_are_another_dtype(session: Parity, tiny: DictConfig) -> None:
    """A verdict of its own: only the codes' dtype is another, the ids are equal."""
    comparison = every_failure(session, tiny, FAULTS["codebooks_in_float32"])
    assert {delta.site for delta in comparison.failures} == {"activation/quantizer#0/out.0"}
    assert {delta.verdict for delta in comparison.failures} == {Verdict.DTYPE}
    assert "float64" in comparison.failures[0].detail


def test_a_codebook_parameter_in_float32_is_seen_before_any_number(session: Parity, tiny: DictConfig) -> None:
    """The structure is compared first: the parameter has another dtype, and no step is run."""
    comparison = every_failure(session, tiny, FAULTS["codebook_parameter_in_float32"])
    (delta,) = comparison.failures
    assert (delta.candidate or delta.site, delta.verdict) == ("weight/quantizer.codebooks", Verdict.DTYPE)
