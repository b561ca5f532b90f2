"""Reruns: what recorded curves are made of, and reruns that change nothing that matters; all trained in two processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from typing import Any

from benchmarks.curves.damages import MISTRAINED
from benchmarks.curves.training import Run, trained
from pytest_parity.curves.curve import Curve

__all__ = ["Regime", "regimes"]

SEEDS, DRAWS = 8, 4
"""Recorded curves."""
OTHER_SEEDS, OTHER_DRAWS = 20, 5
"""Reruns that are to pass."""
RATES = {"calm": 2e-3, "chaotic": 2e-2}
"""Learning rates: draws of the first stay together to the last digits, those of the second part until they are as far from
one another as runs with the same batches can be."""
INSTRUCTIONS = ("default", "avx2")
REWRITES: dict[str, dict[str, Any]] = {
    "unchanged": {},
    "2 threads": {"threads": 2},
    "fused attention (SDPA)": {"attention": "sdpa"},
    "attention by einsum": {"attention": "einsum"},
    "Q, K and V apart": {"fused_qkv": False},
    "LayerNorm by hand": {"norm": "hand"},
    "GELU by formula": {"gelu": "formula"},
    "loss by logsumexp": {"loss": "logsumexp"},
    "loss averaged by rows": {"loss": "by rows"},
    "transposed products": {"product": "transposed"},
    "foreach optimizer": {"optimizer": "foreach"},
    "fused optimizer": {"optimizer": "fused"},
    "rows of a batch reversed": {"rows": "reversed"},
    "checkpointing": {"checkpointed": True},
}


@dataclass
class Regime:
    """Recorded curves and what is held against them."""

    name: str
    origin: str
    recorded: list[Curve]
    fresh: Curve
    """One more of their kind, which is not among them."""
    kind: list[Curve]
    """All of their kind, recorded or not: what the rule may look at."""
    benign: dict[str, Curve]
    mistrained: dict[str, list[Curve]] = field(default_factory=dict)
    """By damage: the fresh run and the first recorded one, trained otherwise."""


def _plan(name: str, seed: int) -> tuple[str, list[Run], Run, dict[str, Run]]:
    """Recorded, fresh and benign runs."""
    first = 1000 * seed
    if name == "seeds":
        runs = [Run(first + number) for number in range(SEEDS + OTHER_SEEDS)]
        fresh = runs[SEEDS]
        benign = {f"seed {one.seed}": one for one in runs[SEEDS:]}
        benign |= {
            f"seed {fresh.seed}, {text}": replace(fresh, **change) for text, change in REWRITES.items() if change
        }
        return "seeds", runs[:SEEDS], fresh, benign
    base = Run(first, rate=RATES[name])
    draws = [replace(base, ulp=first + number) for number in range(DRAWS + OTHER_DRAWS)]
    benign = {f"draw {number + 1}": one for number, one in enumerate(draws[DRAWS:])}
    benign |= {text: replace(base, **change) for text, change in REWRITES.items()}
    return "draws", draws[:DRAWS], draws[DRAWS], benign


def regimes(names: Iterable[str], seed: int) -> Iterator[Regime]:
    """Each, trained."""
    plans = {name: _plan(name, seed) for name in names}
    wanted: dict[Run, Curve] = {}
    for name, (origin, recorded, fresh, benign) in plans.items():
        runs = [*recorded, fresh, *benign.values(), *_otherwise(origin, recorded, fresh)]
        wanted |= _trained([one for one in dict.fromkeys(runs) if one not in wanted])
        regime = Regime(
            name,
            origin,
            [wanted[run] for run in recorded],
            wanted[fresh],
            [wanted[run] for run in wanted if _alike(run, recorded[0], origin)],
            {text: wanted[run] for text, run in benign.items()},
        )
        for text in INSTRUCTIONS:
            regime.benign[f"{text} instructions"] = _under(
                text, fresh if origin == "seeds" else replace(fresh, ulp=None)
            )
        for one in MISTRAINED:
            if origin == "draws" or one.seeds:
                regime.mistrained[one.name] = [wanted[one.put(run)] for run in (fresh, recorded[0])]
        yield regime


def _alike(run: Run, recorded: Run, origin: str) -> bool:
    """Whether it differs from a recorded run by the seed, or by the draw, alone."""
    if origin == "seeds":
        return run == replace(recorded, seed=run.seed)
    return run.ulp is not None and run == replace(recorded, ulp=run.ulp)


def _otherwise(origin: str, recorded: list[Run], fresh: Run) -> list[Run]:
    return [one.put(run) for one in MISTRAINED for run in (fresh, recorded[0]) if origin == "draws" or one.seeds]


@contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield pool


def _trained(runs: list[Run]) -> dict[Run, Curve]:
    with _workers(min(2, os.cpu_count() or 1)) as pool:
        return dict(zip(runs, pool.map(_one, runs, chunksize=2), strict=True))


def _under(instructions: str, run: Run) -> Curve:
    """In a process whose matrix products use other vector instructions."""
    before = os.environ.get("ATEN_CPU_CAPABILITY")
    os.environ["ATEN_CPU_CAPABILITY"] = instructions
    try:
        with _workers(1) as pool:
            return pool.submit(_one, run).result()
    finally:
        if before is None:
            del os.environ["ATEN_CPU_CAPABILITY"]
        else:
            os.environ["ATEN_CPU_CAPABILITY"] = before


def _one(run: Run) -> Curve:
    return trained(run)
