"""CSV logs into curves: Lightning's ``metrics.csv``, and any other table with a column of steps or of epochs."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from pytest_parity.curves.convert.building import curves_of
from pytest_parity.curves.convert.logged import LoggedRun, directory_name, model_in
from pytest_parity.curves.convert.places import directories
from pytest_parity.curves.curve import Curve
from pytest_parity.errors import CurveError

__all__ = ["METRICS", "from_csv"]

METRICS = "metrics.csv"
_STEPS = ("step", "global_step", "trainer/global_step", "_step", "iteration", "iter")
_EPOCHS = ("epoch", "epochs")
_TIMES = frozenset({"wall time", "wall_time", "timestamp", "_timestamp"})
_YAML_STRING = re.compile(r"(\w+):\s*(?P<quote>['\"]?)([^\W\d][^'\"#{\[]*?)(?P=quote)\s*(?:#.*)?")
_YAML_WORDS = frozenset({"null", "true", "false"})


def from_csv(path: str | os.PathLike[str], *, loss: str | None = None, epoch_loss: str | None = None) -> list[Curve]:
    """The curve of a CSV file, or one for each ``metrics.csv`` below a directory (``version_0``, ``lightning_logs``).

    An empty cell is no point; ``nan`` is one. A header in the middle, where a resumed run went on in the same file, is
    taken up. In a table with a column of epochs and none of steps (Keras) the loss is the epochs'. A column of text is no series.

    Raises:
        CurveError: no such file, no column of steps or epochs, a cell of the loss or of the steps that is no number.
        UsageError: no loss, or two that are equally likely.
    """
    root = Path(path)
    return curves_of((_run(name, file) for name, file in _places(root)), str(root), loss, epoch_loss)


def _places(root: Path) -> list[tuple[str, Path]]:
    if root.is_file():
        named = directory_name(root.parent, root.parent) if root.name == METRICS else root.stem
        return [(named, root)]
    if not root.is_dir():
        raise CurveError(f"{root}: there is no such file or directory")
    found = [(directory_name(one, root), one / METRICS) for one, names, _ in directories(root) if METRICS in names]
    if not found:
        raise CurveError(f"{root}: there is no {METRICS} in it; give another CSV file by its own name")
    return found


def _run(name: str, path: Path) -> LoggedRun:
    run = LoggedRun(name, str(path), model_type=model_in(_hyperparameters(path.with_name("hparams.yaml"))))
    table = _Table(path, run)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in _rows(file):
                table.take(number, row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CurveError(f"{path}: not a CSV file: {error}") from None
    if not table.header:
        raise CurveError(f"{path}: it is empty: there is no header")
    return run


def _rows(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The rows with the numbers of their lines; not a last one that a kill has torn, which has no line end and too few cells."""
    first = file.readline()
    file.seek(0)
    delimiter = next((one for one in ",;\t" if one in first), ",")
    lines = _Ended(file)
    reader = csv.reader(lines, delimiter=delimiter)
    width = 0
    for row in reader:
        if not row or (not lines.ended and len(row) < width):
            continue
        width = len(row)
        yield reader.line_num, row


class _Ended:
    """A file's lines; ``ended``: the last one handed out has a line end."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            self.ended = line.endswith(("\n", "\r"))
            yield line


class _Table:
    """What the rows so far have given to the run, and which columns mean what."""

    def __init__(self, path: Path, run: LoggedRun) -> None:
        self.path = path
        self.run = run
        self.header: list[str] = []
        self.axis = -1

    def take(self, number: int, row: list[str]) -> None:
        """One row: a header, or cells below it."""
        if not self.header or self.header[self.axis] in row:
            self._head(number, row)
            return
        if not any(row):
            return
        if len(row) > len(self.header):
            raise CurveError(
                f"{self.path}, line {number}: {len(row)} cells under a header of {len(self.header)} ({', '.join(self.header)})"
            )
        step = self._step(number, row[self.axis].strip() if self.axis < len(row) else "")
        for column, cell in zip(self.header, row, strict=False):
            if cell and (value := self._number(column, number, cell)) is not None:
                self._point(column, step, value)

    def _head(self, number: int, row: Sequence[str]) -> None:
        header = [cell.strip() for cell in row]
        twice = sorted({name for name in header if name and header.count(name) > 1})
        if twice:
            raise CurveError(f"{self.path}, line {number}: twice in the header: {', '.join(twice)}")
        lower = [name.lower() for name in header]
        steps = [name for name in _STEPS if name in lower]
        axis = next(iter(steps or [name for name in _EPOCHS if name in lower]), None)
        if axis is None:
            raise CurveError(
                f"{self.path}, line {number}: no column of steps (step, global_step, iteration) and none of epochs (epoch) "
                f"in the header: {', '.join(header[:20])}"
            )
        self.header, self.axis, self.run.by_epoch = header, lower.index(axis), not steps

    def _step(self, number: int, cell: str) -> int:
        try:
            return int(cell)
        except ValueError:
            value = _float(cell)
        if value is None or not value.is_integer():
            raise CurveError(
                f"{self.path}, line {number}: {self.header[self.axis]} is {cell!r}, which is no whole number"
            )
        return int(value)

    def _number(self, column: str, number: int, cell: str) -> float | None:
        value = _float(cell)
        if value is None and cell.strip():
            self.run.faults.setdefault(column, f"{self.path}, line {number}: {column} is {cell!r}, which is no number")
        return value

    def _point(self, column: str, step: int, value: float) -> None:
        run = self.run
        if column == self.header[self.axis]:
            if run.by_epoch:
                run.add(column, step, value)
        elif column.lower() in _TIMES:
            run.start = value if run.start is None else run.start
            run.end = value
        elif column:
            run.add(column, step, value)


def _float(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _hyperparameters(path: Path) -> Iterator[tuple[str, str]]:
    """The plain strings on the first level of the ``hparams.yaml`` that Lightning writes beside its log."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _YAML_STRING.fullmatch(line)
        if found and found[3].lower() not in _YAML_WORDS:
            yield found[1], found[3]
