"""Where a NaN or an infinity appears first, and what helps, as lines."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan

from pytest_parity.report.words import amount, listed, number
from pytest_parity.result import Advice, Appearance, Range
from pytest_parity.site import INPUTS, Kind, Site

__all__ = ["nonfinite_lines"]

_SHOWN = 4
_LARGEST = {"float16": "65,504", "bfloat16": "3.39e+38"}


def nonfinite_lines(found: Appearance) -> list[str]:
    """``step 0: NaN appears first in the output of blocks.1.att (12 of 4,096 elements); ...``, then what helps."""
    what = "NaN" if found.what.nan else "an infinity"
    line = f"step {found.step}: {what} appears first in {_place(found.module, found.what)} ({_count(found.what)})"
    if found.fed:
        finite = not any(one.nonfinite for one in found.fed)
        word = _FED.get(Site.parse(found.what.site).kind, "what it is made of")
        verb = " is" if word.startswith("what") else " are"
        line += f"; {word}{f'{verb} finite' if finite else ''}: "
        line += listed([_range(one) for one in found.fed], _SHOWN)
    if found.reference is not None:
        line += f"; the reference's is {_range(found.reference, name='')}"
    advice = "" if found.advice is None else _ADVICE[found.advice](found)
    return [line, *([advice] if advice else [])]


_FED = {
    Kind.ACTIVATION: "its inputs",
    Kind.INPUT: "what was there before",
    Kind.LOSS: "the outputs",
    Kind.OUTPUT: "what it is made of",
    Kind.ACTIVATION_GRADIENT: "what went through forward",
    Kind.GRADIENT: "what came in",
    Kind.UPDATED_WEIGHT: "what it is stepped from",
}


def _place(module: str, what: Range) -> str:
    site = Site.parse(what.site)
    call = f" (call {site.call + 1})" if site.call else ""
    leaf = f" ({site.leaf})" if site.leaf and site.kind is not Kind.INPUT else ""
    words = {
        Kind.BATCH: f"the batch's {site.path}",
        Kind.WEIGHT: f"the weight {module}, before the step",
        Kind.INPUT: f"what is handed to {module}{call} as {site.leaf}",
        Kind.ACTIVATION: f"the output of {module}{call}",
        Kind.OUTPUT: f"the output {site.path}",
        Kind.LOSS: "the loss" if site.path == "loss" else f"the loss {site.path}",
        Kind.ACTIVATION_GRADIENT: f"backward, in the gradient of the output of {module}{call}",
        Kind.GRADIENT: f"backward, in the gradient of {module.removeprefix(f'{INPUTS}.')}",
        Kind.OPTIMIZER: f"the optimizer's state of {module}",
        Kind.UPDATED_WEIGHT: f"the update of {module}",
    }
    return words[site.kind] + leaf


def _count(what: Range) -> str:
    total = amount(what.elements, "element")
    infinite = what.positive + what.negative
    if what.nan and infinite:
        return f"{what.nan:,} NaN and {infinite:,} infinite of {total}"
    return f"{what.nonfinite:,} of {total}"


def _range(one: Range, *, name: str | None = None) -> str:
    site = Site.parse(one.site)
    short = site.leaf if site.kind is Kind.INPUT else one.site
    label = short if name is None else name
    if one.dtype == "bool":
        numbers = f"a mask of {amount(one.elements, 'element')}"
    elif one.nonfinite == one.elements:
        numbers = f"nothing finite in {amount(one.elements, 'element')}"
    else:
        numbers = f"from {number(one.low)} to {number(one.high)}, std {number(one.std)}"
    beside = [
        f"{count:,} {word}"
        for count, word in ((one.nan, "NaN"), (one.positive, "inf"), (one.negative, "-inf"))
        if count
    ]
    return f"{label} {numbers}{', and ' + ', '.join(beside) if beside else ''}".strip()


def _near(found: Appearance) -> str:
    dtype = found.what.dtype
    most = max((*found.fed, found.what), key=lambda one: 0.0 if isnan(one.largest) else one.largest)
    return (
        f"{dtype} ends at {_LARGEST[dtype]}, and {_range_name(most)} reaches {number(most.largest)}: compute this module in "
        "float32 or bfloat16"
    )


def _scale(found: Appearance) -> str:
    return (
        f"the gradient is {found.what.dtype}, which ends at {_LARGEST[found.what.dtype]}: a smaller loss scale, or float32 or "
        "bfloat16 for this module"
    )


def _skipped(_found: Appearance) -> str:
    return (
        "the optimizer did not step: where a loss scale overflows its scaler leaves the step out, and lowers the scale"
    )


def _grown(found: Appearance) -> str:
    grown = f"weights have up to {number(found.grown)} times the norm that they began with" if found.grown > 1 else ""
    gradient = f"the norm of all gradients is {number(found.gradient)}" if found.gradient else ""
    seen = " and ".join(one for one in (grown, gradient) if one)
    return f"{seen + ': ' if seen else ''}a lower learning rate, or gradients clipped before the optimizer steps"


def _zero(found: Appearance) -> str:
    held = next(one for one in found.fed if one.zeros)
    return (
        f"{_range_name(held)} holds {held.zeros:,} zeros (of {held.elements:,}): no logarithm, quotient or root of what can be "
        "zero without an eps"
    )


def _padded(found: Appearance) -> str:
    held = next(one for one in found.fed if one.hollow)
    what = "all one value" if held.dtype == "bool" else "-inf throughout"
    return (
        f"{_range_name(held)}[{', '.join(map(str, held.hollow))}] is {what}: a sequence of nothing but padding leaves a softmax nothing; keep "
        "such out of the batch, or leave one place unmasked"
    )


def _given(found: Appearance) -> str:
    batch = Site.parse(found.what.site).kind is Kind.BATCH
    return (
        "it is in the data: look at what the loader gave"
        if batch
        else "the weights were like this before the first step"
    )


def _range_name(one: Range) -> str:
    site = Site.parse(one.site)
    return site.leaf if site.kind is Kind.INPUT else one.site


_ADVICE: dict[Advice, Callable[[Appearance], str]] = {
    Advice.RANGE: _near,
    Advice.SCALE: _scale,
    Advice.SKIPPED: _skipped,
    Advice.GROWN: _grown,
    Advice.ZERO: _zero,
    Advice.PADDED: _padded,
    Advice.GIVEN: _given,
}
