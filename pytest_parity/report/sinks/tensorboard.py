"""TensorBoard: a directory per run with one event file; each side of a tag but the candidate's is a run below it.

TensorBoard lays curves of one tag over each other when they are of different runs. A run that is logged again takes the
place of what was logged of it before. Values are float32 there.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytest_parity.report.marks import plain, row
from pytest_parity.report.sinks.logged import Line, Logged
from pytest_parity.report.sinks.place import Sink, shown
from pytest_parity.report.sinks.surroundings import undisturbed
from pytest_parity.report.words import amount

__all__ = ["write_tensorboard"]

_OURS = "pytest-parity"
_SIDE = f".side.{_OURS}"
"""How the file of a run's side ends, so that none is taken for a run of its own."""
_BEGINS = "events.out.tfevents"
"""What TensorBoard knows an event file by."""
_OWN = ("", "candidate")
"""Sides that are the run's own."""
_NO_NAME = re.compile(r'[<>:"|?*\\\x00-\x1f]')


def write_tensorboard(sink: Sink, runs: Sequence[Logged]) -> str:
    """Log the runs; raises ``OSError``."""
    assert sink.directory is not None
    with undisturbed({}):
        for run in runs:
            place = sink.directory.joinpath(*_parts(run.name))
            sides: dict[str, list[Line]] = defaultdict(list)
            for line in run.lines:
                sides["" if line.side in _OWN else line.side].append(line)
            _write(place, [*_summary(run), *_scalars(sides.pop("", ()))])
            for side in {*sides, *_sides(place)}:  # one that this run has no more is written as an empty one
                _write(place / side, _scalars(sides.get(side, ())), _SIDE)
    return f"{amount(len(runs), 'run')}; look at {'it' if len(runs) == 1 else 'them'}: tensorboard --logdir {shown(sink.directory)}"


@cache
def _library() -> SimpleNamespace:
    """What TensorBoard itself writes event files with."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]  # noqa: PLC0415
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]  # noqa: PLC0415
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]  # noqa: PLC0415
    from tensorboard.plugins.text import metadata  # type: ignore[import-untyped]  # noqa: PLC0415
    from tensorboard.summary.writer import record_writer  # type: ignore[import-untyped]  # noqa: PLC0415

    return SimpleNamespace(
        Event=Event,
        SessionLog=SessionLog,
        Summary=Summary,
        TensorProto=TensorProto,
        RecordWriter=record_writer.RecordWriter,
        create_summary_metadata=metadata.create_summary_metadata,
    )


def _parts(name: str) -> list[str]:
    """A name as directories that lie below their parent."""
    parts = [_NO_NAME.sub("_", part) for part in name.split("/")]
    return [part for part in parts if part.strip(" .")] or ["run"]


def _sides(place: Path) -> set[str]:
    """The sides that a run has on disk."""
    return {path.parent.name for path in place.glob(f"*/{_BEGINS}.*{_SIDE}")}


def _write(place: Path, values: Iterable[tuple[int, Any]], ending: str = f".{_OURS}") -> None:
    """One event file, whole or not at all; then what an earlier one of ours says is gone.

    The last of these stays as an empty file: a TensorBoard that is running has it open, and goes on from there.
    """
    of = _library()
    place.mkdir(parents=True, exist_ok=True)
    now = time.time()
    earlier = sorted(place.glob(f"{_BEGINS}.*.{_OURS}"))
    path = place / f"{_BEGINS}.{now:.6f}{ending}"
    beside = place / f".{_OURS}.{now:.6f}"
    try:
        with beside.open("wb") as file:
            writer = of.RecordWriter(file)
            writer.write(of.Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
            # a TensorBoard that is running forgets what it has read of this run
            begun = of.SessionLog(status=of.SessionLog.START)
            writer.write(of.Event(wall_time=now, step=0, session_log=begun).SerializeToString())
            for step, value in values:
                event = of.Event(wall_time=now, step=step, summary=of.Summary(value=[value]))
                writer.write(event.SerializeToString())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    for old in earlier[:-1]:
        old.unlink(missing_ok=True)
    for last in earlier[-1:]:
        last.write_bytes(b"")


def _summary(run: Logged) -> Iterator[tuple[int, Any]]:
    """The run as a whole: numbers at step 0, and texts."""
    of = _library()
    for tag, value in run.scalars.items():
        yield 0, of.Summary.Value(tag=tag, simple_value=value)
    if run.text:
        yield 0, _text("parity", run.text)
    if run.config:
        rows = [row([plain(name), plain(value)]) for name, value in run.config.items()]
        yield 0, _text("config", "\n".join([row(["name", "value"]), row(["---", "---"]), *rows]))


def _text(tag: str, markdown: str) -> Any:
    of = _library()
    text = markdown.encode(errors="replace")
    metadata = of.create_summary_metadata(display_name=tag, description="")
    return of.Summary.Value(tag=tag, metadata=metadata, tensor=of.TensorProto(dtype="DT_STRING", string_val=[text]))


def _scalars(lines: Iterable[Line]) -> Iterator[tuple[int, Any]]:
    """By step: a step that goes back would make TensorBoard forget what lies behind it."""
    of = _library()
    points = [
        (int(step), line.tag, float(value))
        for line in lines
        for step, value in zip(line.steps, line.values, strict=True)
    ]
    for step, tag, value in sorted(points, key=lambda point: point[0]):
        yield step, of.Summary.Value(tag=tag, simple_value=value)
