"""How far nest_ssl is from the golden, kind by kind: `python measure.py GOLDENS`; `NEST_THREADS` sets the threads.

Every site is judged by next to nothing, so that what is not equal bit for bit is listed. Printed are, for each kind, the
largest norm and the largest gain of the difference in multiples of the golden's noise floor, with their sites.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import workload
from nest_ssl import NEST_NAMES
from pretraining import pretrain

from pytest_parity import Comparison, Delta, Parity, ParityFailure, Site
from pytest_parity.result import Noise
from pytest_parity.settings import Mode, Settings


def measure(goldens: Path) -> Comparison:
    """Check the case nest/tiny so that every site that is not equal is listed."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            mode=Mode.CHECK,
            case="nest/tiny",
            root=goldens,
            out=Path(directory, "out"),
            names=NEST_NAMES,
            tolerances={"*": {"factor": 1e-12}},
        )
        parity = Parity(settings)
        with suppress(ParityFailure), parity.collect():
            pretrain(parity, workload.tiny(Path(directory)))
        found = parity.comparison()
        parity.abandon()
    assert found is not None
    return found


def furthest(found: list[Delta], ratio: Callable[[Noise], float]) -> str:
    """The largest of one statistic, and where."""
    worst = max(found, key=lambda delta: ratio(delta.noise) if delta.noise else 0.0)
    return f"{ratio(worst.noise) if worst.noise else 0.0:.2f} floors, {worst.site} in step {worst.step}"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(int(os.environ.get("NEST_THREADS", "1")))
    comparison = measure(Path(sys.argv[1]))
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}: {comparison.counts}")
    kinds: dict[str, list[Delta]] = defaultdict(list)
    for delta in comparison.deltas:
        if delta.noise is not None:
            kinds[Site.parse(delta.site).kind.value].append(delta)
    for kind, found in kinds.items():
        print(f"{kind}: {len(found)} sites are not equal")
        print(f"    norm at most {furthest(found, lambda noise: noise.norm_ratio)}")
        print(f"    gain at most {furthest(found, lambda noise: noise.gain_ratio)}")


if __name__ == "__main__":
    main()
