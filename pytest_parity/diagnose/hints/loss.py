"""Hints of a loss or an output: a factor that the gradients share, or that is a count of the batch; the sign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isclose

from pytest_parity.diagnose.hints.evidence import Multiple, Pair, multiple, times, within
from pytest_parity.report.words import amount
from pytest_parity.result import Cause, Hint

__all__ = ["Count", "value_hints"]

_NEAR = 1e-3
"""How near a factor comes to a count that is then tested."""
_FEW = 8
"""A count up to which a factor is a count by chance: of accumulation, of processes."""
_REDUCTION = "look at its reduction: a sum or a mean, and over what"


@dataclass(frozen=True, slots=True)
class Count:
    """What a mean may be taken over: ``number`` of something; ``of`` which more there are, where it is a part of them."""

    number: int
    words: str
    of: int = 0


def value_hints(
    value: Pair, gradients: Sequence[Pair], counts: Sequence[Count] = (), *, loss: bool = True
) -> tuple[Hint, ...]:
    """Why a value differs that the test's own code computes of what agrees: the first cause that fits.

    ``gradients`` are all of the step that both have: a loss of one number proves nothing, and they do.
    """
    for found in _loss(value, gradients, counts) if loss else _output(value):
        return (found,)
    return ()


def _output(value: Pair) -> Iterator[Hint]:
    found = multiple([value])
    if found is not None:
        elements = value.read()[1].numel()
        where = f"all of its {amount(elements, 'element')}"
        cause = Cause.SIGN if found.factor == -1 else Cause.FACTOR
        yield Hint(cause, f"{_words(found.factor)}, in {where} ({found.support})")


def _loss(value: Pair, gradients: Sequence[Pair], counts: Sequence[Count]) -> Iterator[Hint]:
    failing = [one for one in gradients if one.fails]
    common = multiple([value, *failing]) if failing else multiple([value])
    if common is not None:
        where = f"{'the loss and ' if failing else ''}all of " + (
            amount(len(failing), "gradient") if failing else f"its {amount(value.read()[1].numel(), 'element')}"
        )
        yield _named(common, [value, *failing], counts, where)
    elif not failing and not gradients:
        yield from _alone(value, counts)


def _alone(value: Pair, counts: Sequence[Count]) -> Iterator[Hint]:
    """A loss of one number, where no gradient is to be seen: only a count that it is off by says something."""
    actual, expected = value.read()
    if actual.numel() != 1 or not float(expected):
        return
    factor = float(actual) / float(expected)
    if multiple([value], factor=-1.0):
        yield Hint(Cause.SIGN, f"the golden's with the other sign ({within(None, abs(factor + 1))})")
        return
    for words, exact in _counts(factor, counts):
        found = multiple([value], factor=exact)
        if found is not None:
            yield Hint(Cause.REDUCTION, f"{times(exact)} the golden's ({found.support}): {words}")
            return


def _named(found: Multiple, pairs: Sequence[Pair], counts: Sequence[Count], where: str) -> Hint:
    """By what a factor counts, where that fits as well."""
    factor = found.factor
    if factor == -1:
        return Hint(Cause.SIGN, f"the golden's with the other sign, in {where} ({found.support})")
    for words, exact in _counts(factor, counts):
        counted = multiple(pairs, factor=exact)
        if counted is not None:
            text = f"{times(exact)} the golden's, in {where} ({counted.support})"
            few = max(exact, 1 / exact) <= _FEW and exact in _whole(exact)
            return Hint(Cause.FACTOR if few else Cause.REDUCTION, f"{text}: {f'{_REDUCTION}; ' if few else ''}{words}")
    return Hint(Cause.FACTOR, f"{times(factor)} the golden's, in {where} ({found.support}): {_REDUCTION}")


def _whole(factor: float) -> tuple[float, float]:
    return float(round(factor)), 1 / max(round(1 / factor), 1)


def _words(factor: float) -> str:
    return "the golden's with the other sign" if factor == -1 else f"{times(factor)} the golden's"


def _counts(factor: float, counts: Sequence[Count]) -> Iterator[tuple[str, float]]:
    """What of the batch a factor may count: a sum where the other takes a mean, or means over another number of them."""
    for one in counts:
        if one.number > 1 and isclose(factor, one.number, rel_tol=_NEAR):
            yield f"as a sum here is, for the golden's mean over {one.words}", float(one.number)
        if one.number > 1 and isclose(factor, 1 / one.number, rel_tol=_NEAR):
            yield f"as a mean over {one.words} is here, for the golden's sum", 1 / one.number
    for one in counts:
        if 0 < one.number < one.of:
            if isclose(factor, one.number / one.of, rel_tol=_NEAR):
                yield f"as a mean over all {one.of:,} is here, for the golden's over {one.words}", one.number / one.of
            if isclose(factor, one.of / one.number, rel_tol=_NEAR):
                yield f"as a mean over {one.words} is here, for the golden's over all {one.of:,}", one.of / one.number
