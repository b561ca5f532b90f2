"""MLflow's store of files: ``<experiment>/<run>/metrics/<key>``, a line of time, value and step for each point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_parity.curves.convert.logged import LoggedRun, Points, model_in
from pytest_parity.errors import CurveError

__all__ = ["META", "holds_runs", "runs_in_files"]

META = "meta.yaml"
_ACTIVE = "active"
_WITHOUT_STEP = 2  # columns: MLflow before 1.0


def holds_runs(directory: Path, names: Sequence[str]) -> bool:
    """Whether it is an experiment's directory, or a run's."""
    return META in names and "experiment_id" in _meta(directory / META)


def runs_in_files(directory: Path) -> Iterator[LoggedRun]:
    """The run of a run's directory, or those of an experiment's in the order of their starts; not what was deleted."""
    meta = _meta(directory / META)
    if meta.get("lifecycle_stage", _ACTIVE) != _ACTIVE:
        return
    if "run_id" in meta or "run_uuid" in meta:
        yield _run(directory, meta)
        return
    found = []
    for one in sorted(directory.iterdir()):
        if (one / META).is_file():
            below = _meta(one / META)
            if ("run_id" in below or "run_uuid" in below) and below.get("lifecycle_stage", _ACTIVE) == _ACTIVE:
                found.append(_run(one, below))
    yield from sorted(found, key=lambda run: run.start or 0.0)


def _run(directory: Path, meta: dict[str, str]) -> LoggedRun:
    identity = meta.get("run_id") or meta["run_uuid"]
    name = _text(directory / "tags" / "mlflow.runName") or meta.get("run_name") or meta.get("name") or identity
    params = directory / "params"
    settings = [(one.name, _text(one)) for one in params.iterdir() if one.is_file()] if params.is_dir() else []
    run = LoggedRun(
        name,
        str(directory),
        identity=identity,
        model_type=model_in(settings),
        start=_seconds(meta.get("start_time")),
        end=_seconds(meta.get("end_time")),
    )
    metrics = directory / "metrics"
    for path in sorted(metrics.rglob("*")):
        if path.is_file():
            run.points[path.relative_to(metrics).as_posix()] = _points(path)
    return run


def _points(path: Path) -> Points:
    points = Points()
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines[:-1], 1):  # behind the last line end is nothing, or what a kill has torn
        cells = line.split()
        try:
            value = float(cells[1])
            step = int(cells[2]) if len(cells) > _WITHOUT_STEP else 0
        except (ValueError, IndexError):
            raise CurveError(f"{path}, line {number}: {line!r} is no time, value and step") from None
        points.add_step(step)
        points.add_value(value)
    return points


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""


def _meta(path: Path) -> dict[str, str]:
    """The plain values of a ``meta.yaml``: one to a line, some in quotes."""
    pairs = (line.partition(":")[::2] for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return {key: value.strip().strip("'\"") for key, value in pairs if value.strip() not in {"", "null", "''"}}


def _seconds(milliseconds: str | None) -> float | None:
    return int(milliseconds) / 1000 if milliseconds and milliseconds.isdigit() else None
