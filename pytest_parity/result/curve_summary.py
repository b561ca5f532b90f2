"""CurveSummary: what there is to say of one run's metrics file, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CurveSummary"]

_NAN = float("nan")


@dataclass(frozen=True, slots=True)
class CurveSummary:
    """One run. Losses that are not there are ``nan``; so are those that are not finite and no number was to be had."""

    file: str
    experiment: str
    """What it is called in the pictures; runs with one name are one experiment."""
    experiment_name: str
    model_type: str
    unit: str
    steps: int
    """How many were logged."""
    first_step: int
    last_step: int
    first: float
    """The loss of the first step that was logged, as it is."""
    last: float
    best: float
    """The lowest that is finite."""
    best_step: int
    smoothed: float
    """The moving average at the end."""
    window: int
    nonfinite: int
    first_nonfinite: int
    """Its step; -1 where there is none."""
    gaps: int
    """How often steps are missing, where they are logged at equal distances."""
    missing: int
    """How many steps these are."""
    repeated: int
    """How many steps were logged again."""
    epochs: int
    last_epoch: int
    epoch_loss: float
    """The last epoch's."""
    best_epoch_loss: float
    start_time: str
    end_time: str | None
    """``None`` while training goes on, and after a kill."""
    seconds: float | None
    """From start to end."""
    learning_rate: float = _NAN
    """The last one, where the file has any."""
    series: tuple[str, ...] = ()
    """Which further metrics there are."""
