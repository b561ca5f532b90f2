"""LoggedRun: one run as a library has logged it, every scalar by its tag, before one of them is called the loss."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from re import fullmatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_parity.errors import UsageError

__all__ = ["LoggedRun", "Points", "directory_name", "library", "model_in", "named_apart"]

_LONGEST = 180  # bytes of a name, which is a file's
_MODEL_KEYS = ("model_type", "model_name", "model", "architecture", "arch")


class Points:
    """One scalar's points in the order in which they were logged; a step may come twice."""

    __slots__ = ("add_step", "add_value", "steps", "values")

    def __init__(self) -> None:
        self.steps = array("q")
        self.values = array("d")
        self.add_step = self.steps.append
        self.add_value = self.values.append

    def __len__(self) -> int:
        return len(self.values)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The steps and the values."""
        return np.array(self.steps, np.int64), np.array(self.values, np.float64)

    def without_from(self, step: int) -> Points:
        """The points before ``step``."""
        kept = Points()
        for at, value in zip(self.steps, self.values, strict=True):
            if at < step:
                kept.add_step(at)
                kept.add_value(value)
        return kept


@dataclass(slots=True)
class LoggedRun:
    """What one run has logged. ``identity`` tells runs of one name apart."""

    name: str
    source: str
    """The file or directory, as the user knows it."""
    identity: str = ""
    model_type: str = ""
    points: dict[str, Points] = field(default_factory=dict)
    start: float | None = None
    """Seconds since 1970, like ``end``."""
    end: float | None = None
    by_epoch: bool = False
    """Whether the steps are epochs, for nothing finer was logged."""
    faults: dict[str, str] = field(default_factory=dict)
    """What is wrong with a tag that is no scalar throughout."""

    def add(self, tag: str, step: int, value: float) -> None:
        """One point more."""
        points = self.points.get(tag)
        if points is None:
            points = self.points[tag] = Points()
        points.add_step(step)
        points.add_value(value)

    @property
    def start_time(self) -> str:
        """ISO 8601 in local time, to the second."""
        return "" if self.start is None else _iso(self.start)

    @property
    def end_time(self) -> str | None:
        """The same of the end; ``None`` for a run that goes on or was killed."""
        return None if self.end is None else _iso(self.end)


def _iso(seconds: float) -> str:
    local = datetime.fromtimestamp(seconds, tz=timezone.utc).astimezone()
    return local.replace(tzinfo=None).isoformat(timespec="seconds")


def model_in(settings: Iterable[tuple[str, Any]]) -> str:
    """The model's type among a run's hyperparameters; empty where none of the usual names is there."""
    found = {key.lower(): value for key, value in settings if isinstance(value, str) and value.strip()}
    return next((found[key].strip() for key in _MODEL_KEYS if key in found), "")


def directory_name(directory: Path, root: Path) -> str:
    """A run's name from where it lies: below ``root``, or ``root`` itself; ``version_0`` with its parent's name."""
    parts = directory.relative_to(root).parts
    whole = directory.resolve()
    if not parts:
        parts = (whole.name,)
    if len(parts) == 1 and fullmatch(r"version_\d+", parts[0]) and whole.parent.name:
        parts = (whole.parent.name, *parts)
    return "_".join(parts)


def named_apart(runs: Iterable[LoggedRun]) -> Iterator[LoggedRun]:
    """The runs under names that a metrics file can have, those of one name with the start of their identity behind it."""
    every = list(runs)
    names = [_file_name(run.name) or run.identity or "run" for run in every]
    for run, name in zip(every, names, strict=True):
        run.name = f"{name}_{run.identity[:8]}" if names.count(name) > 1 and run.identity else name
        yield run


def _file_name(name: str) -> str:
    kept = "".join("_" if one in '/\\:*?"<>|' or not one.isprintable() else one for one in name.strip())
    return kept.lstrip(".").encode()[:_LONGEST].decode(errors="ignore").strip()


def library(module: str, *, extra: str, needed_by: str) -> Any:
    """An imported module of an extra, or one line that says what to type."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise UsageError(
            f"{needed_by} is read with {top}, which is not installed: pip install 'pytest-parity[{extra}]'"
        ) from None
