"""What comparing two recordings costs: ``parity compare`` beside ``torch.testing.assert_close`` over the same files.

``python -m benchmarks.recordings`` writes two goldens of one training step of the GPT (500 MB each): equal ones, then ones
that differ by rounding everywhere. In interleaved rounds, each in a process of its own, it takes the time of comparing
them (opened, read, verified, compared, diagnosed), the time of loading the same files with safetensors and comparing
tensor by tensor with ``assert_close``, and what either needs of memory above an import of torch. It prints a table of
medians, and as its last line the figures as one JSON object; ``ratio`` is ours to theirs in the same round, ``cpu`` the
processor's time, which other work on the machine disturbs less, ``whole`` the processes with their imports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

CASES = ("equal", "rounding")
WAYS = ("torch", "parity", "assert_close")
RATIOS = ("ratio", "cpu_ratio")
ROUNDS = 7
SLIGHTLY = 1 + 2e-7


def write(root: Path) -> None:
    """A step of the GPT as the golden ``reference``, and twice more: as it is, and moved by rounding."""
    from benchmarks.workloads import GPT, Workload  # noqa: PLC0415
    from pytest_parity.session.parity import Parity  # noqa: PLC0415
    from pytest_parity.settings import Mode, Settings  # noqa: PLC0415

    work = Workload(GPT, 1)
    work.restart()
    parity = Parity(Settings(mode=Mode.RECORD, case="reference", root=root, out=root / "out", draws=0))
    with parity.watch(work.model, optimizer=work.optimizer) as watch:
        for batch in watch.steps(work.batches):
            work.step(batch)
    parity.finish()
    rewrite(root, "equal", 1.0)
    rewrite(root, "rounding", SLIGHTLY)


def rewrite(root: Path, case: str, factor: float) -> None:
    """The golden ``reference`` once more, its floating tensors multiplied."""
    from pytest_parity.golden import Golden, GoldenWriter  # noqa: PLC0415

    writer = GoldenWriter(root, case)
    with Golden.find(root, "reference") as golden:
        for step in golden.steps:
            for entry in golden.entries(step):
                value = golden.tensor(entry)
                writer.write(step, entry.order, entry.site, value * factor if value.is_floating_point() else value)
            writer.finish_step(step, golden.manifest["steps"][str(step)])
        plain = {name: golden.manifest[name] for name in ("provenance", "settings", "structure", "history")}
        writer.commit(**plain)


def ours(reference: Path, candidate: Path) -> dict[str, int]:
    """Compare two goldens; the counts."""
    from pytest_parity import Golden  # noqa: PLC0415
    from pytest_parity.session.goldens import survey_goldens  # noqa: PLC0415

    with Golden.open(reference) as one, Golden.open(candidate) as other:
        return survey_goldens(one, other).comparison.counts


def theirs(reference: Path, candidate: Path) -> dict[str, int]:
    """Compare the same files' tensors as torch does."""
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    count = 0
    for path in sorted(reference.rglob("*.safetensors")):
        one, other = load_file(path), load_file(candidate / path.relative_to(reference))
        for name, expected in one.items():
            torch.testing.assert_close(other[name], expected)
            count += 1
    return {"close": count}


def child(way: str, reference: Path, candidate: Path) -> None:
    """One way, once: seconds without the imports, the peak of memory, and what was found."""
    import torch  # noqa: F401, PLC0415

    import pytest_parity.session.goldens  # noqa: F401, PLC0415

    begin, busy = time.perf_counter(), time.process_time()
    found = {"parity": ours, "assert_close": theirs}[way](reference, candidate) if way != "torch" else {}
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    peak = peak_mb()
    print(json.dumps({"seconds": seconds, "cpu": busy, "peak_mb": peak, "found": found}))


def peak_mb() -> float:
    """The most memory that this process has had; what ``getrusage`` says may be its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:"))


def measured(way: str, root: Path, case: str) -> dict[str, float]:
    """A process."""
    command = [sys.executable, "-m", "benchmarks.recordings", "--child", way, str(root / "reference"), str(root / case)]
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    whole = time.perf_counter() - begin
    told = json.loads(done.stdout.splitlines()[-1])
    confirm(way, case, told["found"])
    return {"seconds": told["seconds"], "cpu": told["cpu"], "whole": whole, "peak_mb": told["peak_mb"]}


def confirm(way: str, case: str, found: dict[str, int]) -> None:
    """Ours must have found what there is to find."""
    if way == "parity":
        wanted = {"equal"} if case == "equal" else {"equal", "close", "vacuous"}
        assert set(found) <= wanted, found
        assert case == "equal" or found["close"] > found["equal"], found


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description="What comparing two recordings costs.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--root", type=Path, help="keep the goldens there, and use them if they are there")
    parser.add_argument("--child", nargs=3, metavar=("WAY", "REFERENCE", "CANDIDATE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], Path(args.child[1]), Path(args.child[2]))
        return
    with tempfile.TemporaryDirectory() as directory:
        root = args.root or Path(directory)
        if not (root / "reference").exists():
            write(root)
        report(root, args.rounds)


def report(root: Path, rounds: int) -> None:
    """All ways in interleaved rounds."""
    files = (root / "reference").rglob("*.safetensors")
    figures = {"golden_mb": sum(path.stat().st_size for path in files) / 1e6}
    print(f"{'':24}{'seconds':>8}{'ratio':>7}{'CPU':>8}{'ratio':>7}{'whole':>7}{'MB':>6}")
    for case in CASES:
        taken: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                taken[way].append(measured(way, root, case))
        figures |= {f"{case}_{name}": value for name, value in summed(taken).items()}
        for way in WAYS[1:]:
            one = {name: figures[f"{case}_{way}_{name}"] for name in ("seconds", "cpu", "whole", "mb_above_torch")}
            ratios = [f"{figures[f'{case}_{name}']:7.2f}" if way == "parity" else " " * 7 for name in RATIOS]
            print(
                f"{case:10}{way:14}{one['seconds']:8.3f}{ratios[0]}{one['cpu']:8.3f}{ratios[1]}{one['whole']:7.2f}"
                f"{one['mb_above_torch']:6.0f}"
            )
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def summed(taken: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Medians of each way, and of the rounds' ratios."""
    middle = {way: {name: median(one[name] for one in found) for name in found[0]} for way, found in taken.items()}
    figures: dict[str, float] = {}
    for way in WAYS[1:]:
        figures |= {f"{way}_{name}": middle[way][name] for name in ("seconds", "cpu", "whole")}
        figures[f"{way}_mb_above_torch"] = middle[way]["peak_mb"] - middle["torch"]["peak_mb"]
    for name, what in zip(RATIOS, ("seconds", "cpu"), strict=True):
        pairs = zip(taken["parity"], taken["assert_close"], strict=True)
        figures[name] = median(ours[what] / theirs[what] for ours, theirs in pairs)
    return figures


if __name__ == "__main__":
    main()
