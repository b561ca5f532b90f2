"""Normalisations: their eps, weight, bias and variance: what is here is one of them of the input, what is expected another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from pytest_parity.diagnose.hints.settings import changed
from pytest_parity.diagnose.hints.trial import Hypothesis, Trial
from pytest_parity.report.words import number
from pytest_parity.result import Cause, Hint, Part

__all__ = ["EPSILONS", "HYPOTHESES", "least"]

EPSILONS = (1e-5, 1e-6, 1e-12, 1e-8, 1e-3, 1e-7, 1e-2, 1e-4, 1e-9, 1e-10, 1e-15, 0.0)
"""Those that are in use, the usual first."""
_HALF = 0.5
"""Floors by which one may leave more than another and do as well."""
_WEIGHTS = ("once", "not", "twice", "plus 1")
_BIASES = ("once", "not", "twice")


@dataclass(frozen=True, slots=True)
class _Way:
    """How an input is normalised."""

    eps: float
    centred: bool = True
    unbiased: bool = False
    weight: str = "once"
    bias: str = "once"


@dataclass(frozen=True, slots=True)
class _Norm:
    """An input with its statistics over ``dims``, and what is multiplied with and added to it after that."""

    value: torch.Tensor
    count: int
    mean: torch.Tensor
    variance: torch.Tensor
    square: torch.Tensor
    """The mean square."""
    weight: torch.Tensor | None
    bias: torch.Tensor | None

    def by(self, way: _Way) -> torch.Tensor:
        """The input, normalised in one way."""
        spread = self.variance if way.centred else self.square
        if way.unbiased:
            spread = spread * self.count / max(self.count - 1, 1)
        found = (self.value - self.mean if way.centred else self.value) * (spread + way.eps).rsqrt()
        if self.weight is not None and way.weight != "not":
            times = {"once": self.weight, "twice": self.weight.square(), "plus 1": self.weight + 1}[way.weight]
            found = found * times
        if self.bias is not None and way.bias != "not":
            found = found + (self.bias if way.bias == "once" else 2 * self.bias)
        return found


def _attribute(trial: Trial) -> Iterator[Hint]:
    """Another number in the module's own attribute, computed anew."""
    module = trial.module
    names = [] if module is None else [name for name, one in vars(module).items() if _is_eps(name, one)]
    if not names or not trial.faithful:
        return
    assert module is not None
    for name in names:
        own = vars(module)[name]
        tried = [(eps, trial.run(changed(module, **{name: eps}))) for eps in EPSILONS if eps != own]
        yield from least(trial, name, own, tried, anew=True)


def _is_eps(name: str, value: object) -> bool:
    return "eps" in name.lower() and isinstance(value, float)


def least(
    trial: Trial, name: str, own: float, tried: Sequence[tuple[float, torch.Tensor | None]], *, anew: bool = False
) -> Iterator[Hint]:
    """The eps that leaves least; where the smaller ones all do as well, the data does not tell them apart."""
    slack = trial.slack if anew else 0.0
    left = {eps: found for eps, other in tried if (found := trial.left(other, slack=slack)) is not None}
    if not left:
        return
    best = min(left.values())
    usual = next(eps for eps in EPSILONS if eps in left and left[eps] <= max(2 * best, best + _HALF))
    more = " (or another as small)" if len(left) > 1 else ""
    text = f"with {name} {number(usual)}{more} in place of {number(own)} it agrees"
    yield Hint(Cause.EPS, f"{text} ({trial.support(left[usual])})")


def _closed(trial: Trial) -> Iterator[Hint]:
    """Both sides found among the ways to normalise the input."""
    if trial.specimen.part is Part.BUFFER or not trial.fits or trial.module is None or not _normalises(trial):
        return
    for norm in _norms(trial):
        eps = [float(one) for name, one in vars(trial.module).items() if _is_eps(name, one)]
        ours = _found(trial, norm, trial.actual, [*eps, *EPSILONS])
        if ours is not None:
            yield from _other(trial, norm, ours)
            return


def _normalises(trial: Trial) -> bool:
    kind = type(trial.module).__name__.lower()
    return "norm" in kind or any(_is_eps(name, one) for name, one in vars(trial.module).items())


