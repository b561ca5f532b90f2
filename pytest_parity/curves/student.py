"""Student's t distribution: how rare a value is, and where a share of it ends; for any number of degrees of freedom above 0.

The tail is the regularised incomplete beta function, ``P(|T| > t) = I_x(dof / 2, 1 / 2)`` with ``x = dof / (dof + t**2)``
(Abramowitz and Stegun, 26.7.1), as the continued fraction 26.5.8, evaluated by Lentz's method.
"""

from __future__ import annotations

import math

from pytest_parity.errors import UsageError

__all__ = ["critical", "quantile", "tail"]

_NORMAL_FROM = 1e8
"""Degrees of freedom from which nothing is left between it and the normal distribution."""
_SERIES_FROM = 500.0
"""From here a difference of two ``lgamma`` would lose digits, and its series has all of them."""
_TINY = 1e-300
_EPSILON = 1e-15
_TERMS = 100_000
_HALVINGS = 2_200
"""More than there are between any two float64."""


def tail(t: float, dof: float) -> float:
    """``P(|T| > |t|)``: the two-sided tail. ``nan`` of ``nan``. Raises ``UsageError`` where ``dof`` is not above 0."""
    _check(dof)
    if math.isnan(t):
        return math.nan
    if dof >= _NORMAL_FROM:
        return math.erfc(abs(t) / math.sqrt(2))
    ratio = abs(t) / math.sqrt(dof)
    if ratio == 0 or math.isinf(ratio):
        return 0.0 if ratio else 1.0
    square = ratio * ratio  # infinite where the tail is far below what it is a share of
    a, b, x = dof / 2, 0.5, 1 / (1 + square)
    front = math.exp(_log_front(ratio, dof))
    if x < (a + 1) / (a + b + 2):
        return min(front * _fraction(x, a, b) / a, 1.0)
    return max(1 - front * _fraction(square / (1 + square), b, a) / b, 0.0)


def critical(alpha: float, dof: float) -> float:
    """The ``t`` with ``P(|T| > t) == alpha``, as an interval of confidence ``1 - alpha`` needs it."""
    _check(dof)
    if not 0 < alpha <= 1:
        raise UsageError(f"a share of a distribution is above 0 and at most 1, and this one is {alpha:g}")
    if alpha == 1:
        return 0.0
    low, high = 0.0, 1.0
    while tail(high, dof) > alpha:
        low, high = high, high * 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if tail(middle, dof) > alpha else (low, middle)
    return high


def quantile(probability: float, dof: float) -> float:
    """The ``t`` with ``P(T <= t) == probability``."""
    if not 0 < probability < 1:
        raise UsageError(f"a probability is between 0 and 1, and this one is {probability:g}")
    if probability == 0.5:  # noqa: PLR2004  the middle
        return 0.0
    return math.copysign(critical(2 * min(probability, 1 - probability), dof), probability - 0.5)


def _check(dof: float) -> None:
    if not dof > 0:
        raise UsageError(f"degrees of freedom are above 0, and these are {dof:g}")


def _log_front(ratio: float, dof: float) -> float:
    """The logarithm of ``x**a * (1 - x)**b / B(a, b)``, with ``ratio = t / sqrt(dof)``."""
    a = dof / 2
    if a < _SERIES_FROM:
        gammas = math.lgamma(a + 0.5) - math.lgamma(a)
    else:
        gammas = 0.5 * math.log(a) - 1 / (8 * a) + 1 / (192 * a**3)
    log_x = -2 * math.log(math.hypot(1, ratio)) if ratio > 1 else -math.log1p(ratio * ratio)
    return gammas - 0.5 * math.log(math.pi) + (a + 0.5) * log_x + math.log(ratio)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function; it converges fast for ``x < (a + 1) / (a + b + 2)``."""
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _off_zero(1 + numerator * d)
            c = _off_zero(1 + numerator / c)
            result *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return result


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
