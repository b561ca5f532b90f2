"""What ``parity curves`` takes for a training run of millions of steps: seconds and memory, and that they are within bounds.

``python -m benchmarks.curves_large`` writes a metrics file of 5 million steps (a falling loss with noise, a spike, a NaN and
a learning rate), runs ``parity curves`` on it in a process of its own, the interpreter's start, every picture and the
interactive page included, and prints the best and the worst of ``--rounds`` runs, then the figures as one JSON object:
``seconds``, ``processor_s`` (what of it is work) and ``memory_mb`` (the peak of resident memory), each the worst, ``file_mb``, ``read_s`` for reading alone and ``summary_s``
for the table alone. Exit status 1: a bound is broken, 10 s and 1 GB; ``--steps`` makes another size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pytest_parity.curves.curve import Curve, Series
from pytest_parity.curves.files import write_curve

STEPS = 5_000_000
SECONDS, MEMORY = 10.0, 1000.0
PICTURES = ["loss_per_epoch.png", "loss_per_step.png", "loss_smoothed.png"]


def curve(steps: int) -> Curve:
    """A run as a long pretraining logs it."""
    generator = np.random.default_rng(0)
    numbers = np.arange(1, steps + 1)
    losses = 2.2 + 8.6 * np.exp(-numbers / (steps / 20)) + generator.normal(0, 0.12, steps)
    losses[steps // 3] = 1e9
    losses[steps // 2] = np.nan
    epochs = np.arange(1, 6)
    parts = np.array_split(losses, len(epochs))
    every = numbers[::100]
    return Curve(
        "mdlm_long",
        "MDLM",
        "2026-11-01T00:00:00",
        "2026-11-22T00:00:00",
        steps=numbers,
        step_losses=losses,
        epochs=epochs,
        epoch_losses=np.array([float(np.nanmedian(part)) for part in parts]),
        series={"learning_rate": Series(every, 1e-3 * np.minimum(every / (steps / 50), 1.0))},
        unit="nats/token",
    )


def measured(words: list[str]) -> tuple[float, float, float]:
    """Seconds by the clock and of processors, and megabytes at the peak, of a process."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        sys.exit(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> int:
    """Measure, print, and compare with the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        path = write_curve(curve(args.steps), place)
        command = ["-m", "pytest_parity.cli", "curves", str(path)]
        plots = place / "plots"
        rounds = [measured([*command, "--output-dir", str(plots)]) for _ in range(args.rounds)]
        written = sorted(one.name for one in plots.iterdir())
        if written != sorted([*PICTURES, "curves.html"]):
            sys.exit(f"it wrote {', '.join(written)}")
        reading = f"from pytest_parity.curves.reading import read_curve; read_curve({str(path)!r})"
        figures = {
            "steps": args.steps,
            "file_mb": round(path.stat().st_size / 1e6, 1),
            "seconds": round(max(one[0] for one in rounds), 2),
            "processor_s": round(max(one[1] for one in rounds), 2),
            "memory_mb": round(max(one[2] for one in rounds), 1),
            "read_s": round(measured(["-c", reading])[0], 2),
            "summary_s": round(measured([*command, "--summary"])[0], 2),
        }
    best = min(one[0] for one in rounds)
    print(f"parity curves, {args.steps:,} steps, a file of {figures['file_mb']:.0f} MB, {args.rounds} rounds")
    print(f"  pictures and page   {best:5.2f} to {figures['seconds']:5.2f} s   bound {SECONDS:g} s")
    print(f"    of processors     {figures['processor_s']:5.2f} s")
    print(f"  peak of memory      {figures['memory_mb']:5.0f} MB           bound {MEMORY:g} MB")
    print(f"  table alone         {figures['summary_s']:5.2f} s")
    print(f"  reading alone       {figures['read_s']:5.2f} s")
    print(json.dumps(figures))
    return int(figures["seconds"] > SECONDS or figures["memory_mb"] > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
