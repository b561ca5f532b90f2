"""Each fault of `faults.py`, put into nest_ssl alone, fails the check, and the first line names its module."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from faults import FAULTS, Fault
from nest_ssl import NEST_NAMES
from omegaconf import DictConfig
from pretraining import pretrain
from tolerances import TOLERANCES

from pytest_parity import Comparison, Kind, Parity, ParityFailure, Site, Verdict
from pytest_parity.session import Mode, Settings

EXACT = {"input": (0.0, 0.0), "activation": (0.0, 0.0), "output": (0.0, 0.0), "loss": (0.0, 0.0)}
"""The forward pass bit for bit."""

Tolerances = Mapping[str, tuple[float, float]]


@pytest.fixture
def session(goldens: Path, tmp_path: Path) -> Callable[[Tolerances], Parity]:
    """Open a session on the golden, as the test of `test_nest_ssl.py` has it."""

    def check(tolerances: Tolerances) -> Parity:
        return Parity(
            Settings(
                mode=Mode.CHECK,
                case="nest/tiny",
                root=goldens,
                out=tmp_path / "out",
                names=NEST_NAMES,
                tolerances=tolerances,
            )
        )

    return check


def every_failure(parity: Parity, config: DictConfig, fault: Fault) -> Comparison:
    """Run all steps, whatever fails on the way."""
    with pytest.raises(ParityFailure) as caught, parity.collect():
        pretrain(parity, config, fault=fault)
    parity.abandon()
    assert caught.value.comparison is not None
    return caught.value.comparison


def failing_kinds(comparison: Comparison) -> set[Kind]:
    """The kinds of the sites that fail."""
    return {Site.parse(delta.site).kind for delta in comparison.failures}


def test_without_a_fault_the_check_passes(session: Callable[[Tolerances], Parity], tiny: DictConfig) -> None:
    """The twin of every test below: the same body, with nothing put in."""
    parity = session(TOLERANCES)
    pretrain(parity, tiny)
    comparison = parity.finish()
    assert isinstance(comparison, Comparison)
    assert comparison.passed
    assert comparison.compared == comparison.expected


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_line_names_the_module(
    name: str, session: Callable[[Tolerances], Parity], tiny: DictConfig
) -> None:
    """What a person reads first is where the fault is; without a module at fault, the optimizer."""
    fault = FAULTS[name]
    parity = session(TOLERANCES)
    with pytest.raises(ParityFailure) as caught:
        pretrain(parity, tiny, fault=fault)
    parity.abandon()
    first = str(caught.value).partition("\n")[0]
    print(f"{name}: {first}")
    culprit = re.escape(fault.module or "AdamW")
    assert re.match(rf"nest/tiny step 0: {culprit}(?![\w.])", first), first


def test_a_detached_branch_shows_in_gradients_only(
    session: Callable[[Tolerances], Parity], tiny: DictConfig
) -> None:
    """The step's forward pass is equal bit for bit, and its gradients are not."""
    comparison = every_failure(session({**TOLERANCES, **EXACT}), tiny, FAULTS["feed_forward_detached"])
    first = [delta for delta in comparison.failures if delta.step == 0]
    assert {Site.parse(delta.site).kind for delta in first} == {Kind.GRADIENT}


def test_a_missing_weight_decay_shows_in_updates_only(
    session: Callable[[Tolerances], Parity], tiny: DictConfig
) -> None:
    """In all steps nothing but updated weights differs."""
    comparison = every_failure(session(TOLERANCES), tiny, FAULTS["no_weight_decay"])
    assert failing_kinds(comparison) == {Kind.UPDATED_WEIGHT}
    assert {delta.step for delta in comparison.failures} == {0, 1, 2}


def test_codebooks_in_float32_are_another_dtype(session: Callable[[Tolerances], Parity], tiny: DictConfig) -> None:
    """A verdict of its own: only the codes' dtype is another, the ids are equal."""
    comparison = every_failure(session({**TOLERANCES, **EXACT}), tiny, FAULTS["codebooks_in_float32"])
    assert {delta.site for delta in comparison.failures} == {"activation/quantizer#0/out.0"}
    assert {delta.verdict for delta in comparison.failures} == {Verdict.DTYPE}
    assert "float64" in comparison.failures[0].detail
