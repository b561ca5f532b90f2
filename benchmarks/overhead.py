"""What recording and checking cost, as ratios to the plain training step, and in memory.

``python -m benchmarks.overhead`` measures plain, recording and checking steps in interleaved rounds and prints medians,
then the figures as one JSON object: ``record`` (``record_cold`` without the pages touched before, see ``warm``) and
``check`` on the GPT (checking as it streams, no memory budget, by rtol and atol), ``check_floors`` with the noise floors in
their place, ``floors`` that to ``check`` in the same round, ``check_equal`` with an identical candidate,
``check_all_fail`` where every floating site fails, ``check_kept`` within the memory budget, ``commit_s`` for the commit with
its fsync, which is in no ratio, ``noise_s`` for the floors of a recording and ``noise_runs``, ``record_memory_mb`` and
``check_memory_mb`` above the plain step's peak, in processes of their own, and ``tiny_record`` and ``tiny_check`` on 200 tiny
modules. ``--floors`` measures ``check`` and ``check_floors`` alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.workloads import GPT, Tiny, Workload
from pytest_parity.errors import ParityFailure
from pytest_parity.result import Comparison, Recorded
from pytest_parity.session.parity import Parity
from pytest_parity.settings import Mode, Settings

KINDS = ("batch", "weight", "activation", "gradient", "updated_weight")
TOLERANCES = {
    "*": (2e-3, 1e-5),
    "gradient/*": (1e-2, 1e-7),
    "updated_weight/*": (1e-2, 1e-8),
}
SLIGHTLY = 1 + 2e-7
WRONG = 1.5
BUDGET = 2 << 30
WARM = 600 << 20
DRAWS = 3


@dataclass(frozen=True)
class Way:
    """One way of running a step."""

    mode: Mode | None
    factor: float = 1.0
    memory: int = 0
    warm: bool = True
    floors: bool = False


NOISY = Way(Mode.RECORD, floors=True)
WAYS = {
    "plain": Way(None),
    "record": Way(Mode.RECORD),
    "record_cold": Way(Mode.RECORD, warm=False),
    "check": Way(Mode.CHECK, SLIGHTLY),
    "check_floors": Way(Mode.CHECK, SLIGHTLY, floors=True),
    "check_equal": Way(Mode.CHECK),
    "check_all_fail": Way(Mode.CHECK, WRONG),
    "check_kept": Way(Mode.CHECK, SLIGHTLY, BUDGET),
}


@dataclass
class Taken:
    """A run: seconds a step, seconds for the end, and what came out."""

    step: float
    end: float = 0.0
    result: Comparison | Recorded | None = None

    @property
    def whole(self) -> float:
        """Seconds with the end."""
        return self.step + self.end


def warm(root: Path) -> None:
    """Write and remove a file as large as a golden.

    A virtual machine gives pages that are free for two seconds back to its host, and writing to one that it must ask
    for again is up to ten times slower. That is the machine's cost, at random; every way of running a step begins warm.
    """
    block = bytes(4 << 20)
    with (root / "warm").open("wb", buffering=0) as file:
        for _ in range(WARM // len(block)):
            file.write(block)
    (root / "warm").unlink()


def run(work: Workload, way: Way, root: Path, case: str) -> Taken:
    """The workload's steps, one way, from the start."""
    work.restart(way.factor)
    if way.warm:
        warm(root)
    if way.mode is None:
        begin = time.perf_counter()
        for batch in work.batches:
            work.step(batch)
        return Taken((time.perf_counter() - begin) / len(work.batches))
    settings = Settings(
        mode=way.mode, case=case, root=root, out=root / "out", memory=way.memory, draws=DRAWS if way.floors else 0
    )
    parity = Parity(settings)
    begin = time.perf_counter()
    body(work, parity, floors=way.floors)
    step = (time.perf_counter() - begin) / len(work.batches)
    result: Comparison | Recorded | None
    begin = time.perf_counter()
    try:
        result = parity.finish(parity.repeating(lambda again: body(work, again)) if way.floors else None)
    except ParityFailure:
        result = parity.comparison()
        parity.abandon()
    return Taken(step, time.perf_counter() - begin, result)


def body(work: Workload, parity: Parity, *, floors: bool = False) -> None:
    """The test."""
    tolerances = None if floors else TOLERANCES
    with parity.watch(work.model, optimizer=work.optimizer, kinds=KINDS, tolerances=tolerances) as watch:
        for batch in watch.steps(work.batches):
            work.step(batch)