def _norms(trial: Trial) -> Iterator[_Norm]:
    value = next((one for one in trial.inputs.values() if one.shape == trial.expected.shape), None)
    module = trial.module
    if value is None or module is None or value.dim() < 2:  # noqa: PLR2004
        return
    weight, bias = (trial.parameters.get(name) for name in ("weight", "bias"))
    groups, shape = getattr(module, "num_groups", None), getattr(module, "normalized_shape", None)
    if hasattr(module, "running_mean"):
        yield _norm(value, [place for place in range(value.dim()) if place != 1], *_along(value, weight, bias))
        if module.running_mean is not None:
            yield _running(value, module, *_along(value, weight, bias))
    elif isinstance(groups, int):
        yield _grouped(value, groups, *_along(value, weight, bias))
    else:
        count = len(shape) if isinstance(shape, tuple) else max(weight.dim() if weight is not None else 1, 1)
        yield _norm(value, list(range(value.dim() - count, value.dim())), weight, bias)


def _along(value: torch.Tensor, *parameters: torch.Tensor | None) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    shape = [1, -1] + [1] * (value.dim() - 2)
    weight, bias = (None if one is None else one.reshape(shape) for one in parameters)
    return weight, bias


def _norm(value: torch.Tensor, dims: list[int], weight: torch.Tensor | None, bias: torch.Tensor | None) -> _Norm:
    mean = value.mean(dims, keepdim=True)
    variance = value.var(dims, unbiased=False, keepdim=True)
    count = value.numel() // max(mean.numel(), 1)
    return _Norm(value, count, mean, variance, value.square().mean(dims, keepdim=True), weight, bias)


def _running(
    value: torch.Tensor, module: torch.nn.Module, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> _Norm:
    held = dict(module.named_buffers())
    mean, variance = _along(value, held["running_mean"].double().cpu(), held["running_var"].double().cpu())
    assert mean is not None
    assert variance is not None
    return _Norm(value, value.numel() // mean.numel(), mean, variance, variance + mean.square(), weight, bias)


def _grouped(value: torch.Tensor, groups: int, weight: torch.Tensor | None, bias: torch.Tensor | None) -> _Norm:
    parted = value.reshape(value.shape[0], groups, -1)

    def wide(one: torch.Tensor) -> torch.Tensor:
        return one.expand_as(parted).reshape(value.shape)

    mean, square = parted.mean(-1, keepdim=True), parted.square().mean(-1, keepdim=True)
    variance = parted.var(-1, unbiased=False, keepdim=True)
    return _Norm(value, parted.shape[-1], wide(mean), wide(variance), wide(square), weight, bias)


def _found(trial: Trial, norm: _Norm, goal: torch.Tensor, epsilons: list[float]) -> _Way | None:
    """The first of the ways that gives a tensor."""
    return next((way for way in _ways(norm, epsilons) if trial.left(norm.by(way), goal) is not None), None)


def _ways(norm: _Norm, epsilons: list[float]) -> Iterator[_Way]:
    for centred, unbiased in ((True, False), (False, False), (True, True)):
        for eps in dict.fromkeys(epsilons):
            yield _Way(eps, centred, unbiased)
    for eps in dict.fromkeys(epsilons):
        for weight in _WEIGHTS[1:] if norm.weight is not None else ():
            yield _Way(eps, True, weight=weight)
            yield _Way(eps, False, weight=weight)
        for bias in _BIASES[1:] if norm.bias is not None else ():
            yield _Way(eps, True, bias=bias)


def _other(trial: Trial, norm: _Norm, ours: _Way) -> Iterator[Hint]:
    """What is expected, by a change in one thing."""
    tried = [(eps, norm.by(replace(ours, eps=eps))) for eps in EPSILONS if eps != ours.eps]
    yield from least(trial, "eps", ours.eps, tried)
    if norm.weight is not None:
        for weight in _WEIGHTS:
            if weight != ours.weight:
                text = f"its weight is multiplied with {_words(weight)} in the reference, here {_words(ours.weight)}"
                yield from trial.told(Cause.SCALE, text, norm.by(replace(ours, weight=weight)))
    if norm.bias is not None:
        for bias in _BIASES:
            if bias != ours.bias:
                text = f"its bias is added {_words(bias)} in the reference, here {_words(ours.bias)}"
                yield from trial.told(Cause.BIAS, text, norm.by(replace(ours, bias=bias)))
    words = "by n - 1 in place of n" if not ours.unbiased else "by n in place of n - 1"
    turned = norm.by(replace(ours, unbiased=not ours.unbiased))
    yield from trial.told(Cause.BATCHNORM, f"with the variance divided {words} (n is {norm.count}) it agrees", turned)
    words = "with the mean taken away first" if not ours.centred else "with the mean left in"
    yield from trial.told(Cause.CONSTANT, f"{words} it agrees", norm.by(replace(ours, centred=not ours.centred)))


def _words(times: str) -> str:
    return {"not": "not at all", "plus 1": "after adding 1"}.get(times, times)


HYPOTHESES: tuple[Hypothesis, ...] = (_attribute, _closed)
