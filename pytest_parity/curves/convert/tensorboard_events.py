"""TensorBoard's event files into curves: every point in the order in which it was logged, none sampled away."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct, iter_unpack
from typing import Any

from pytest_parity.curves.convert.building import curves_of
from pytest_parity.curves.convert.event_file import EventFile
from pytest_parity.curves.convert.logged import LoggedRun, directory_name, library, model_in
from pytest_parity.curves.convert.places import directories
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import CurveError

__all__ = ["from_tensorboard", "is_event_file"]

_START = 1  # SessionLog.START
_SIMPLE, _TENSOR = "simple_value", "tensor"


def from_tensorboard(
    path: str | os.PathLike[str], *, loss: str | None = None, epoch_loss: str | None = None, purge: bool = False
) -> list[Curve]:
    """The curves of an event file, or one for each run (directory with event files) below a directory.

    The files of one directory are one run, in the order of their names, as in TensorBoard. A resumed run that goes back some steps has
    them twice, and both are kept: TensorBoard hides the first ones where the writer said ``purge_step``, and so does
    ``purge=True``. Values are float32, for that is what TensorBoard keeps, unless they were written as float64 tensors.

    Raises:
        CurveError: no event file there, or a damaged one.
        UsageError: no loss, or two that are equally likely; tensorboard is not installed.
    """
    root = Path(path)
    event = library("tensorboard.compat.proto.event_pb2", extra="tensorboard", needed_by=f"{root}: an event file").Event
    runs = (_run(*place, event.FromString, purge=purge) for place in _places(root))
    return curves_of(runs, str(root), loss, epoch_loss)


def is_event_file(name: str) -> bool:
    """Whether a file of this name is one that TensorBoard looks at."""
    return "tfevents" in name


def _places(root: Path) -> list[tuple[str, Path, list[Path]]]:
    """Each run's name, what it is called in errors, and its files."""
    if root.is_file():
        return [(directory_name(root.parent, root.parent), root, [root])]
    if not root.is_dir():
        raise CurveError(f"{root}: there is no such file or directory")
    found = [(one, sorted(filter(is_event_file, names), key=_natural)) for one, names, _ in directories(root)]
    places = [(directory_name(one, root), one, [one / name for name in names]) for one, names in found if names]
    if not places:
        raise CurveError(f"{root}: there is no event file of TensorBoard in it (events.out.tfevents.*)")
    return places


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in names by their size: the time in them, and ``.10`` after ``.9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _run(name: str, source: Path, paths: Sequence[Path], parse: Callable[[bytes], Any], *, purge: bool) -> LoggedRun:
    run = LoggedRun(name, str(source))
    torn = False
    for path in paths:
        file = EventFile(path)
        for event in _events(file, parse):
            _read(event, run, purge=purge)
        torn = file.torn
    if torn:
        run.end = None
    return run


def _events(file: EventFile, parse: Callable[[bytes], Any]) -> Iterator[Any]:
    error = library("google.protobuf.message", extra="tensorboard", needed_by=str(file.path)).DecodeError
    try:
        yield from map(parse, file.records())
    except error as cause:
        raise CurveError(f"{file.path}: a record in it is no event of TensorBoard: {cause}") from None


def _read(event: Any, run: LoggedRun, *, purge: bool) -> None:
    """What one event adds to the run."""
    what = event.WhichOneof("what")
    if what == "session_log" and purge and event.session_log.status == _START:
        run.points = {tag: points.without_from(event.step) for tag, points in run.points.items()}
    if what != "summary":
        return
    step, scalars = event.step, 0
    for value in event.summary.value:
        kind = value.WhichOneof("value")
        if kind == _SIMPLE:
            run.add(value.tag, step, value.simple_value)
        elif kind == _TENSOR and (scalar := _scalar(value.tensor)) is not None:
            run.add(value.tag, step, scalar)
        else:
            run.model_type = _model(value) or run.model_type
            continue
        scalars += 1
    if scalars:
        run.start = event.wall_time if run.start is None else run.start
        run.end = event.wall_time


_PACKED = {1: Struct("<f"), 2: Struct("<d"), 3: Struct("<i"), 9: Struct("<q"), 19: Struct("<e")}  # by DataType's number
_FIELDS = {1: "float_val", 2: "double_val", 3: "int_val", 9: "int64_val"}
_HALF, _BFLOAT16 = 19, 14


def _scalar(tensor: Any) -> float | None:
    """The number in a tensor without dimensions; ``None``: a text, a histogram, an image."""
    if math.prod(dim.size for dim in tensor.tensor_shape.dim) != 1 or len(tensor.tensor_shape.dim):
        return None
    dtype, content = tensor.dtype, tensor.tensor_content
    if content and dtype in _PACKED and len(content) == _PACKED[dtype].size:
        return float(_PACKED[dtype].unpack(content)[0])
    if dtype in _FIELDS:
        values = getattr(tensor, _FIELDS[dtype])
        return float(values[0]) if values else 0.0
    if dtype in {_HALF, _BFLOAT16} and tensor.half_val:
        return _from_half(tensor.half_val[0], dtype)
    return None


def _from_half(bits: int, dtype: int) -> float:
    """A 16-bit number from its bits."""
    if dtype == _HALF:
        return float(next(iter_unpack("<e", bits.to_bytes(2, "little")))[0])
    return float(next(iter_unpack("<f", (bits << 16).to_bytes(4, "little")))[0])


def _model(value: Any) -> str:
    """The model's type from the hyperparameters that SummaryWriter.add_hparams and Lightning write."""
    plugin = value.metadata.plugin_data
    if plugin.plugin_name != "hparams" or not plugin.content:
        return ""
    messages = library("tensorboard.plugins.hparams.plugin_data_pb2", extra="tensorboard", needed_by="hyperparameters")
    start = messages.HParamsPluginData.FromString(plugin.content).session_start_info
    return model_in((name, one.string_value) for name, one in start.hparams.items())
