"""Damages: what is done to the curve of a real run, and what is done wrong in training it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.curves.training import STEPS, Run
from pytest_parity.curves.curve import Curve

__all__ = ["DAMAGES", "MISTRAINED", "Damage", "Mistrained"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Damage:
    """One kind."""

    name: str
    put: Callable[[Curve], Curve]
    seeds: bool = True
    """Whether it can be told from another seed at all; what cannot is for draws only."""
    effect: bool = False
    """Whether the rule decides: it moves means, and nothing else gives it away."""


@dataclass(frozen=True)
class Mistrained:
    """A run that was trained otherwise."""

    name: str
    put: Callable[[Run], Run]
    seeds: bool = True


def _values(make: Callable[[Array, Array], Array]) -> Callable[[Curve], Curve]:
    def put(curve: Curve) -> Curve:
        values = np.asarray(curve.step_losses, np.float64).copy()
        return replace(curve, step_losses=make(values, np.arange(len(values), dtype=np.float64)))

    return put


def _kept(make: Callable[[int], NDArray[np.int64]]) -> Callable[[Curve], Curve]:
    """Of steps and losses these places."""

    def put(curve: Curve) -> Curve:
        places = make(len(curve.steps))
        return replace(curve, steps=curve.steps[places], step_losses=curve.step_losses[places])

    return put


def _at(place: int, value: float | None = None, *, factor: float = 1.0) -> Callable[[Curve], Curve]:
    def make(values: Array, _: Array) -> Array:
        values[place] = values[place] * factor if value is None else value
        return values

    return _values(make)


def _wave(period: float) -> Callable[[Curve], Curve]:
    return _values(lambda values, t: values * (1 + 0.05 * np.cos(2 * np.pi * t / period)))


def _average(values: Array, window: int) -> Array:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    averaged: Array = (sums[last] - sums[first]) / (last - first)
    return averaged


def _exponential(values: Array, kept: float) -> Array:
    smooth: Array = values.copy()
    for place in range(1, len(values)):
        smooth[place] = kept * smooth[place - 1] + (1 - kept) * values[place]
    return smooth


def _frozen(values: Array, _: Array) -> Array:
    values[180:200] = values[179]
    return values


def _to_bfloat16(values: Array, _: Array) -> Array:
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    halved: Array = rounded.astype(np.uint32).view(np.float32).astype(np.float64)
    return halved


def _resumed_as_new(values: Array, _: Array) -> Array:
    """From a checkpoint of step 150 at step 160: ten steps twice, the numbers going on."""
    again: Array = np.concatenate([values[:160], values[150:]])[:STEPS]
    return again


def _swapped(length: int) -> NDArray[np.int64]:
    places = np.arange(length)
    places[[200, 201]] = places[[201, 200]]
    return places


DAMAGES = (
    Damage("NaN at one step", _at(140, float("nan"))),
    Damage("infinite at one step", _at(140, float("inf"))),
    Damage("last tenth missing", _kept(lambda length: np.arange(length * 9 // 10))),
    Damage("last step missing", _kept(lambda length: np.arange(length - 1))),
    Damage("first step missing", _kept(lambda length: np.arange(1, length))),
    Damage("one step missing", _kept(lambda length: np.delete(np.arange(length), 140))),
    Damage("early stop", _kept(lambda length: np.arange(length * 2 // 5))),
    Damage("every second step logged", _kept(lambda length: np.arange(0, length, 2))),
    Damage("+4.9 % throughout", _values(lambda values, _: values * 1.049), effect=True),
    Damage("-4.9 % throughout", _values(lambda values, _: values * 0.951), effect=True),
    Damage("drift, growing to +5 %", _values(lambda values, t: values * (1 + 0.05 * t / len(t))), effect=True),
    Damage("drift, growing to +10 %", _values(lambda values, t: values * (1 + 0.1 * t / len(t))), effect=True),
    Damage("+5 % in the last fifth", _values(lambda values, t: values * np.where(t < 240, 1, 1.05)), effect=True),
    Damage("+/- 5 %, period 2", _wave(2)),
    Damage("+/- 5 %, period 10", _wave(10)),
    Damage("+/- 5 %, period 37", _wave(37)),
    Damage("+/- 5 %, period 100", _wave(100)),
    Damage("spike of 1e9", _at(140, 1e9)),
    Damage("spike of 1.5 times", _at(140, factor=1.5)),
    Damage("dip to 0", _at(140, 0.0)),
    Damage("10 steps again after a resume", _kept(lambda length: np.r_[np.arange(160), np.arange(150, length)])),
    Damage("10 steps again, numbers going on", _values(_resumed_as_new)),
    Damage("steps out of order", _kept(_swapped)),
    Damage("numbered from 0", lambda curve: replace(curve, steps=curve.steps - 1)),
    Damage("logged one step late", _values(lambda values, _: np.concatenate([values[:1], values[:-1]])), seeds=False),
    Damage("moving average of 10 logged", _values(lambda values, _: _average(values, 10))),
    Damage("moving average of 100 logged", _values(lambda values, _: _average(values, 100))),
    Damage("exponential average logged", _values(lambda values, _: _exponential(values, 0.9))),
    Damage("divided by accumulation (4)", _values(lambda values, _: values / 4)),
    Damage("summed over the batch (4)", _values(lambda values, _: values * 4)),
    Damage("bits for nats", _values(lambda values, _: values / np.log(2))),
    Damage("constant", _values(lambda values, _: np.full_like(values, values.mean()))),
    Damage("frozen for 20 steps", _values(_frozen)),
    Damage("logged in bfloat16", _values(_to_bfloat16)),
    Damage(
        "noise twice as large", _values(lambda values, _: _average(values, 20) + 2 * (values - _average(values, 20)))
    ),
    Damage("+0.01 % throughout", _values(lambda values, _: values * 1.0001), seeds=False),
)
MISTRAINED = (
    Mistrained("warm-up of 100 steps for 20", lambda run: replace(run, warmup=100)),
    Mistrained("half the learning rate", lambda run: replace(run, rate=run.rate / 2)),
    Mistrained("rate decayed by step 100", lambda run: replace(run, decayed=100)),
    Mistrained("a batch of 1 for 4", lambda run: replace(run, batch=1)),
    Mistrained("the same batch every time", lambda run: replace(run, shuffled=False)),
    Mistrained("optimizer's state lost at step 150", lambda run: replace(run, forgets=150), seeds=False),
    Mistrained("rate larger by 0.1 %", lambda run: replace(run, rate=run.rate * 1.001), seeds=False),
    Mistrained("another seed", lambda run: replace(run, seed=run.seed + 500), seeds=False),
)
