"""Variants: rewrites that must pass, also isolated: those of benchmarks.verdicts, and some of the models here."""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.faults.workloads import ONE
from benchmarks.verdicts import parts
from benchmarks.verdicts.variants import Variant
from benchmarks.verdicts.variants import of as verdicts_of
from benchmarks.verdicts.workloads import Way

__all__ = ["combined", "drawn", "of"]

_CONFORMER = {
    "manual LayerNorm",
    "LayerNorm in float32",
    "matmul and add",
    "transposed product",
    "SiLU by formula",
    "manual BatchNorm",
    "shifted convolution",
    "channels last",
    "foreach optimizer",
}
"""Of nest_ssl, which is not made of parts, but has modules that they can stand for."""
_LEFT_OUT = {"1 thread", "2 x 4 accumulated", "torch.compile"}
"""What is on one thread here; what has no calls, or none that can be fed."""
_OWN = {
    "conformer": (Variant("2 threads", ("conformer",), {}, {"threads": 2}),),
    "diffusion": (
        Variant("SiLU by formula", ("diffusion",), {"silu": parts.FormulaSiLU}, {}),
        Variant("2 threads", ("diffusion",), {}, {"threads": 2}),
    ),
}
_THREADS = Variant("2 threads", (), {}, {"threads": 2})


def of(workload: str) -> list[Variant]:
    """Those of a workload."""
    theirs = verdicts_of("transformer" if workload == "diffusion" else workload)
    kept = [one for one in theirs if one.name not in _LEFT_OUT]
    if workload == "conformer":
        kept = [one for one in kept if one.name in _CONFORMER]
    if workload == "diffusion":
        kept = [one for one in kept if one.name != "loss in another order"]
    return [*kept, *_OWN.get(workload, (_THREADS,))]


def combined(chosen: list[Variant]) -> Way:
    """The reference's way, changed by one after the other."""
    way = ONE
    for one in chosen:
        way = one.of(way)
    return replace(way)


def drawn(workload: str, rng: random.Random, count: int) -> list[Variant]:
    """``count`` variants that change different parts."""
    left, chosen = [one for one in of(workload) if not one.alone], list[Variant]()
    while left and len(chosen) < count:
        one = rng.choice(left)
        chosen.append(one)
        touched = {*one.parts, *one.around}
        left = [other for other in left if not touched & {*other.parts, *other.around}]
    return chosen
