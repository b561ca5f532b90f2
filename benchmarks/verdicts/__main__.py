"""``python -m benchmarks.verdicts``: what passes that must pass, and what is caught that must be.

Weights, data, variants, faults, their places and sizes are drawn by ``--seed``. Seeds 0 to 9 were for building;
the tables of docs/verdicts.md are seed 2026's. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from benchmarks.verdicts import faults, variants
from benchmarks.verdicts.faults import Fault
from benchmarks.verdicts.rule import Rule
from benchmarks.verdicts.runs import Bench
from benchmarks.verdicts.table import Attempt, Passing, Reach, benign_tables, fault_tables, ratio_tables, reach_table
from benchmarks.verdicts.workloads import PRECISIONS, THREADS, WORKLOADS, Case, Way

FACTORS = (
    2.0,
    1.5,
    1.3,
    1.2,
    1.1,
    1.05,
    1.03,
    1.02,
    1.01,
    1.003,
    1.001,
    1.0003,
    1.0001,
    1.00003,
    1.00001,
    1.000003,
    1.000001,
    1.0000003,
)
SWEPT = ("output_scaled", "weight_scaled")
MODULES = 3
"""Swept in each case."""


@dataclass
class Counts:
    """How many of what."""

    combined: int = 3
    faults: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRECISIONS, 8) | {"float32": 20})
    compiled: bool = True
    sweep: bool = True


@dataclass
class Results:
    """Everything that was seen."""

    passing: list[Passing] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    reaches: list[Reach] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Examination:
    """One workload in one precision."""

    def __init__(self, case: Case, rng: random.Random, counts: Counts, results: Results) -> None:
        self.case = case
        self._rng = rng
        self._counts = counts
        self._results = results
        self._benches: dict[bool, Bench] = {}

    def bench(self, *, dropout: bool = True) -> Bench:
        """The case recorded, with dropout or without."""
        if dropout not in self._benches:
            bench = Bench(replace(self.case, dropout=dropout))
            bench.record()
            self._benches[dropout] = bench
            self._results.notes += [f"{bench.case.name}: {note}" for note in bench.notes]
        return self._benches[dropout]

    def benign(self) -> None:
        """Every variant alone, and some together."""
        for chosen in self._chosen():
            way = variants.combined(chosen)
            bench = self.bench(dropout=not any(one.plain for one in chosen))
            self._results.passing.append(Passing(bench.case, way.name, bench.seen(way)))

    def _chosen(self) -> Iterator[list[variants.Variant]]:
        for one in variants.of(self.case.workload.name):
            if self._counts.compiled or not one.around.get("compiled"):
                yield [one]
        for _ in range(self._counts.combined):
            yield variants.drawn(self.case.workload.name, self._rng, self._rng.choice((2, 3)))

    def faulty(self) -> None:
        """Drawn faults, three quarters of them in rewrites."""
        bench = self.bench()
        rule = Rule(self.case, bench.recorded)
        for fault in faults.drawn(self.case, self._rng, self._counts.faults[self.case.precision]):
            way = self._rewrite(self._rng.choice((0, 1, 1, 2)))
            seen = bench.seen(way, fault)
            self._results.attempts.append(Attempt(self.case, way.name, fault, seen, rule.shown(fault)))

    def _rewrite(self, changes: int) -> Way:
        return variants.combined(variants.drawn(self.case.workload.name, self._rng, changes))

    def sweep(self) -> None:
        """The smallest factor that is caught, at some modules."""
        bench, there = self.bench(), faults.places(self.case)
        rule = Rule(self.case, bench.recorded)
        for kind in SWEPT:
            found = there[kind]
            chosen = self._rng.sample(found, min(MODULES, len(found)))
            caught, shown = [], []
            for one in chosen:
                way = self._rewrite(1)
                caught.append(_smallest(one, lambda fault, way=way: not bench.check(way, fault).passed))
                shown.append(_smallest(one, lambda fault: rule.shown(fault).visible))
            self._results.reaches.append(Reach(self.case, kind, tuple(caught), tuple(shown)))


def _smallest(fault: Fault, sees: object) -> float:
    """Down from the largest factor, the last that is seen; infinity where none is."""
    smallest = float("inf")
    for factor in FACTORS:
        if not sees(replace(fault, size=factor)):  # type: ignore[operator]
            break
        smallest = factor
    return smallest


def summary(results: Results, seconds: float) -> dict[str, object]:
    """The last line."""
    single = [one for one in results.attempts if one.case.precision == "float32"]
    other = [one for one in results.attempts if one.case.precision != "float32"]
    figures: dict[str, object] = {
        "benign": len(results.passing),
        "trivial": sum(one.seen.differing == 0 for one in results.passing),
        "false_alarms": sum(not one.seen.passed for one in results.passing),
        "assert_close_false_alarms": sum(not one.seen.close for one in results.passing),
        "cosine_false_alarms": sum(not one.seen.cosine for one in results.passing),
        "faults": len(single),
        "caught": sum(one.caught for one in single),
        "excepted": sum(one.excepted for one in single),
        "blamed": sum(one.blamed for one in single),
        "assert_close_caught": sum(not one.seen.close for one in single),
        "cosine_caught": sum(not one.seen.cosine for one in single),
        "faults_16_bit": len(other),
        "caught_16_bit": sum(one.caught for one in other),
        "excepted_16_bit": sum(one.excepted for one in other),
    }
    for precision in dict.fromkeys(one.case.precision for one in results.reaches):
        sizes = [size for one in results.reaches if one.case.precision == precision for size in one.caught]
        figures[f"smallest_caught_everywhere_{precision}"] = max(sizes)
    return {**figures, "seconds": round(seconds)}


def examined(options: argparse.Namespace) -> Results:
    """Run everything."""
    results = Results()
    counts = Counts(compiled=options.compile, sweep=not options.quick)
    if options.quick:
        counts = replace(counts, combined=1, faults=dict.fromkeys(PRECISIONS, 2) | {"float32": 5})
    for precision in options.precision:
        for name in options.only or WORKLOADS:
            rng = random.Random(f"{options.seed}|{precision}|{name}")
            began = time.perf_counter()
            one = Examination(Case(WORKLOADS[name], precision, options.seed), rng, counts, results)
            for part, run in (("benign", one.benign), ("faults", one.faulty), ("sweep", one.sweep)):
                if part in options.parts and (part != "sweep" or counts.sweep):
                    run()
            print(f"# {name} {precision}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return results


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--quick", action="store_true", help="fewer of everything, no sweep")
    parser.add_argument("--only", action="append", choices=list(WORKLOADS))
    parser.add_argument("--precision", nargs="+", choices=list(PRECISIONS), default=["float32", "bfloat16"])
    parser.add_argument("--parts", nargs="+", default=["benign", "faults", "sweep"])
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(THREADS)
    began = time.perf_counter()
    results = examined(options)
    print("\n".join(results.notes))
    if results.passing:
        benign_tables(results.passing)
        ratio_tables(results.passing)
    if results.attempts:
        fault_tables(results.attempts)
    if results.reaches:
        reach_table(results.reaches)
    print(json.dumps(summary(results, time.perf_counter() - began)))


main()
