"""The noise floors of a golden: how far the reference itself moved at each site, in one small file.

``noise.safetensors`` holds a float64 tensor for each step, a row for each observation in execution order; the manifest
has the file's digest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pytest_parity.errors import GoldenError
from pytest_parity.golden.canonical import compact
from pytest_parity.golden.digest import digest
from pytest_parity.golden.manifest import AGAIN, recorded_bytes

__all__ = ["FILE", "Floor", "NoiseFloors", "read_floors", "write_floors"]

FILE = "noise.safetensors"

_COLUMNS = ("norm", "gain", "reference", "own_norm", "own_gain", "unstable")
_STEP = "step_"


@dataclass(frozen=True, slots=True)
class Floor:
    """How far the reference moves at a site: ``norm`` of the difference, and ``gain``, ``|<a,r>/<r,r> - 1|``.

    ``reference`` is ``||r||``. Of integers and booleans ``norm`` is the share of elements that changed. ``unstable``:
    they changed in every draw.
    """

    norm: float
    gain: float
    reference: float
    unstable: bool = False


@dataclass(frozen=True, slots=True)
class NoiseFloors:
    """The floors of every step: ``steps`` to rows by ``Entry.order``; a row without a floor is all NaN."""

    draws: int
    steps: Mapping[int, Sequence[tuple[float, ...]]]

    def of(self, step: int, order: int, *, own: bool = False) -> Floor | None:
        """The floor at a site, if it has one; of an update the isolated step's, or (``own``) its own gradients'."""
        rows = self.steps.get(step, ())
        if not 0 <= order < len(rows):
            return None
        norm, gain, reference, own_norm, own_gain, unstable = rows[order]
        if math.isnan(norm) or (own and not math.isnan(own_norm)):
            norm, gain = own_norm, own_gain
        return None if math.isnan(norm) else Floor(norm, gain, reference, bool(unstable))

    def unstable(self, step: int) -> frozenset[int]:
        """The orders of a step's sites that flip in every draw."""
        return frozenset(order for order, values in enumerate(self.steps.get(step, ())) if values[-1])


def row(floor: Floor | None, own: Floor | None = None) -> tuple[float, ...]:
    """One site's row."""
    nothing = Floor(math.nan, math.nan, math.nan)
    first, second = floor or nothing, own or nothing
    reference = (floor or second).reference
    return (first.norm, first.gain, reference, second.norm, second.gain, float(first.unstable))


def write_floors(directory: Path, floors: NoiseFloors) -> dict[str, Any]:
    """Write the file; returns its record for the manifest. Raises ``OSError``."""
    tensors = {f"{_STEP}{step}": np.array(rows, dtype=np.float64) for step, rows in sorted(floors.steps.items())}
    data = save(tensors, metadata={"parity": compact({"columns": list(_COLUMNS), "draws": floors.draws})})
    (directory / FILE).write_bytes(data)
    return {"digest": digest(data), "size": len(data), "draws": floors.draws}


def read_floors(directory: Path, manifest: Mapping[str, Any]) -> NoiseFloors | None:
    """The floors that a manifest names; raises ``GoldenError`` if the file is missing, damaged or malformed."""
    record, path = manifest.get("noise"), directory / FILE
    if not record:
        return None
    data = recorded_bytes(path, record)
    try:
        steps = {int(name.removeprefix(_STEP)): _rows(table) for name, table in load(data).items()}
    except (SafetensorError, ValueError) as error:
        raise GoldenError(f"{path} is malformed: {error}; {AGAIN}") from error
    return NoiseFloors(record["draws"], steps)


def _rows(table: np.ndarray[Any, Any]) -> list[tuple[float, ...]]:
    if table.ndim != 2 or table.shape[1] != len(_COLUMNS):  # noqa: PLR2004  a row a site
        raise ValueError(f"a table of shape {table.shape}, not (sites, {len(_COLUMNS)})")
    return list(map(tuple, table.tolist()))
