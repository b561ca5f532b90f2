"""Reading: a metrics file as a ``Curve``, from the seed of a training script or from ``MetricsWriter``, also while it grows."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_parity.curves.curve import Curve, Series
from pytest_parity.curves.journal import journal_of, journalled, replay
from pytest_parity.curves.log import EPOCH_END, Log
from pytest_parity.curves.numbers import from_list
from pytest_parity.curves.parsing import NotJson, parsed
from pytest_parity.errors import CurveError

__all__ = ["SUFFIX", "Content", "read_content", "read_curve"]

SUFFIX = "_metrics.json"
_TRIES = 5
_PAIRS = (("steps", "step_losses"), ("epochs", "epoch_losses"))
_TEXTS = ("model_type", "experiment_name", "start_time", "end_time")
_KNOWN = {*_TEXTS, *_PAIRS[0], *_PAIRS[1], "series"}
_WHOLE = 2**53
"""Up to here each whole number is a float."""


@dataclass(frozen=True, slots=True)
class Content:
    """A metrics file: its curve, and fields that are none of a curve's."""

    curve: Curve
    others: dict[str, Any]


def read_curve(path: str | os.PathLike[str]) -> Curve:
    """Read a metrics file, and what its journal adds where training goes on or was killed.

    ``steps`` with ``step_losses``, or ``epochs`` with ``epoch_losses``, have to be there; every other field may be
    missing. NaN is read from ``null`` and ``NaN``, infinity from ``1e999`` and ``Infinity``. Raises ``CurveError``.
    """
    return read_content(Path(path)).curve


def read_content(path: Path) -> Content:
    """What ``read_curve`` reads, with the rest of the file. Raises ``CurveError``."""
    for attempt in range(_TRIES):
        try:
            lines = journalled(path)  # before the file: then what it says is in the file, or follows on it
            content = _content(path, path.read_bytes())
            return _grown(content, lines)
        except OSError as error:  # noqa: PERF203  it is tried again for a file that is being written
            raise CurveError(_unreadable(path, error)) from None
        except ValueError as error:  # or it was rewritten between
            time.sleep(0.01 * attempt)
            if attempt == _TRIES - 1:
                journal = journal_of(path)
                raise CurveError(
                    f"{path}: its journal {journal} does not fit: {error}; remove the journal to read the file alone"
                ) from None
    raise AssertionError


def _grown(content: Content, lines: list[dict[str, Any]]) -> Content:
    if not any(isinstance(line, dict) and line.get("run") == content.curve.start_time for line in lines):
        return content
    log = Log.of(content.curve)
    replay(log, lines)
    return Content(log.curve(), content.others)


def _unreadable(path: Path, error: OSError) -> str:
    if not path.exists():
        return f"there is no {path}; a metrics file is called NAME{SUFFIX}"
    if path.is_dir():
        return f"{path} is a directory; name one of its *{SUFFIX}"
    return f"{path} cannot be read: {error.strerror}"


def _content(path: Path, data: bytes) -> Content:
    try:
        table = parsed(data)
    except NotJson as error:
        cut = not data.rstrip().endswith(b"}") and data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in b"{"  # so of an empty one
        raise CurveError(
            f"{path} {'is cut off' if cut else 'is no JSON'}: {error}; {_REMEDY if cut else 'is it a metrics file?'}"
        ) from None
    if not isinstance(table, dict):
        raise CurveError(f"{path} is no metrics file: it has no fields, but {_said(table)}")
    try:
        return Content(_curve(path, table), {name: value for name, value in table.items() if name not in _KNOWN})
    except _Wrong as error:
        raise CurveError(f"{path}: {error}") from None


_REMEDY = "what wrote it was killed meanwhile, or does not write it whole; take an earlier copy"


class _Wrong(Exception):
    """What is wrong in a metrics file, to be said with its name."""


