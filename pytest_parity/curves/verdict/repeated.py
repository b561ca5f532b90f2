"""Repeated: values that a curve has had already, and values of too few bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.verdict.ensemble import Array
from pytest_parity.result.curve import CurveCheck, CurveFinding

__all__ = ["few_bits", "repeated"]

CHANCE = 1e-4
"""That a curve has as long a repetition by chance."""
RESOLUTION = 2.0**-20
"""Two losses near one another are the same float32 about that often."""
FEWEST = 2
"""Values in a row, of a repetition: a single value may well come again."""
ENOUGH = 16
"""Values, of which as few bits are no chance."""
HALVES = (("bfloat16", 8), ("float16", 11))


def repeated(steps: NDArray[np.int64], values: Array, references: Array) -> list[CurveFinding]:
    """Blocks of values that are equal, bit for bit, to earlier ones, longer than chance and the recorded curves have them."""
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(values) < 2:  # noqa: PLR2004  a repetition takes two
        return []
    enough = max([_by_chance(values, references), *(2 * _longest(one) + 1 for one in references)])
    places, sources = _blocks(values, enough)
    if not len(places):
        return []
    covered = np.zeros(len(values), bool)
    for shift in range(enough):
        covered[places + shift] = True
    first, source = int(places[0]), int(sources[0])
    lag = first - source
    same = lag == 1
    detail = "the same value again and again" if same else f"as from step {steps[source]} on"
    return [
        CurveFinding(
            check=CurveCheck.REPEATED,
            step=int(steps[first]),
            last=int(steps[covered][-1]),
            count=int(covered.sum()),
            value=float(values[first]),
            expected=float("nan"),
            low=float("nan"),
            high=float("nan"),
            share=float("inf"),
            detail=detail,
        )
    ]


def few_bits(steps: NDArray[np.int64], values: Array, references: Array) -> list[CurveFinding]:
    """Whether all values have half precision, where the recorded ones have more."""
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(np.unique(values)) < ENOUGH:
        return []
    for name, bits in HALVES:
        if _has(values, bits) and not any(_has(one, bits) for one in references):
            return [_whole(steps, values, bits, name)]
    return []


def _whole(steps: NDArray[np.int64], values: Array, bits: int, name: str) -> CurveFinding:
    return CurveFinding(
        check=CurveCheck.PRECISION,
        step=int(steps[0]),
        last=int(steps[-1]),
        count=len(steps),
        value=float(values[0]),
        expected=float("nan"),
        low=float("nan"),
        high=float("nan"),
        share=float("inf"),
        detail=f"every value is a {name}, of {bits} significant bits",
    )


def _has(values: Array, bits: int) -> bool:
    mantissa, _ = np.frexp(values)
    scaled = np.ldexp(mantissa, bits)
    return bool((scaled == np.round(scaled)).all())


def _by_chance(values: Array, references: Array) -> int:
    """The longest repetition that a curve of so many values may have, by how often two of its values are equal."""
    equal = max(RESOLUTION, *(_equal(one) for one in references))
    pairs = len(values) ** 2 / 2
    if equal >= 1:
        return len(values)
    return max(FEWEST, int(np.ceil(np.log(CHANCE / pairs) / np.log(equal))))


def _equal(values: Array) -> float:
    """The share of pairs that are equal."""
    _, counts = np.unique(values, return_counts=True)
    return float((counts.astype(np.float64) * (counts - 1)).sum()) / max(len(values) * (len(values) - 1), 1)


def _longest(values: Array) -> int:
    """The length of the longest repetition, up to a factor of two."""
    length = 1
    while length < len(values) and len(_blocks(values, length)[0]):
        length *= 2
    return length - 1 if length > 1 else 0


def _blocks(values: Array, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where blocks of that length begin that came before, and where they came first."""
    if len(values) < length + 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    _, keys = np.unique(values, return_inverse=True)
    keys = keys.reshape(-1).astype(np.int64)
    done = 1
    while done < length:  # a block of twice the length is a pair of blocks
        more = min(done, length - done)
        pairs = keys[: len(keys) - more] * np.int64(len(values) + 1) + keys[more:]
        _, keys = np.unique(pairs, return_inverse=True)
        keys = keys.reshape(-1).astype(np.int64)
        done += more
    _, firsts = np.unique(keys, return_index=True)
    sources = firsts[keys].astype(np.int64)
    places = np.flatnonzero(sources < np.arange(len(keys)))
    return places, sources[places]
