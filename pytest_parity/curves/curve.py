"""Curve: what a training run has logged, loss by step and by epoch, and further series, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "Series"]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A further metric: ``values[i]`` at ``steps[i]``; ``unit`` as in ``"tokens/s"``."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    unit: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One run's metrics file: each field of it under its own name.

    ``steps`` and ``step_losses`` are 1-D and of one length, in the order in which they were logged (a step may come twice:
    nothing is sorted or dropped), likewise ``epochs`` and ``epoch_losses``. Losses that are not finite are ``nan``, ``inf``.
    """

    experiment_name: str
    model_type: str = ""
    start_time: str = ""
    """ISO 8601."""
    end_time: str | None = None
    """``None`` while training goes on, and after a kill."""
    steps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    step_losses: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    epochs: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    epoch_losses: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    epoch_steps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """The last step of each epoch; empty where the file does not say. In the file it is ``series.epoch_end``."""
    series: Mapping[str, Series] = field(default_factory=dict)
    unit: str = ""
    """What the loss means and is measured in, as in ``"nats/token"``; in the file it is ``series.loss.unit``."""
