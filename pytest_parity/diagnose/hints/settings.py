"""Settings: what the golden has otherwise in this module, put in its place and computed anew."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch

from pytest_parity.contract.constants import CLASS, constants
from pytest_parity.diagnose.hints.trial import Hypothesis, Trial
from pytest_parity.report.words import listed
from pytest_parity.result import Cause, Hint

__all__ = ["HYPOTHESES", "changed"]

_CAUSES = (
    (Cause.EPS, ("eps",)),
    (Cause.DROPOUT, ("dropout", "drop_prob", "drop_rate")),
    (Cause.PADDING, ("padding", "padding_mode")),
    (Cause.BATCHNORM, ("momentum", "track_running_stats")),
    (Cause.ACTIVATION, ("approximate", "negative_slope", "alpha", "beta", "threshold", "lambd", "min_val", "max_val")),
    (Cause.MASK, ("causal", "mask")),
    (Cause.SCALE, ("scale",)),
)
_SHOWN = 3


@contextmanager
def changed(module: torch.nn.Module, **values: Any) -> Iterator[None]:
    """Attributes of a module as they might be; who enters this puts the module back (``kept``)."""
    for name, value in values.items():
        vars(module)[name] = value
    if {"padding", "padding_mode"} & values.keys() and isinstance(module, torch.nn.modules.conv._ConvNd):  # noqa: SLF001
        sides = module.padding if isinstance(module.padding, tuple) else ()
        if sides:
            vars(module)["_reversed_padding_repeated_twice"] = list(chain(*((one, one) for one in reversed(sides))))
    yield


def _settings(trial: Trial) -> Iterator[Hint]:
    found = dict(_values(trial))
    if not found or not trial.faithful:
        return
    assert trial.module is not None
    groups = [[name] for name in found]
    if len(found) > 1:
        groups.append(list(found))
    for names in groups:
        change = changed(trial.module, **{name: found[name] for name in names})
        told = listed([_told(trial, name) for name in names], _SHOWN)
        yield from trial.told(_cause(trial, names[0]), f"with {told} it agrees", trial.run(change), anew=True)


def _values(trial: Trial) -> Iterator[tuple[str, Any]]:
    """The golden's, as the module holds such a thing."""
    held = constants(trial.module) if trial.module is not None else {}
    for name, (golden, _) in trial.specimen.constants.items():
        if name != CLASS and name in held:
            now = getattr(trial.module, name)
            yield name, _parsed(golden, now)


def _parsed(text: str, now: Any) -> Any:
    if isinstance(now, torch.dtype):
        return getattr(torch, text)
    try:
        value = literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return tuple(value) if isinstance(value, list) and isinstance(now, tuple) else value


def _told(trial: Trial, name: str) -> str:
    golden, here = trial.specimen.constants[name]
    return f"{name} {golden} in place of {here}"


def _cause(trial: Trial, name: str) -> Cause:
    if name == "training":
        return Cause.BATCHNORM if hasattr(trial.module, "running_mean") else Cause.DROPOUT
    if name == "p" and "Dropout" in type(trial.module).__name__:
        return Cause.DROPOUT
    parts = name.lower()
    return next((cause for cause, words in _CAUSES if any(word in parts for word in words)), Cause.CONSTANT)


def _class(trial: Trial) -> Iterator[Hint]:
    """Another class of torch's own, without parameters."""
    golden, here = trial.specimen.constants.get(CLASS, ("", ""))
    made = getattr(torch.nn, golden, None)
    first = next(iter(trial.specimen.inputs.values()), None)
    if not isinstance(made, type) or first is None or next(iter(trial.parameters), None) is not None:
        return
    module = made()
    module.training = bool(trial.module is not None and trial.module.training)
    found = module(first)
    yield from trial.told(Cause.ACTIVATION, f"with {golden} in place of {here} it agrees", found.double().cpu())


HYPOTHESES: tuple[Hypothesis, ...] = (_settings, _class)