def _curve(path: Path, table: dict[str, Any]) -> Curve:
    texts = {name: _text(table, name) for name in _TEXTS}
    pairs = {name: _pair(table, *names, f"{names[0]} and {names[1]}") for name, names in zip("se", _PAIRS, strict=True)}
    if not any(names[0] in table for names in _PAIRS):
        has = ", ".join(map(repr, list(table)[:8])) or "nothing"
        raise _Wrong(
            f"it has neither steps and step_losses nor epochs and epoch_losses, which a metrics file has; it has {has}"
        )
    series, units = _series(table.get("series"))
    ends = series.pop(EPOCH_END, None)
    steps = np.empty(0, np.int64) if ends is None else ends.steps
    if ends is not None and not np.array_equal(ends.values, pairs["e"][0]):
        raise _Wrong(f"series.{EPOCH_END} tells the ends of {len(steps)} epochs, and epochs has {len(pairs['e'][0])}")
    return Curve(
        experiment_name=texts["experiment_name"] or path.name.removesuffix(".json").removesuffix("_metrics"),
        model_type=texts["model_type"],
        start_time=texts["start_time"],
        end_time=texts["end_time"] or None,
        steps=pairs["s"][0],
        step_losses=pairs["s"][1],
        epochs=pairs["e"][0],
        epoch_losses=pairs["e"][1],
        epoch_steps=steps,
        series=series,
        unit=units,
    )


def _text(table: dict[str, Any], name: str) -> str:
    value = table.get(name)
    if not (value is None or isinstance(value, str)):
        raise _Wrong(f"{name} is {_said(value)}, not a string")
    return value or ""


def _pair(table: dict[str, Any], first: str, second: str, both: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if first not in table and second not in table:
        return np.empty(0, np.int64), np.empty(0)
    for name in (first, second):
        if name not in table:
            raise _Wrong(f"it has no {name}; {both} belong together")
    numbers, values = _integers(first, _array(table, first)), _array(table, second).astype(np.float64, copy=False)
    if len(numbers) != len(values):
        raise _Wrong(f"{both} are of one length, and here are {len(numbers)} and {len(values)}")
    return numbers, values


def _array(table: dict[str, Any], name: str) -> NDArray[Any]:
    value = table[name]
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, list):
        raise _Wrong(f"{name} is {_said(value)}, not a list of numbers")
    try:
        return from_list(value)
    except ValueError as error:
        raise _Wrong(f"{name}{error}") from None


def _integers(name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    if values.dtype.kind != "i" or len(values) == 0:
        wrong = ~np.isfinite(values) | (values != np.trunc(values)) | (np.abs(values) > _WHOLE)
    else:
        wrong = (values > _WHOLE) | (values < -_WHOLE)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise _Wrong(f"{name}[{place}] is {values[place]}, which is no whole number that can be counted with")
    return values.astype(np.int64, copy=False)


def _series(table: Any) -> tuple[dict[str, Series], str]:
    """The series, and the loss's unit."""
    if table is None:
        return {}, ""
    if not isinstance(table, dict):
        raise _Wrong(f"series is {_said(table)}, not a table of series by name")
    found, unit = {}, ""
    for name, entry in table.items():
        if not isinstance(entry, dict):
            raise _Wrong(f"series.{name} is {_said(entry)}, not a table of unit, steps and values")
        declared = entry.get("unit")
        if not (declared is None or isinstance(declared, str)):
            raise _Wrong(f"series.{name}.unit is {_said(declared)}, not a string")
        if name == "loss":
            unit = declared or ""
            continue
        named = {f"series.{name}.{key}": entry[key] for key in ("steps", "values") if key in entry}
        both = f"series.{name}.steps", f"series.{name}.values"
        steps, values = _pair(named, *both, " and ".join(both))
        found[name] = Series(steps, values, declared or "")
    return found, unit


def _said(value: Any) -> str:
    if isinstance(value, (list, np.ndarray)):
        return f"a list of {len(value)}"
    return "a table" if isinstance(value, dict) else f"{value!r:.60}"
