"""The training curves of a golden: for each, the runs that its band is made of, in one small file.

``curves.safetensors`` holds for each run ``{curve}/{run}/steps`` and ``/epochs`` (int64), ``/losses`` and ``/epoch_losses``
(float64); steps that are those of the curve's first run are not written again. The manifest has the file's digest, and of
each curve how many runs there are and what made them differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pytest_parity.errors import GoldenError
from pytest_parity.golden.canonical import compact
from pytest_parity.golden.digest import digest
from pytest_parity.golden.manifest import AGAIN, recorded_bytes

__all__ = ["FILE", "KeptCurve", "KeptRun", "read_curves", "write_curves"]

FILE = "curves.safetensors"

_DTYPES = {"steps": np.int64, "losses": np.float64, "epochs": np.int64, "epoch_losses": np.float64}
_SHARED = ("steps", "epochs")
_KEY = "curves"


@dataclass(frozen=True, slots=True, eq=False)
class KeptRun:
    """One run: losses by step and by epoch, as they were logged."""

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]
    epochs: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    epoch_losses: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def judged(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """By what it is judged: its steps, or without any its epochs."""
        return (self.steps, self.losses) if len(self.steps) else (self.epochs, self.epoch_losses)

    def alongside(self, other: KeptRun) -> bool:
        """Whether both have the same steps and epochs."""
        return np.array_equal(self.steps, other.steps) and np.array_equal(self.epochs, other.epochs)


@dataclass(frozen=True, slots=True, eq=False)
class KeptCurve:
    """One curve: its runs, the one that was recorded first."""

    runs: tuple[KeptRun, ...]
    origin: str
    """What made them differ: ``seeds``, ``draws``; ``tolerance`` where there is one run and no band."""
    unit: str = ""
    """Of the loss, as the metrics declare it."""
    seeds: tuple[int, ...] = ()
    """Of each run, where the test was given any."""

    @property
    def length(self) -> int:
        """How many steps there are, or without any how many epochs."""
        return len(self.runs[0].judged[0])

    @property
    def described(self) -> dict[str, Any]:
        """The manifest's record: no loss of it."""
        return {
            "origin": self.origin,
            "runs": len(self.runs),
            "steps": self.length,
            **({"unit": self.unit} if self.unit else {}),
            **({"seeds": list(self.seeds)} if self.seeds else {}),
        }


def write_curves(directory: Path, curves: Mapping[str, KeptCurve]) -> dict[str, Any]:
    """Write the file; returns its record for the manifest. Raises ``OSError``."""
    tensors = {name: array for curve in sorted(curves) for name, array in _tensors(curve, curves[curve])}
    data = save(tensors, metadata={"parity": compact({_KEY: sorted(curves)})})
    (directory / FILE).write_bytes(data)
    described = {name: curves[name].described for name in sorted(curves)}
    return {"digest": digest(data), "size": len(data), _KEY: described}


def read_curves(directory: Path, manifest: Mapping[str, Any]) -> dict[str, KeptCurve]:
    """The curves that a manifest names; raises ``GoldenError`` if their file is missing, damaged or malformed."""
    record, path = manifest.get(_KEY), directory / FILE
    if not record:
        return {}
    data = recorded_bytes(path, record)
    try:
        tensors = load(data)
        return {name: _curve(name, told, tensors) for name, told in record[_KEY].items()}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise GoldenError(f"{path} is malformed: {error}; {AGAIN}") from error


def _tensors(name: str, curve: KeptCurve) -> Iterator[tuple[str, NDArray[Any]]]:
    first = curve.runs[0]
    for place, run in enumerate(curve.runs):
        for field_name, dtype in _DTYPES.items():
            array = np.ascontiguousarray(getattr(run, field_name), dtype=dtype)
            if place and field_name in _SHARED and np.array_equal(array, getattr(first, field_name)):
                continue
            yield f"{name}/{place}/{field_name}", array


def _curve(name: str, told: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> KeptCurve:
    runs = tuple(_run(name, place, tensors) for place in range(told["runs"]))
    curve = KeptCurve(runs, told["origin"], told.get("unit", ""), tuple(told.get("seeds", ())))
    if not runs or curve.length != told["steps"]:
        raise ValueError(f"the manifest says {told['steps']} steps of {told['runs']} runs of {name!r}")
    return curve


def _run(name: str, place: int, tensors: Mapping[str, NDArray[Any]]) -> KeptRun:
    found: dict[str, Any] = {}
    for field_name, dtype in _DTYPES.items():
        key = f"{name}/{place}/{field_name}"
        array = tensors[f"{name}/0/{field_name}" if key not in tensors and field_name in _SHARED else key]
        if array.ndim != 1 or array.dtype != dtype:
            raise ValueError(f"{key} is {array.dtype} of shape {array.shape}")
        found[field_name] = array
    for steps, losses in (("steps", "losses"), ("epochs", "epoch_losses")):
        if len(found[steps]) != len(found[losses]):
            raise ValueError(f"{name}/{place} has {len(found[steps])} {steps} and {len(found[losses])} {losses}")
    return KeptRun(**found)
