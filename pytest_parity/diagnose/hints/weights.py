"""Weights: what a module multiplies with is its weight turned, moved or scaled; rows that alone are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from pytest_parity.diagnose.hints.linear import bessel
from pytest_parity.diagnose.hints.numbers import fitted, written
from pytest_parity.diagnose.hints.order import matching, pattern
from pytest_parity.diagnose.hints.trial import FLOORS, Hypothesis, Trial
from pytest_parity.report.words import amount, listed
from pytest_parity.result import Cause, Hint

__all__ = ["HYPOTHESES"]

Product = Callable[[torch.Tensor], torch.Tensor]
"""From a weight to what the module returns."""

_ENOUGH = 32
_WORK = 1 << 32
_SHARE = 0.25
"""Of the rows, those that may be wrong alone."""
_SHOWN = 3
_LEAST = 4
_LONGEST = 2048


def _changed(trial: Trial) -> Iterator[Hint]:
    """One side is computed with the weight as it is held, the other with the weight changed."""
    module, run = trial.module, _product(trial)
    if module is None or run is None or not trial.fits:
        return
    weight = module.weight.detach()  # type: ignore[operator]
    assert isinstance(weight, torch.Tensor)
    plain = _made(run, weight)
    here = trial.left(plain, trial.actual) is not None
    if not here and trial.left(plain) is None:
        return
    for cause, words, other in _changes(weight, isinstance(module, torch.nn.Embedding)):
        found = _made(run, other)
        if here:
            yield from trial.told(cause, f"with its weight {words} it agrees", found)
        elif found is not None and (left := trial.left(found, trial.actual)) is not None:
            yield Hint(cause, f"it is computed with its weight {words} ({trial.support(left)})")


def _changes(weight: torch.Tensor, table: bool) -> Iterator[tuple[Cause, str, torch.Tensor]]:
    if weight.dim() > 1 and weight.shape[0] == weight.shape[1] > 1:
        yield Cause.TRANSPOSE, "transposed", weight.transpose(0, 1)
    if weight.dim() > 3 and weight.shape[-1] == weight.shape[-2] > 1:  # noqa: PLR2004
        yield Cause.TRANSPOSE, "transposed in its last two dimensions", weight.transpose(-1, -2)
    for dim in range(weight.dim()):
        if weight.shape[dim] > 1:
            for by in (1, -1):
                cause = Cause.SHIFT if table and dim == 0 else Cause.WEIGHT
                yield cause, f"rolled by {by} along dim {dim}", weight.roll(by, dim)
            yield Cause.WEIGHT, f"flipped along dim {dim}", weight.flip(dim)
    yield Cause.SIGN, "negated", -weight


def _made(run: Product, weight: torch.Tensor) -> torch.Tensor | None:
    try:
        return run(weight.contiguous()).double().cpu()
    except (RuntimeError, IndexError):
        return None


def _product(trial: Trial) -> Product | None:
    """Of a linear module, a convolution or an embedding; ``None`` of others, and of too large ones."""
    module, value = trial.module, next(iter(trial.specimen.inputs.values()), None)
    if value is None or trial.over:
        return None
    if isinstance(module, torch.nn.Linear) and trial.expected.numel() * module.in_features < _WORK:
        return lambda weight: functional.linear(value, weight, module.bias)
    if isinstance(module, torch.nn.Embedding) and not value.is_floating_point() and module.max_norm is None:
        return lambda weight: functional.embedding(value, weight)
    convolves = isinstance(module, torch.nn.modules.conv._ConvNd) and not module.transposed  # noqa: SLF001
    if module is not None and convolves and trial.expected.numel() * module.weight[0].numel() < _WORK:  # type: ignore[index]
        return lambda weight: module._conv_forward(value, weight, module.bias)  # type: ignore[operator]  # noqa: SLF001
    return None


def _scaled(trial: Trial) -> Iterator[Hint]:
    """The weight by a factor, the bias not."""
    bias = trial.parameters.get("bias")
    if bias is None or not trial.fits or trial.expected.numel() < _ENOUGH or bias.dim() != 1 or not bias.any():
        return
    for dim in _dims(trial):
        if trial.expected.shape[dim] != bias.numel():
            continue
        added = bias.reshape([-1 if place == dim else 1 for place in range(trial.expected.dim())])
        ours, theirs = trial.actual - added, trial.expected - added
        times = fitted(ours, theirs)
        norm = float(theirs.norm())
        form = None if not times or not norm else written(times, FLOORS * trial.floor / norm)
        if form is not None and abs(form.value - 1) * norm > FLOORS * trial.floor:
            variance = bessel(trial, form.value)
            text = variance or f"its weight is {form.words} times the reference's, and its bias is not"
            yield from trial.told(Cause.BATCHNORM if variance else Cause.WEIGHT, text, ours / form.value + added)


def _permuted(trial: Trial) -> Iterator[Hint]:
    """The weight's rows in another order, the bias not."""
    bias = trial.parameters.get("bias")
    if bias is None or not trial.fits or bias.dim() != 1 or not bias.any():
        return
    for dim in _dims(trial):
        size = trial.expected.shape[dim]
        if size != bias.numel() or trial.expected.numel() // size < _LEAST or size > _LONGEST:
            continue
        added = bias.reshape([-1 if place == dim else 1 for place in range(trial.expected.dim())])
        ours, theirs = ((one - added).movedim(dim, 0).reshape(size, -1) for one in (trial.actual, trial.expected))
        found = matching(ours, theirs)
        if found is not None:
            other = (trial.actual - added).index_select(dim, found) + added
            text = f"the rows of its weight, not its bias: {pattern(found)[0]}: in that order it agrees"
            yield from trial.told(Cause.PERMUTATION, text, other)


