"""Log: what one run has logged so far, growing, and what a journal adds to it."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve, Series

__all__ = ["EPOCH_END", "Log", "Pairs"]

EPOCH_END = "epoch_end"
"""The series that says after which step each epoch ended."""


class Pairs:
    """Numbers, and a value for each: steps and losses, epochs and losses, a series."""

    __slots__ = ("numbers", "values")

    def __init__(self, numbers: NDArray[np.int64] | None = None, values: NDArray[np.float64] | None = None) -> None:
        self.numbers = array("q", b"" if numbers is None else numbers.astype(np.int64).tobytes())
        self.values = array("d", b"" if values is None else values.astype(np.float64).tobytes())

    def __len__(self) -> int:
        return len(self.numbers)

    def append(self, number: int, value: float) -> None:
        """One more. An interrupt between the two leaves a value too many, which is none."""
        del self.values[len(self.numbers) :]
        self.values.append(value)
        self.numbers.append(number)

    def arrays(self, start: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Copies, from ``start`` on."""
        count = len(self)
        return np.array(self.numbers[start:count], np.int64), np.array(self.values[start:count], np.float64)


@dataclass
class Log:
    """The arrays of a ``Curve``, each of which can grow."""

    head: Curve
    """All that is no array."""
    steps: Pairs = field(default_factory=Pairs)
    epochs: Pairs = field(default_factory=Pairs)
    series: dict[str, Pairs] = field(default_factory=dict)
    """With it ``epoch_end``."""
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, curve: Curve) -> Log:
        """What a curve has."""
        series = {name: Pairs(one.steps, one.values) for name, one in curve.series.items()}
        if len(curve.epoch_steps):
            series[EPOCH_END] = Pairs(curve.epoch_steps, curve.epochs.astype(np.float64))
        units = {name: one.unit for name, one in curve.series.items()}
        empty = replace(
            curve,
            series={},
            **{
                name: getattr(curve, name)[:0]
                for name in ("steps", "step_losses", "epochs", "epoch_losses", "epoch_steps")
            },
        )
        return cls(empty, Pairs(curve.steps, curve.step_losses), Pairs(curve.epochs, curve.epoch_losses), series, units)

    def curve(self) -> Curve:
        """All of it, copied."""
        steps, step_losses = self.steps.arrays()
        epochs, epoch_losses = self.epochs.arrays()
        series = {
            name: Series(*pairs.arrays(), self.units.get(name, ""))
            for name, pairs in self.series.items()
            if name != EPOCH_END
        }
        ends = self.series.get(EPOCH_END)
        return replace(
            self.head,
            steps=steps,
            step_losses=step_losses,
            epochs=epochs,
            epoch_losses=epoch_losses,
            epoch_steps=np.empty(0, np.int64) if ends is None else ends.arrays()[0],
            series=series,
        )

    def tables(self) -> dict[str, Pairs]:
        """Everything that grows, under the name that it has in a journal; of a series behind a dot."""
        return {"steps": self.steps, "epochs": self.epochs} | {f".{name}": one for name, one in self.series.items()}

    def table(self, name: str) -> Pairs:
        """One of ``tables``, made where it is a series that is new."""
        if name in {"steps", "epochs"}:
            return self.steps if name == "steps" else self.epochs
        return self.series.setdefault(name[1:], Pairs())

    def lengths(self) -> dict[str, int]:
        """How much there is of each."""
        return {name: len(one) for name, one in self.tables().items()}

    def added(self, since: Mapping[str, int]) -> dict[str, Any]:
        """What has come since: of each table at which place, the numbers, and the values."""
        grown = {name: since.get(name, 0) for name, one in self.tables().items() if len(one) > since.get(name, 0)}
        return {
            name: [start, *(array.tolist() for array in self.table(name).arrays(start))]
            for name, start in grown.items()
        }

    def add(self, added: Mapping[str, Any]) -> None:
        """The inverse: what is there already stays. Raises ``ValueError`` where something between is missing."""
        for name, (start, numbers, values) in added.items():
            pairs = self.table(name)
            known = len(pairs) - start
            if known < 0:
                raise ValueError(f"{name.lstrip('.')} go on at {start}, and {len(pairs)} are there")
            for number, value in zip(numbers[known:], values[known:], strict=True):
                pairs.append(number, float("nan") if value is None else value)
