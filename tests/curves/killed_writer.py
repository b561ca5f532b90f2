"""A script that has children log a training, kills them, and tells what they left: run by the tests of it.

``kills``: one child for each of many moments, spread over every call that it makes. ``beside``: one child that logs, while
its file is read. What is seen is told as one JSON object on the last line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pytest_parity.curves import MetricsWriter, read_curve, writing
from pytest_parity.curves.curve import Curve

writing._SMALL = writing._SMALL_EPOCH = 0  # journals, from the first step on
os.fsync = lambda _: None  # a kill is no power failure
MOMENTS = 90


def strict(text: str) -> Any:
    def refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refused)


def told(curve: Curve) -> dict[str, Any]:
    rate = curve.series.get("learning_rate")
    return {
        "steps": curve.steps.tolist(),
        "losses": curve.step_losses.tolist(),
        "epochs": curve.epochs.tolist(),
        "ends": curve.epoch_steps.tolist(),
        "rates": [] if rate is None else rate.values.tolist(),
    }


def training(folder: Path) -> Iterator[MetricsWriter]:
    """Two epochs that are not closed, a resumed run that is; each yield is a moment from which nothing may be lost."""
    metrics = MetricsWriter("run", folder, flush_seconds=0)
    yield metrics
    for step in range(1, 41):
        metrics.log_step(step, 1 / step, {"learning_rate": step / 10})
        yield metrics
        if step % 16 == 0:
            metrics.log_epoch(step // 16)
            yield metrics
    metrics._journal.close()  # as a kill leaves it: the lock is free, the journal is there
    metrics._closed = True
    metrics = MetricsWriter("run", folder, resume=20, flush_seconds=0)
    yield metrics
    for step in range(21, 41):
        metrics.log_step(step, 2 / step, {"learning_rate": step / 10})
        yield metrics
    metrics.close()
    yield metrics


def dying(folder: Path, moment: int, pipe: int) -> None:
    """Train, telling of each moment that is over; kill this process in the call with this number."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        if event in {"c_call", "c_return"}:
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    for _ in training(folder):
        os.write(pipe, b".")
    sys.setprofile(None)
    os.write(pipe, b"!%d" % calls)


def child(work: Callable[[int], None]) -> tuple[int, int]:
    reading, writing_end = os.pipe()
    process = os.fork()
    if not process:
        try:
            work(writing_end)
        finally:
            os._exit(0)
    os.close(writing_end)
    return process, reading


def killed_at(folder: Path, moment: int) -> bytes:
    process, pipe = child(lambda end: dying(folder, moment, end))
    os.waitpid(process, 0)
    with os.fdopen(pipe, "rb") as file:
        return file.read()


def kills(folder: Path) -> dict[str, Any]:
    states = [None, *(told(metrics.curve) for metrics in training(folder / "whole"))]
    calls = int(killed_at(folder / "counted", 0).partition(b"!")[2])
    wrong, ended, journals = [], 0, 0
    for moment in np.linspace(1, calls - 1, MOMENTS, dtype=int).tolist():
        place = folder / f"at{moment}"
        over = len(killed_at(place, moment).partition(b"!")[0])
        path = place / "run_metrics.json"
        journals += path.with_name("run_metrics.json.journal").exists()
        if path.exists():
            strict(path.read_text())
        left = told(read_curve(path)) if path.exists() else None
        if left not in states[over : over + 2]:
            wrong.append([moment, over, left])
        if over > 1:  # whoever resumes it has the same
            with MetricsWriter("run", place, resume=1000) as metrics:
                ended += told(metrics.curve) == left
            ended -= told(read_curve(path)) != left
            ended -= sorted(one.name for one in place.iterdir()) != ["run_metrics.json"]
        else:
            ended += 1
        shutil.rmtree(place, ignore_errors=True)
    return {"moments": MOMENTS, "wrong": wrong, "resumed": ended, "journals": journals}


def beside(folder: Path) -> dict[str, Any]:
    def work(pipe: int) -> None:
        with MetricsWriter("run", folder, flush_seconds=0) as metrics:
            for step in range(1, 801):
                metrics.log_step(step, 1 / step)
                if step == 1:
                    os.write(pipe, b".")

    process, pipe = child(work)
    os.read(pipe, 1)
    path, lengths, journals = folder / "run_metrics.json", [1], 0
    while lengths[-1] < 800:
        strict(path.read_text())
        journals += path.with_name("run_metrics.json.journal").exists()
        curve = read_curve(path)
        length = len(curve.steps)
        assert curve.steps.tolist() == list(range(1, length + 1))
        assert curve.step_losses.tolist() == [1 / step for step in range(1, length + 1)]
        lengths.append(length)
    os.waitpid(process, 0)
    return {"sorted": lengths == sorted(lengths), "seen": len(set(lengths)), "journals": journals}


if __name__ == "__main__":
    import warnings

    warnings.filterwarnings("ignore", "resume=|.*the last step in it is")
    sys.stdout.write(json.dumps({"kills": kills, "beside": beside}[sys.argv[1]](Path(sys.argv[2]))))
