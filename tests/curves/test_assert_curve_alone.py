"""``pytest_parity.assert_curve``: a curve held against others, without a golden and without pytest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pytest_parity import ParityFailure, ToleranceError, UsageError, assert_curve, check, record
from pytest_parity.curves.curve import Curve
from pytest_parity.session.loop import Loop


def losses_of(seed: int, factor: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(200)
    return factor * (2 * np.exp(-np.arange(200) / 60) + 0.5) + 0.02 * noise


REFERENCES = [losses_of(seed) for seed in range(5)]


def test_another_seed_passes() -> None:
    found = assert_curve(losses_of(9), REFERENCES)
    assert (found.compared, found.references, found.passed) == (200, 5, True)


def test_another_level_fails_and_the_first_line_is_the_bug() -> None:
    with pytest.raises(ParityFailure, match=r"^assert_curve: loss ") as failure:
        assert_curve(losses_of(9, 1.049), REFERENCES)
    assert failure.value.comparison is not None
    assert failure.value.comparison.failing_curves


def test_each_of_several_runs_is_judged() -> None:
    with pytest.raises(ParityFailure, match=r"loss \(run 2\) is nan at step 1, "):
        assert_curve([losses_of(9), np.full(200, np.nan)], REFERENCES)


def test_of_one_reference_its_own_bits_pass_or_what_a_tolerance_allows() -> None:
    assert assert_curve(losses_of(0), losses_of(0)).equal
    with pytest.raises(ParityFailure, match="only its own bits pass"):
        assert_curve(losses_of(1), losses_of(0))
    assert assert_curve(losses_of(1), losses_of(0), rtol=0.5).passed
    with pytest.raises(ToleranceError, match="rtol=5"):
        assert_curve(losses_of(1), losses_of(0), rtol=5)


def test_units_that_differ_are_refused() -> None:
    steps = np.arange(1, 201)
    nats, bits = (
        Curve(unit, steps=steps, step_losses=losses_of(0), unit=unit) for unit in ("nats/token", "bits/token")
    )
    with pytest.raises(UsageError, match="'nats/token', the recorded one in 'bits/token'"):
        assert_curve(nats, bits)


def test_a_loop_of_ones_own_has_curves_too(tmp_path: Path) -> None:
    def train(watched: Loop, model: torch.nn.Linear, factor: float) -> None:
        losses = []
        for _ in watched.steps([torch.ones(2, 4)]):
            losses.append(factor * model(torch.ones(2, 4)).square().mean())
            losses[-1].backward()
        watched.assert_curve(losses)

    model = torch.nn.Linear(4, 1)
    with record(tmp_path, "tiny", model) as run:
        train(run, model, 1.0)
    assert run.recorded is not None
    assert run.recorded.curves == ("loss",)
    model.zero_grad()
    with pytest.raises(ParityFailure, match="loss"), check(tmp_path, "tiny", model, out=tmp_path / "out") as run:
        train(run, model, 1.5)
    assert run.failure is not None
    assert run.failure.comparison is not None
    assert [curve.passed for curve in run.failure.comparison.curves] == [False]
