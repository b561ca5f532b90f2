"""Forward hints: the causes of a faulty forward pass, the simplest first; the first that the data bears out is told."""

from __future__ import annotations

import warnings
from contextlib import suppress
from itertools import islice

import torch

from pytest_parity.capture.random import kept_generators
from pytest_parity.diagnose.hints import (
    batchnorm,
    elementwise,
    linear,
    masks,
    norms,
    order,
    padding,
    precision,
    randomness,
    rewrites,
    rotary,
    settings,
    weights,
)
from pytest_parity.diagnose.hints.trial import Hypothesis, Trial, kept
from pytest_parity.diagnose.specimen import Specimen
from pytest_parity.result import Hint, Part

__all__ = ["HYPOTHESES", "forward_hints"]

HYPOTHESES: tuple[Hypothesis, ...] = (
    *settings.HYPOTHESES,
    *batchnorm.HYPOTHESES,
    *precision.ROUNDED,
    *elementwise.HYPOTHESES,
    *norms.HYPOTHESES,
    *padding.HYPOTHESES,
    *randomness.SWITCHED,
    *linear.HYPOTHESES,
    *masks.HYPOTHESES,
    *weights.HYPOTHESES,
    *order.WHOLE,
    *rotary.HYPOTHESES,
    *rewrites.HYPOTHESES,
    *order.MATCHED,
    *linear.FITTED,
    *precision.HYPOTHESES,
    *randomness.HYPOTHESES,
)
"""In the order in which they are tested: what was seen to differ, then what needs no number, then what is fitted."""


def forward_hints(specimen: Specimen) -> tuple[Hint, ...]:
    """Why a module's forward is faulty: one hint, or none.

    Nothing is raised and nothing stays changed: neither the module nor a random generator. A hypothesis that raises is
    no hint. Takes about a second and a half at most, and the time of one forward of the module.
    """
    with warnings.catch_warnings(), kept_generators(), torch.no_grad(), suppress(Exception):
        warnings.simplefilter("ignore")
        trial = Trial.of(specimen)
        if trial is None:
            return ()
        if specimen.module is None:
            return _first(trial)
        with kept(specimen.module):
            return _first(trial)
    return ()


def _first(trial: Trial) -> tuple[Hint, ...]:
    tried = HYPOTHESES
    if trial.specimen.part is Part.BUFFER:
        tried = (*settings.HYPOTHESES, *batchnorm.HYPOTHESES, *precision.ROUNDED)
    elif trial.constant:
        tried = settings.HYPOTHESES
    for hypothesis in tried:
        if trial.over:
            break
        with suppress(Exception):
            found = tuple(islice(hypothesis(trial), 1))
            if found:
                return found
    return ()
