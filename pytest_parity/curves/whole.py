"""Whole: a metrics file is written aside and renamed, so that at every moment one version of it is there, and complete."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_parity.curves.curve import Curve, Series
from pytest_parity.curves.log import EPOCH_END
from pytest_parity.curves.numbers import to_text

__all__ = ["write_whole"]


def write_whole(path: Path, curve: Curve, others: Mapping[str, Any] | None = None) -> int:
    """Put a curve in a file's place, with further fields behind it; returns how many bytes. Raises ``OSError``."""
    path = Path(os.path.realpath(path))  # a link stays one
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            for piece in _pieces(curve, others or {}):
                file.write(piece)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    return size


def _pieces(curve: Curve, others: Mapping[str, Any]) -> Iterator[bytes]:
    """The file: the seed's fields in its order, a line each."""
    texts = ("model_type", "experiment_name", "start_time", "end_time")
    yield b"{\n" + b",\n".join(b'  "%s": %s' % (name.encode(), _json(getattr(curve, name))) for name in texts)
    for name in ("epochs", "epoch_losses", "steps", "step_losses"):
        yield b',\n  "%s": [' % name.encode()
        yield from to_text(getattr(curve, name))
        yield b"]"
    yield from _series(curve)
    for name, value in others.items():
        yield b",\n  %s: %s" % (_json(name), _json(_strict(value)))
    yield b"\n}\n"


def _series(curve: Curve) -> Iterator[bytes]:
    series = dict(curve.series)
    if len(curve.epoch_steps):
        series[EPOCH_END] = Series(curve.epoch_steps, curve.epochs.astype(np.float64))
    if not series and not curve.unit:
        return
    yield b',\n  "series": {'
    between = b"\n"
    if curve.unit:
        yield b'\n    "loss": {"unit": %s}' % _json(curve.unit)
        between = b",\n"
    for name, one in series.items():
        yield between + b'    %s: {"unit": %s, "steps": [' % (_json(name), _json(one.unit))
        yield from to_text(one.steps)
        yield b'], "values": ['
        yield from to_text(one.values)
        yield b"]}"
        between = b",\n"
    yield b"\n  }"


def _strict(value: Any) -> Any:
    """Of a further field: what is not finite as the losses have it, what was parsed to an array as a list again."""
    if isinstance(value, np.ndarray):
        return _strict(value.tolist())
    if isinstance(value, dict):
        return {name: _strict(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_strict(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