def confirm(name: str, taken: Taken) -> None:
    """Each way must have done what it stands for."""
    result = taken.result
    if not isinstance(result, Comparison):
        return
    floating = sum(count for kind, count in result.kinds.items() if kind != "batch")
    counts = result.counts
    wanted = {
        "check": ("close",),
        "check_floors": ("close",),
        "check_kept": ("close",),
        "check_equal": ("equal",),
        "check_all_fail": ("differs",),
    }
    reached = sum(counts.get(verdict, 0) for verdict in wanted[name])
    share = reached / max(1, floating)
    if share < 0.95:
        print(f"# {name}: only {reached} of {floating} sites are {wanted[name]}: {counts}", file=sys.stderr)
    if name != "check_all_fail" and not result.passed:
        first = result.failures[:3]
        print(f"# {name} failed: {[(delta.site, delta.verdict.value) for delta in first]}", file=sys.stderr)


def rounds(work: Workload, ways: dict[str, Way], count: int, case: str) -> dict[str, list[Taken]]:
    """Interleaved rounds: every way once in each, after one round that does not count."""
    taken: dict[str, list[Taken]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        taken["noise"].append(run(work, NOISY, root, case))
        for turn in range(count + 1):
            for name, way in ways.items():
                # what a check reads keeps its floors
                result = run(work, way, root, case if way.mode is Mode.CHECK else f"{case}_again")
                confirm(name, result)
                if turn:
                    taken[name].append(result)
    return taken


def memory(name: str, root: Path) -> float:
    """The peak of a fresh process that ran one way, in MB."""
    command = [sys.executable, "-m", "benchmarks.overhead", "--peak", name, "--root", str(root)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def peak(name: str, root: Path) -> float:
    """Run plain steps, then one way, in this process; its peak in MB."""
    work = Workload(GPT, 1)
    for way in (WAYS["plain"], WAYS["plain"], WAYS[name], WAYS[name]):
        run(work, way, root, "gpt" if way.mode is Mode.CHECK else "other")
    status = Path("/proc/self/status").read_text()  # not ru_maxrss, which begins with the parent's
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def memories(count: int) -> dict[str, float]:
    """Peaks above the plain step's, medians over processes."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        run(Workload(GPT, 1), WAYS["record"], root, "gpt")
        peaks = {name: median(memory(name, root) for _ in range(count)) for name in ("plain", "record", "check")}
    return {f"{name}_memory_mb": peaks[name] - peaks["plain"] for name in ("record", "check")}


def ratios(taken: dict[str, list[Taken]]) -> dict[str, float]:
    """Medians of the ratios to the same round's plain step."""
    plain = [one.step for one in taken["plain"]]
    return {
        name: median(one.step / base for one, base in zip(ways, plain, strict=True))
        for name, ways in taken.items()
        if name not in {"plain", "noise"}
    }


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--floors", action="store_true", help="only what checking by floors costs")
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak, options.root))
        return
    figures = floors(options.rounds) if options.floors else everything(options.rounds)
    for name, value in figures.items():
        print(f"{name:20} {value:10.3f}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds")
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def floors(count: int) -> dict[str, float]:
    """Checking by floors and by tolerances."""
    return of_floors(rounds(Workload(GPT, 1), {name: WAYS[name] for name in ("check", "check_floors")}, count, "gpt"))


def of_floors(taken: dict[str, list[Taken]]) -> dict[str, float]:
    """The figures of noise floors: those of whole checks, their ends too."""
    pairs = zip(taken["check_floors"], taken["check"], strict=True)
    noise = taken["noise"][0]
    return {
        "floors": median(one.whole / other.whole for one, other in pairs),
        "check_s": median(one.whole for one in taken["check"]),
        "noise_s": noise.end,
        "noise_runs": DRAWS + 1,
    }


def everything(count: int) -> dict[str, float]:
    """All figures."""
    figures = memories(3)
    gpt = rounds(Workload(GPT, 1), WAYS, count, "gpt")
    figures |= ratios(gpt) | of_floors(gpt)
    figures["commit_s"] = median(one.end for one in gpt["record"])
    figures["plain_s"] = median(one.step for one in gpt["plain"])
    recorded = gpt["record"][0].result
    assert isinstance(recorded, Recorded)
    figures |= {"sites": recorded.sites, "recorded_mb": recorded.size / 1e6}
    names = ("plain", "record", "check")
    tiny = rounds(Workload(Tiny, 20), {name: WAYS[name] for name in names}, count, "tiny")
    figures |= {f"tiny_{name}": ratio for name, ratio in ratios(tiny).items()}
    figures["tiny_plain_s"] = median(one.step for one in tiny["plain"])
    return figures


if __name__ == "__main__":
    main()
