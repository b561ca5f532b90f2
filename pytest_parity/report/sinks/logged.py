"""Logged: what one run of TensorBoard, W&B or MLflow is told, as plain data; the three writers begin here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["STEP", "Line", "Logged"]

STEP = "step"
"""The axis of what is logged while training."""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: ``values[i]`` at ``steps[i]``, whatever their order; a value may be ``nan`` or infinite."""

    tag: str
    steps: Sequence[int]
    values: Sequence[float]
    side: str = ""
    """Of several curves under one tag, which are laid over each other, the one that this is: ``reference``, ``candidate``."""
    axis: str = STEP
    """What ``steps`` count: ``step``, ``epoch``, ``module`` (in execution order)."""

    @property
    def key(self) -> str:
        """Its name among all curves of a run."""
        return f"{self.tag}/{self.side}" if self.side else self.tag


@dataclass(frozen=True, slots=True)
class Logged:
    """A run: of a case of the tests, or of an experiment."""

    name: str
    passed: bool | None = None
    """``None`` where there is no verdict."""
    config: Mapping[str, str] = field(default_factory=dict)
    """What it was computed with."""
    scalars: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the run as a whole."""
    lines: Sequence[Line] = ()
    headline: str = ""
    text: str = ""
    """Markdown."""
    notes: Sequence[str] = ()
    """What whoever logs it is to be told."""
