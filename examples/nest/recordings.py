"""Is a fresh recording of NeMo the committed one? `python -m examples.nest.recordings COMMITTED FRESH`.

Bit for bit where the machine allows it, else within tolerance; what is printed says which. Exit status 1 if neither.

A recording trains freely: its second step begins where its first one ended. Where a gradient is zero but for rounding,
Adam turns that rounding into a full step, so from the second step on two correct recordings of two machines are apart
by as much as they learned (`DRIFT`). NeMo itself is checked without that drift, each step from the committed start, by
its own test without `--parity-record`: `pytest examples/nest/parity_reference --parity-ref golden`.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import sys
from pathlib import Path

from pytest_parity import Golden, Verdict, compare_goldens
from pytest_parity.contract.environment import differences
from pytest_parity.golden.cases import cases
from pytest_parity.golden.manifest import MANIFEST
from pytest_parity.report import failure_text, summary_line

DRIFT = (0.0, 1e-2)
"""Twice the worst that two threads, AVX2 and no vector instructions came to in three steps: 4.5e-3."""

RECORDED = {
    # Kind or pattern: (rtol, atol). The noise floors are those of single steps, each from the golden's start, and two
    # recordings are not. So these are numbers: a multiple of the worst that nest_ssl came to when only the order of its
    # sums changed (two threads, AVX2, no vector instructions, no oneDNN).
    "batch": (0.0, 1e-6),
    "weight": DRIFT,
    "updated_weight": DRIFT,
    "input": DRIFT,
    "activation": DRIFT,
    # 1.9e-6, log-probabilities as large as 7.4.
    "output": (0.0, 2e-5),
    # 9.5e-7 of 5.4: two units in the last place.
    "loss": (2e-6, 0.0),
    # 9.5e-7, where the largest element of a gradient is 6e-4 or more; the two biases without one stay rounding.
    "gradient": (1e-5, 5e-6),
    # exp_avg is a tenth of the gradient, exp_avg_sq its square; steps are counted.
    "optimizer": (1e-5, 5e-7),
    "optimizer/*/exp_avg_sq": (1e-3, 2e-10),
    "optimizer/*/step": (0.0, 0.0),
}


def files(root: Path) -> set[Path]:
    """The files under a directory, by their path in it."""
    return {path.relative_to(root) for path in root.rglob("*") if path.is_file()}


def unequal(committed: Path, fresh: Path) -> list[Path]:
    """The files that only one of the two has, and those whose bytes differ; a manifest's history may."""
    ours, theirs = files(committed), files(fresh)
    _, differing, unreadable = filecmp.cmpfiles(committed, fresh, ours & theirs, shallow=False)
    others = [Path(name) for name in differing if not same_but_history(committed / name, fresh / name)]
    return sorted((ours ^ theirs) | {*others, *map(Path, unreadable)})


def same_but_history(committed: Path, fresh: Path) -> bool:
    """Whether two files are manifests that say the same, but for what they replaced; the digest is the manifest's own."""
    if committed.name != MANIFEST:
        return False
    ours, theirs = (json.loads(path.read_text(encoding="utf-8")) for path in (committed, fresh))
    for key in ("history", "digest"):
        ours.pop(key, None)
        theirs.pop(key, None)
    return bool(ours == theirs)


def compare(committed: Golden, fresh: Golden) -> tuple[bool, str]:
    """Print how one case compares; returns whether it is equal bit for bit, and what is wrong with it."""
    recorded = [golden.manifest["provenance"].get("environment", {}) for golden in (committed, fresh)]
    for name, (before, now) in differences(*recorded).items():
        print(f"{committed.case}: {name} was {before}, here {now}")
    if committed.manifest["structure"] != fresh.manifest["structure"]:
        return False, f"{committed.case}: the structures differ"
    if not any(committed.entries(step) for step in committed.steps):
        print(f"{committed.case}: the structure alone, and it is equal")
        return True, ""
    comparison = compare_goldens(committed, fresh, tolerances=RECORDED)
    print(summary_line(comparison))
    if not comparison.passed or comparison.compared != comparison.expected:
        return False, failure_text(comparison)
    return comparison.counts == {Verdict.EQUAL.value: comparison.expected}, ""


def main() -> int:
    """Compare two directories of goldens."""
    parser = argparse.ArgumentParser(description="Compare a fresh recording of NeMo with the committed one.")
    parser.add_argument("committed", type=Path)
    parser.add_argument("fresh", type=Path)
    arguments = parser.parse_args()
    committed, fresh = arguments.committed / "nest", arguments.fresh / "nest"
    others = unequal(committed, fresh)
    names = cases(committed)
    if not names or cases(fresh) != names:
        print(f"the cases in {committed} are {names or 'none'}, and in {fresh} {cases(fresh) or 'none'}")
        return 1
    if not others:
        print(f"bit for bit: the {len(files(committed))} files of {', '.join(names)} are the committed ones")
        return 0
    print(f"{len(others)} files differ, the first is {others[0]}")
    found = []
    for name in names:
        with Golden.find(committed, name) as one, Golden.find(fresh, name) as other:
            found.append(compare(one, other))
    problems = [problem for _, problem in found if problem]
    if problems:
        print("\n".join(problems))
        return 1
    exact = all(equal for equal, _ in found)
    print("every value bit for bit" if exact else "within tolerance, not bit for bit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
