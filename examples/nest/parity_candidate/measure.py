"""How far nest_ssl is from the golden, kind by kind: `python measure.py GOLDENS`; `NEST_THREADS` sets the threads.

`conftest.TOLERANCES` was chosen from this. Every site is compared at a tolerance of zero. Printed are, for each kind,
the largest difference, and the largest as a share of its tensor's largest element, with their sites; the two biases
whose gradient is zero but for rounding stand apart.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import workload
from nest_ssl import NEST_NAMES
from pretraining import pretrain

from pytest_parity import Comparison, Metrics, Parity, ParityFailure, Site
from pytest_parity.settings import Mode, Settings

ZERO_GRADIENT = ("self_attn.linear_k.bias", "conv.depthwise_conv.bias")


def measure(goldens: Path) -> Comparison:
    """Check the case nest/tiny at a tolerance of zero."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            mode=Mode.CHECK,
            case="nest/tiny",
            root=goldens,
            out=Path(directory, "out"),
            names=NEST_NAMES,
            tolerances={"*": (0.0, 0.0)},
        )
        parity = Parity(settings)
        with suppress(ParityFailure), parity.collect():
            pretrain(parity, workload.tiny(Path(directory)))
        found = parity.comparison()
        parity.abandon()
    assert found is not None
    return found


def row(site: str) -> str:
    """The row that a site is counted in."""
    parsed = Site.parse(site)
    leaf = f" {parsed.leaf}" if parsed.kind.value == "optimizer" else ""
    apart = " (zero but for rounding)" if parsed.path.endswith(ZERO_GRADIENT) else ""
    return f"{parsed.kind}{leaf}{apart}"


def share(metrics: Metrics) -> float:
    """The largest difference as a share of the tensor's largest element."""
    return metrics.max_abs / metrics.reference_max if metrics.reference_max else float("inf")


def main() -> None:
    """Print the table."""
    torch.set_num_threads(int(os.environ.get("NEST_THREADS", "1")))
    comparison = measure(Path(sys.argv[1]))
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}: {comparison.counts}")
    rows: dict[str, list[tuple[Metrics, str]]] = defaultdict(list)
    for delta in comparison.deltas:
        if delta.metrics is not None:
            rows[row(delta.site)].append((delta.metrics, f"{delta.site} step {delta.step}"))
    for name, found in sorted(rows.items()):
        furthest, far = max(found, key=lambda pair: pair[0].max_abs)
        worst, at = max(found, key=lambda pair: share(pair[0]))
        least = min(metrics.reference_max for metrics, _ in found)
        print(f"{name}: {len(found)} sites differ; largest elements from {least:.1e}")
        print(f"    by {furthest.max_abs:.1e} at most: {far}")
        print(f"    by {share(worst):.1e} of the largest element at most: {at}")


if __name__ == "__main__":
    main()
