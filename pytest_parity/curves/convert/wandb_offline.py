"""W&B's run files into curves: offline runs, and what online ones keep beside them. No network, no W&B process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pytest_parity.curves.convert.building import curves_of
from pytest_parity.curves.convert.choosing import epoch_axis
from pytest_parity.curves.convert.logged import LoggedRun, Points, library, model_in
from pytest_parity.curves.convert.places import directories
from pytest_parity.curves.convert.wandb_log import WandbLog
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import CurveError

__all__ = ["SUFFIX", "from_wandb"]

SUFFIX = ".wandb"
_STEP, _TIME = "_step", "_timestamp"


def from_wandb(path: str | os.PathLike[str], *, loss: str | None = None, epoch_loss: str | None = None) -> list[Curve]:
    """The curves of a ``run-*.wandb`` file, or one for each run below a directory (``offline-run-*``, ``wandb``).

    Names are as in W&B, nested ones with dots. A step is the metric that ``define_metric(step_metric=)`` names, as
    Lightning and transformers do, else ``_step``. Several files of one run id, a run that was resumed, are one curve, and what they have
    twice is there twice.

    Raises:
        CurveError: no such file, or a damaged one.
        UsageError: no loss, or two that are equally likely; wandb is not installed.
    """
    root = Path(path)
    record = library("wandb.proto.wandb_internal_pb2", extra="wandb", needed_by=f"{root}: a W&B run").Record
    parts = [_Reading(file, record).run for file in _files(root)]
    return curves_of(_joined(parts), str(root), loss, epoch_loss)


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise CurveError(f"{root}: there is no such file or directory")
    found = [one / name for one, names, _ in directories(root) for name in names if name.endswith(SUFFIX)]
    if not found:
        raise CurveError(f"{root}: there is no W&B run in it (run-*.wandb)")
    return found


def _joined(parts: Iterable[LoggedRun]) -> Iterator[LoggedRun]:
    """The runs: files of one id one behind the other, the earlier start first."""
    runs: dict[str, LoggedRun] = {}
    for part in sorted(parts, key=lambda one: one.start or 0.0):
        run = runs.setdefault(part.identity, part)
        if run is part:
            continue
        for tag, points in part.points.items():
            whole = run.points.setdefault(tag, Points())
            whole.steps.extend(points.steps)
            whole.values.extend(points.values)
        run.name, run.model_type, run.end = part.name, part.model_type or run.model_type, part.end
    yield from runs.values()


class _Reading:
    """One file on its way into a run: which metric is whose step, and the last value of each of those."""

    def __init__(self, path: Path, record: Any) -> None:
        self.run = LoggedRun(path.stem.removeprefix("run-"), str(path), identity=path.stem)
        self.names: dict[str, str] = {}
        self.globs: dict[str, str] = {}
        self.axes: dict[str, str] = {}
        self.last: dict[str, float] = {}
        self.time: float | None = None
        for one in WandbLog(path).records():
            self._take(record.FromString(one))

    def _take(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "history":
            self._row(record.history)
        elif kind == "run":
            self._about(record.run)
        elif kind == "config":
            self._configured(record.config)
        elif kind == "metric":
            self._defined(record.metric)
        elif kind == "exit":
            self.run.end = self.time if self.time is not None else self.run.start

    def _about(self, run: Any) -> None:
        self.run.name = run.display_name or run.run_id or self.run.name
        self.run.identity = run.run_id or self.run.identity
        self.run.start = run.start_time.ToNanoseconds() / 1e9 or None
        self._configured(run.config)

    def _configured(self, config: Any) -> None:
        settings = ((_key(item), _loaded(item.value_json)) for item in config.update)
        self.run.model_type = model_in(settings) or self.run.model_type

    def _defined(self, metric: Any) -> None:
        if metric.step_metric:
            own, name = (self.names, metric.name) if metric.name else (self.globs, metric.glob_name)
            own[name] = metric.step_metric
        self.axes.clear()

    def _row(self, history: Any) -> None:
        row = _scalars((_key(item), item.value_json) for item in history.item)
        self.last.update(row)
        if _TIME in row:
            self.time = row[_TIME]
        step = int(row.get(_STEP, history.step.num))
        for key, value in row.items():
            if not key.startswith("_"):
                self.run.add(key, self._at(key, step), value)

    def _at(self, key: str, step: int) -> int:
        """The value of the key's own step metric, if it counts; one that counts epochs is none."""
        axis = self.axes.get(key)
        if axis is None:
            axis = self.axes[key] = self._axis(key)
        value = self.last.get(axis) if axis else None
        return int(value) if value is not None and value.is_integer() else step

    def _axis(self, key: str) -> str:
        found = self.names.get(key) or next((axis for glob, axis in self.globs.items() if fnmatchcase(key, glob)), "")
        return "" if epoch_axis({found: Points()}) else found


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _scalars(items: Iterable[tuple[str, str]]) -> dict[str, float]:
    """The numbers among a row's items; not the width of an image or the bins of a histogram."""
    row: dict[str, float] = {}
    media = []
    for key, text in items:
        value = _float(text)
        if value is not None:
            row[key] = value
        elif key.endswith("._type"):
            media.append(key.removesuffix("_type"))
        else:
            row.update(_nested(key, text))
    return {key: row[key] for key in row if not key.startswith(tuple(media))} if media else row


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _nested(key: str, text: str) -> dict[str, float]:
    """The numbers within an item that is a mapping, and infinities that are strings."""
    value = _loaded(text)
    if isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"}:
        return {key: float(value)}
    if not isinstance(value, dict) or "_type" in value:
        return {}
    found: dict[str, float] = {}
    for name, one in value.items():
        found.update(_scalars([(f"{key}.{name}", json.dumps(one))]))
    return found


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
