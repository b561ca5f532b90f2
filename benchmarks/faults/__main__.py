"""``python -m benchmarks.faults``: seeded faults, caught or not, their modules named or not, their hints right or not.

Weights, data, faults, their places and sizes, the rewrites that they are put into and pairs of them are drawn by
``--seed``. Seeds 0 to 9, 2026 and 2611 were for building; the tables of docs/faults.md are seed 4099's. The last line is one JSON
object. The exit status is 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import warnings
from dataclasses import dataclass

import torch

from benchmarks.faults import variants
from benchmarks.faults.drawing import drawn, everything, pairs
from benchmarks.faults.label import Injection
from benchmarks.faults.runs import Isolating
from benchmarks.faults.score import found, hints_of, said
from benchmarks.faults.survey import Survey
from benchmarks.faults.table import Attempt, Benign, Pair, Results, fault_tables, missed, summary
from benchmarks.faults.workloads import ONE, WORKLOADS, Trained, Trial
from benchmarks.verdicts.rule import Rule
from benchmarks.verdicts.workloads import Way
from pytest_parity.result import Comparison

PAIRS = 10
"""Of each workload."""
PARTS = ("faults", "pairs", "benign")


@dataclass(frozen=True, slots=True)
class Both:
    """Two faults as one."""

    injections: tuple[Injection, Injection]
    path: str = ""

    def put(self, candidate: Trained) -> None:
        """Put both into a candidate."""
        for one in self.injections:
            one.put(candidate)


class Examination:
    """One workload."""

    def __init__(self, name: str, options: argparse.Namespace, results: Results) -> None:
        self.name = name
        self._options = options
        self._results = results
        self._benches: dict[bool, Isolating] = {}
        self._rule: Rule | None = None
        self.case = Trial(WORKLOADS[name], "float32", options.seed)
        self.survey = Survey.of(self.case)
        self.leaves = [call.path for call in self.survey.calls.values() if call.leaf]
        self.all = [one for one in everything(self.survey) if not options.fault or one.name in options.fault]

    def _rng(self, part: str) -> random.Random:
        return random.Random(f"{self._options.seed}|{self.name}|{part}")

    def bench(self, *, dropout: bool = True) -> Isolating:
        """The case recorded, with dropout or without."""
        if dropout not in self._benches:
            self._benches[dropout] = Isolating(Trial(WORKLOADS[self.name], "float32", self._options.seed, dropout))
            self._benches[dropout].record()
        return self._benches[dropout]

    def faults(self) -> None:
        """Drawn faults, half of them in a rewrite."""
        rng = self._rng("faults")
        for fault in drawn(self.all, rng)[: self._options.limit]:
            way = self._rewritten(rng)
            comparison = self.bench().check(way, fault)
            attempt = Attempt(
                self.name, way.name, fault, said(comparison, fault, self.leaves), *self._shown(comparison, fault)
            )
            self._results.attempts.append(attempt)
            self._tell(attempt, comparison)

    def _rewritten(self, rng: random.Random) -> Way:
        return variants.combined(variants.drawn(self.name, rng, rng.choice((0, 1))))

    def _shown(self, comparison: Comparison, fault: Injection) -> tuple[float | None, bool]:
        """Of what passed, what the rule says."""
        if not comparison.passed:
            return None, False
        if fault.evident:
            return float("inf"), False
        if self._rule is None:
            self._rule = Rule(self.case, self.bench().recorded, ONE)
        shown = self._rule.shown(fault)
        return shown.ratio, not shown.visible

    def _tell(self, attempt: Attempt, comparison: Comparison) -> None:
        if self._options.verbose:
            one, label = attempt.said, attempt.injection.label
            place = f"{one.named} {one.between}".strip() or ("excepted" if attempt.excepted else "passed")
            cause = f"{label.cause} | {one.hinting}: {', '.join(str(hint[1]) for hint in one.hints)}"
            print(f"{self.name}: {attempt.injection} | {attempt.variant} | {one.naming}: {place} | {cause}")
            if self._options.verbose > 1:
                for text in listed(comparison):
                    print(f"    {text}")

    def pairs(self) -> None:
        """Drawn pairs."""
        rng, count = self._rng("pairs"), min(PAIRS, self._options.limit or PAIRS)
        for two in pairs(self.all, rng, count):
            comparison = self.bench().check(self._rewritten(rng), Both(two))
            ours = (found(comparison, two[0]), found(comparison, two[1]))
            self._results.pairs.append(Pair(self.name, two, ours, tuple(listed(comparison))))
            if self._options.verbose:
                print(f"{self.name}: {two[0]} + {two[1]} | {ours}")

    def benign(self) -> None:
        """Every variant alone, isolated although it passes."""
        for one in variants.of(self.name)[: self._options.limit]:
            comparison = self.bench(dropout=not one.plain).check(variants.combined([one]))
            self._results.benign.append(Benign(self.name, one.name, "; ".join(_alarm(comparison))))
            if self._options.verbose:
                print(f"{self.name}: {one.name} | {self._results.benign[-1].alarm or 'nothing said'}")


def listed(comparison: Comparison) -> list[str]:
    """What isolation lists, a line each."""
    faulty = comparison.isolation.faulty if comparison.isolation else ()
    refused = [comparison.isolation.refused] if comparison.isolation and comparison.isolation.refused else []
    return refused + [
        f"{one.part} {one.module} ({one.after or '-'} > {one.to or '-'}) at {one.site} {one.floors:.3g} floors"
        + "".join(f" [{hint.cause}: {hint.text}]" for hint in one.hints)
        for one in faulty
    ]


def _alarm(comparison: Comparison) -> list[str]:
    said_of_it = [] if comparison.passed else [f"failed at {', '.join(one.site for one in comparison.failures[:3])}"]
    return said_of_it + listed(comparison) + [f"{module}: {text}" for module, _, text in hints_of(comparison)]


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=4099)
    parser.add_argument("--workload", action="append", choices=list(WORKLOADS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--limit", type=int, help="at most so many faults, pairs and variants of each workload")
    parser.add_argument("--fault", action="append", help="only faults of this name")
    parser.add_argument(
        "--verbose", "-v", action="count", default=0, help="a line for each; twice: what isolation lists"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    began, results = time.perf_counter(), Results()
    for name in options.workload or WORKLOADS:
        since = time.perf_counter()
        one = Examination(name, options, results)
        for part in options.parts:
            getattr(one, part)()
        print(f"# {name}: {time.perf_counter() - since:.0f} s", file=sys.stderr)
    fault_tables(results)
    figures = summary(results, time.perf_counter() - began)
    for bound in missed(figures):
        print(f"\nmissed: {bound}")
    print(json.dumps(figures))
    return 1 if missed(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
