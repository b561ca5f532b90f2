"""Curves to judge, made of noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pytest_parity.curves.curve import Curve
from pytest_parity.curves.judge import judge
from pytest_parity.result.curve import CurveCheck, CurveComparison

STEPS = 240


def curve(values, **fields) -> Curve:
    values = np.asarray(values, np.float64)
    return Curve("run", steps=np.arange(1, len(values) + 1), step_losses=values, **fields)


def losses(seed, length=STEPS, *, noise=0.04, slow=0.004) -> np.ndarray:
    """One seed's: falling from 4 to 2, with noise at each step and a level of its own."""
    rng = np.random.default_rng(seed)
    centre = 2 + 2 * np.exp(-6 * np.arange(length) / length)
    values = centre * (1 + noise * rng.standard_normal(length) + slow * rng.standard_normal())
    return values.astype(np.float32).astype(np.float64)


def seeds(count=8, length=STEPS, **how) -> list[Curve]:
    return [curve(losses(100 + seed, length, **how)) for seed in range(count)]


def draws(count=4, seed=0) -> list[Curve]:
    """Free runs of one seed, which part by a factor of e in 15 steps."""
    return [free(seed, draw) for draw in range(count)]


def free(seed, draw, size=1.0) -> Curve:
    rng = np.random.default_rng(1000 + draw)
    base = losses(seed)
    apart = np.minimum(2e-7 * size * np.exp(np.arange(STEPS) / 15), 5e-3)
    return curve((base * (1 + apart * rng.standard_normal(STEPS))).astype(np.float32))


def against_seeds(values, **how) -> CurveComparison:
    one = values if isinstance(values, Curve) else curve(values)
    return judge(one, seeds(), **how)


def checks(found: CurveComparison) -> list[CurveCheck]:
    return [one.check for one in found.findings]


def first(found: CurveComparison):
    assert found.findings
    return found.findings[0]


def without(one: Curve, *places) -> Curve:
    return replace(one, steps=np.delete(one.steps, places), step_losses=np.delete(one.step_losses, places))
