"""Randomness: dropout that is active on one side alone or at another rate, and masks of another seed."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from pytest_parity.diagnose.hints.numbers import written
from pytest_parity.diagnose.hints.settings import changed
from pytest_parity.diagnose.hints.trial import FLOORS, Hypothesis, Trial
from pytest_parity.report.words import number
from pytest_parity.result import Cause, Hint

__all__ = ["HYPOTHESES", "SWITCHED"]

_ENOUGH = 64
"""Elements that a rate is taken of at least."""
_SIGMAS = 4.0
_RATES = (0.0, 0.1, 0.05, 0.2, 0.3, 0.5, 0.15, 0.25, 0.01, 0.02, 0.4)


def _switched(trial: Trial) -> Iterator[Hint]:
    """Its own dropout turned on or off, computed anew."""
    module = trial.module
    if module is None or not _drops(module) or not trial.faithful:
        return
    words = "it drops out, and the reference's does not"
    if not module.training:
        words = "it does not drop out, and the reference's does"
    turned = trial.run(changed(module, training=not module.training))
    yield from trial.told(Cause.DROPOUT, f"{words}: with that turned it agrees", turned, anew=True)
    name = "p" if "p" in vars(module) else "dropout"
    own = vars(module).get(name, 0)
    for rate in _RATES if isinstance(own, float) and module.training else ():
        if rate != own:
            text = f"with {name} {number(rate)} in place of {number(own)} it agrees"
            yield from trial.told(Cause.DROPOUT, text, trial.run(changed(module, **{name: rate})), anew=True)


def _drops(module: torch.nn.Module) -> bool:
    rates = (vars(module).get(name) for name in ("p", "dropout", "dropout_p"))
    return any(isinstance(rate, (int, float)) and not isinstance(rate, bool) for rate in rates)


def _masked(trial: Trial) -> Iterator[Hint]:
    """Zeros at random and the rest enlarged for it, on one side or on both."""
    if not trial.fits or trial.expected.numel() < _ENOUGH:
        return
    for value in trial.inputs.values():
        if value.shape == trial.expected.shape:
            yield from _both(trial, value)
    ours, theirs = _rate(trial.actual, trial.expected, trial.floor), _rate(trial.expected, trial.actual, trial.floor)
    if ours is not None:
        yield Hint(
            Cause.DROPOUT, f"it is the reference's with a dropout of {number(ours)} behind it: {_share(trial.actual)}"
        )
    elif theirs is not None:
        share = _share(trial.expected)
        yield Hint(Cause.DROPOUT, f"the reference's is this with a dropout of {number(theirs)} behind it: {share}")


def _both(trial: Trial, value: torch.Tensor) -> Iterator[Hint]:
    """Both drop parts of one input, at other rates or in other places."""
    ours, theirs = _rate(trial.actual, value, trial.floor), _rate(trial.expected, value, trial.floor)
    if ours is None or theirs is None:
        return
    if ours != theirs:
        yield Hint(Cause.DROPOUT, f"it drops out {number(ours)} of its input, the reference's {number(theirs)}")
        return
    here, there = trial.actual == 0, trial.expected == 0
    common, chance = float((here & there).double().mean()), ours * ours
    if common < (ours + chance) / 2:
        same = f"{number(100 * common)} % of the places are dropped in both, by chance it is {number(100 * chance)} %"
        yield Hint(Cause.SEED, f"its dropout of {number(ours)} is of another seed: {same}")


def _rate(dropped: torch.Tensor, whole: torch.Tensor, floor: float) -> float | None:
    """Of a dropout that makes one tensor of another, by what remains; as many zeros as that must be there."""
    nonzero = whole.abs() > FLOORS * floor / whole.numel() ** 0.5
    places = int(nonzero.sum())
    left = nonzero & (dropped != 0)
    kept = float(left.sum()) / max(places, 1)
    if places < _ENOUGH or not 0 < kept < 1:
        return None
    ratio = float((dropped[left] * whole[left]).sum() / whole[left].square().sum())
    form = written(1 - 1 / ratio, 2 * FLOORS * floor / float(whole.norm())) if ratio > 1 else None
    if form is None or not float((dropped[left] - whole[left] / (1 - form.value)).norm()) <= 2 * FLOORS * floor:
        return None
    sigma = (form.value * (1 - form.value) / places) ** 0.5
    return form.value if abs(1 - kept - form.value) <= _SIGMAS * sigma else None


def _share(dropped: torch.Tensor) -> str:
    share = number(100 * float((dropped == 0).double().mean()))
    return f"{share} % of it is 0 and the rest is enlarged accordingly"


SWITCHED: tuple[Hypothesis, ...] = (_switched,)
HYPOTHESES: tuple[Hypothesis, ...] = (_masked,)