def _dims(trial: Trial) -> list[int]:
    """Where the outputs lie."""
    last = trial.expected.dim() - 1
    last_one = isinstance(trial.module, (torch.nn.Linear, torch.nn.LayerNorm)) or trial.expected.dim() < 3  # noqa: PLR2004
    return [last] if last_one else list(dict.fromkeys((1, last)))


def _rows(trial: Trial) -> Iterator[Hint]:
    """An embedding's rows: those that the reference has as zeros, or that are zeros here, and no others."""
    value = next(iter(trial.specimen.inputs.values()), None)
    if not isinstance(trial.module, torch.nn.Embedding) or value is None or not trial.fits:
        return
    ids = value.reshape(-1).cpu()
    ours, theirs = (one.reshape(len(ids), -1) for one in (trial.actual, trial.expected))
    wrong = (ours - theirs).norm(dim=1) > trial.floor
    rows = sorted({int(one) for one in ids[wrong]})
    if not rows or len(rows) > _SHARE * trial.module.num_embeddings or bool(wrong.all()):
        return
    names = listed([str(one) for one in rows], _SHOWN)
    which = f"its {'row' if len(rows) == 1 else 'rows'} {names}"
    at = amount(int(wrong.sum()), "place")
    if not theirs[wrong].any():
        other = torch.where(wrong[:, None], 0.0, ours).reshape(trial.expected.shape)
        yield from trial.told(Cause.WEIGHT, f"with {which} at zero it agrees, in {at}", other)
    elif not ours[wrong].any():
        yield Hint(Cause.WEIGHT, f"{which} is zero here and not in the reference, in {at}; all others agree")


def _outputs(trial: Trial) -> Iterator[Hint]:
    """Outputs that are wrong alone, each by what can be told in closed form."""
    if trial.module is None or "weight" not in trial.parameters or not trial.fits:
        return
    for dim in _dims(trial) if not isinstance(trial.module, torch.nn.Embedding) else ():
        size = trial.expected.shape[dim]
        others = [place for place in range(trial.expected.dim()) if place != dim]
        error = (trial.actual - trial.expected).square().sum(others).sqrt()
        wrong = (error > trial.floor).nonzero().reshape(-1)
        if not 0 < len(wrong) <= _SHARE * size or trial.expected.numel() // size < _ENOUGH:
            continue
        ours, theirs = (one.index_select(dim, wrong) for one in (trial.actual, trial.expected))
        channels = listed([str(int(one)) for one in wrong], _SHOWN)
        where = f"output {channels} of {size} along dim {dim}"
        times = fitted(ours, theirs)
        form = None if not times else written(times, FLOORS * trial.floor / float(theirs.norm()))
        if form is not None:
            other = trial.actual.index_copy(dim, wrong, ours / form.value)
            yield from trial.told(Cause.WEIGHT, f"{where} alone is {form.words} times the reference's", other)


HYPOTHESES: tuple[Hypothesis, ...] = (_changed, _scaled, _permuted, _rows, _outputs)
