"""Batch normalisation: in the other mode, of another momentum, its variance biased or not: outputs and running statistics."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pytest_parity.diagnose.hints.numbers import fitted, written
from pytest_parity.diagnose.hints.settings import changed
from pytest_parity.diagnose.hints.trial import FLOORS, Hypothesis, Trial
from pytest_parity.report.words import number
from pytest_parity.result import Cause, Hint, Part

__all__ = ["HYPOTHESES"]

_CHANNELS = 4
"""Numbers that a momentum is fitted to at least."""


def _mode(trial: Trial) -> Iterator[Hint]:
    """Its running statistics in place of the batch's, or the reverse."""
    module = trial.module
    if trial.specimen.part is Part.BUFFER or module is None or not hasattr(module, "running_mean"):
        return
    words = "the reference's uses its running statistics, this one the batch's"
    if not module.training:
        words = "the reference's uses the batch's statistics, this one its running ones"
    yield from trial.told(Cause.BATCHNORM, words, _normalised(trial, module, batch=not module.training))
    if trial.faithful:
        yield from trial.told(
            Cause.BATCHNORM, words, trial.run(changed(module, training=not module.training)), anew=True
        )


def _normalised(trial: Trial, module: torch.nn.Module, *, batch: bool) -> torch.Tensor | None:
    """What it gives in one mode, as it should."""
    value, eps = trial.inputs.get("in.0"), getattr(module, "eps", None)
    mean, var = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    if value is None or value.dim() < 2 or not isinstance(eps, float):  # noqa: PLR2004
        return None
    shape = [1, -1] + [1] * (value.dim() - 2)
    if batch:
        dims = [place for place in range(value.dim()) if place != 1]
        mean, var = value.mean(dims), value.var(dims, unbiased=False)
    if mean is None or var is None:
        return None
    found: torch.Tensor = (value - mean.double().reshape(shape)) * (var.double().reshape(shape) + eps).rsqrt()
    weight, bias = (trial.parameters.get(name) for name in ("weight", "bias"))
    found = found if weight is None else found * weight.reshape(shape)
    return found if bias is None else found + bias.reshape(shape)


def _buffer(trial: Trial) -> Iterator[Hint]:
    """A running statistic: what it was, moved by a share towards the batch's."""
    if trial.specimen.part is not Part.BUFFER or not trial.fits:
        return
    start, value = trial.specimen.context.get("start"), trial.inputs.get("in.0")
    if start is None:
        return
    before = start.detach().double().cpu()
    moved = trial.actual - before
    for left in _still(trial, before):
        yield Hint(Cause.BATCHNORM, f"it is updated here, and not in the reference ({trial.support(left)})")
    if not float(moved.norm()) > FLOORS * trial.floor:
        if value is not None:
            yield from _updated(trial, before, value)
        return
    yield from _biased(trial, before, value)
    yield from _momentum(trial, before, moved)


def _still(trial: Trial, before: torch.Tensor) -> Iterator[float]:
    left = trial.left(before)
    if left is not None:
        yield left


def _updated(trial: Trial, before: torch.Tensor, value: torch.Tensor) -> Iterator[Hint]:
    share = fitted(trial.expected - before, _statistic(trial, value) - before)
    if share:
        found = before + share * (_statistic(trial, value) - before)
        yield from trial.told(Cause.BATCHNORM, "it is updated in the reference, and not here", found)


def _statistic(trial: Trial, value: torch.Tensor, *, unbiased: bool = True) -> torch.Tensor:
    """The batch's variance or mean, whichever this buffer follows."""
    dims = [place for place in range(value.dim()) if place != 1]
    variance = float(trial.expected.min()) > 0 and value.var(dims).shape == trial.expected.shape
    mean, var = value.mean(dims), value.var(dims, unbiased=unbiased)
    if not variance:
        return mean
    near = [float((trial.expected - one).norm()) for one in (mean, var)]
    return var if near[1] <= near[0] else mean


def _momentum(trial: Trial, before: torch.Tensor, moved: torch.Tensor) -> Iterator[Hint]:
    """The same move, by another share."""
    own = _share(trial, before, moved)
    times = fitted(trial.expected - before, moved) if trial.expected.numel() >= _CHANNELS else None
    if not times or not own:
        return
    form = written(own * times, FLOORS * trial.floor * own / float(moved.norm()))
    if form is not None:
        other = before + moved * form.value / own
        text = f"with momentum {number(form.value)} in place of {number(own)} it agrees"
        yield from trial.told(Cause.BATCHNORM, text, other)


def _share(trial: Trial, before: torch.Tensor, moved: torch.Tensor) -> float | None:
    """How far the buffer went towards the batch's statistic; where that is not at hand, as far as the module says."""
    value, own = trial.inputs.get("in.0"), getattr(trial.module, "momentum", None)
    if value is None or value.dim() < 2:  # noqa: PLR2004
        return own if isinstance(own, float) else None
    towards = _statistic(trial, value) - before
    share = fitted(moved, towards)
    if share is None or trial.left(before + share * towards, trial.actual) is None:
        return None
    form = written(share, FLOORS * trial.floor / float(towards.norm()))
    return None if form is None else form.value


def _biased(trial: Trial, before: torch.Tensor, value: torch.Tensor | None) -> Iterator[Hint]:
    """The variance of the batch by n, or by n - 1."""
    own = getattr(trial.module, "momentum", None)
    if value is None or not isinstance(own, float) or value.dim() < 2:  # noqa: PLR2004
        return
    dims = [place for place in range(value.dim()) if place != 1]
    for unbiased, words in ((True, "by n - 1 in place of n"), (False, "by n in place of n - 1")):
        other = before + own * (value.var(dims, unbiased=unbiased) - before)
        here = before + own * (value.var(dims, unbiased=not unbiased) - before)
        if other.shape == trial.expected.shape and trial.left(here, trial.actual) is not None:
            yield from trial.told(Cause.BATCHNORM, f"with the variance {words} it agrees", other)


HYPOTHESES: tuple[Hypothesis, ...] = (_mode, _buffer)
