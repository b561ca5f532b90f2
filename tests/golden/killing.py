"""Records over a golden in forked children, kills each at another moment, and looks at what is left.

Run as ``python killing.py ROOT swap|renames``; the last line is JSON, one item a kill.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pytest_parity.golden import Golden, GoldenWriter, exchange
from pytest_parity.site import Kind, Site

CASE = "nest/tiny"
TURNING = ("exchange", "rename", "done")
torch.set_num_threads(1)  # a thread pool does not survive a fork
moments: list[str] = []
kill_at = -1


def moment(name: str) -> None:
    moments.append(name)
    if len(moments) - 1 == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)


def watched(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        moment(f"before {name}")
        result = function(*arguments, **options)
        moment(f"after {name}")
        return result

    return wrapper


def record(root: Path, value: float) -> None:
    writer = GoldenWriter(root, CASE)
    for step in range(3):
        for order in range(4):
            writer.write(
                step, order, Site(Kind.ACTIVATION, f"m{order}", 0), torch.full((80_000,), value + step + order)
            )
            moment("written")
        writer.write(step, 9, Site(Kind.LOSS, "loss"), torch.tensor(value))
        writer.finish_step(step, {"loss": value})
    moment("commit")
    writer.commit(provenance={}, settings={}, structure={}, history=[])
    moment("done")


def fork(action: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return child


def value_now(root: Path) -> float:
    with Golden.find(root, CASE) as golden:
        golden.verify()
        return float(golden.manifest["steps"]["0"]["loss"])


def try_kill(root: Path, number: int, delay: float, place: str) -> dict[str, Any]:
    """Kill a recording of 2.0 over a golden of 1.0 at a moment, or after a time; then record 3.0."""
    global kill_at  # noqa: PLW0603 - read in the child
    shutil.rmtree(root, ignore_errors=True)
    record(root, 1.0)
    moments.clear()
    kill_at = number
    child = fork(lambda: record(root, 2.0))
    if delay:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    kill_at = -1
    left = value_now(root)
    record(root, 3.0)
    litter = sorted(path.name for path in (root / "nest").iterdir())
    killed = os.WIFSIGNALED(status)
    return {"place": place, "killed": killed, "left": left, "after": value_now(root), "litter": litter}


def main(root: Path, way: str) -> None:
    if way == "renames":
        exchange.swap = lambda _one, _other: False
    else:
        exchange.swap = watched(exchange.swap, "exchange")
    os.pwrite, os.fsync, shutil.rmtree = watched(os.pwrite, "pwrite"), watched(os.fsync, "fsync"), shutil.rmtree
    os.unlink, os.rmdir = watched(os.unlink, "unlink"), watched(os.rmdir, "rmdir")
    Path.rename = watched(Path.rename, "rename")  # type: ignore[method-assign]
    record(root, 1.0)
    moments.clear()
    begun = time.perf_counter()
    record(root, 2.0)
    seconds = time.perf_counter() - begun
    places = list(moments)
    start = places.index("commit")
    fractions = [(index + 0.5) / 20 for index in range(20 if way == "swap" else 5)]
    results = [try_kill(root, -1, seconds * fraction, "by time") for fraction in fractions]
    inside = [start + index for index, name in enumerate(places[start:]) if index % 6 == 0 or name.endswith(TURNING)]
    before = [start * index // 5 for index in range(5)]
    results += [try_kill(root, number, 0, places[number]) for number in before]
    results += [try_kill(root, number, 0, f"commit: {places[number]}") for number in inside]
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
